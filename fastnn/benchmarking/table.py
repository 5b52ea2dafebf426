"""Benchmark results as text: a report in 100 columns, tables in Markdown, seconds, ratios and rates in three digits."""

from collections.abc import Container, Iterable, Sequence

from .report import PEERS, REFERENCE, SPECIFICATION

_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def columns(report: dict) -> list[str]:
    """The timed names: the loops first, other packages last."""
    present = {name for result in report["results"] for name in result["seconds"]}
    first = [name for name in (SPECIFICATION, REFERENCE) if name in present]
    peers = [name for name in PEERS if name in present]
    return first + sorted(present - {SPECIFICATION, REFERENCE, *PEERS}) + peers


def render(report: dict) -> str:
    """The table that `fastnn bench` prints."""
    subject, results = report["subject"], report["results"]
    names = columns(report)
    others = [name for name in names if name != subject]
    widths = [max(9, len(name) + 2) for name in others]
    lines = [
        *_conditions(report),
        "",
        " " * 10
        + f"{'time per call':>{10 * len(names)}}"
        + (f"{'speedup of ' + subject + ' over':>{sum(widths)}}" if others else "")
        + f"{'rate of ' + subject + ',':>19}",
        " " * 10
        + "".join(f"{name + ' ':>10}" for name in names)
        + "".join(f"{name:>{width}}" for name, width in zip(others, widths, strict=True))
        + f"{'share of peak':>19}",
    ]
    notes: dict[str, str] = {}
    case = None
    for result in results:
        if result["case"] != case:
            case = result["case"]
            lines.append(case)
        cells = [_time(result, name, notes) for name in names]
        ratios = [_ratio(result["speedup"].get(name)) for name in others]
        lines.append(
            f"  {result['pass']:8}"
            + "".join(f"{cell:>10}" for cell in cells)
            + "".join(f"{ratio:>{width}}" for ratio, width in zip(ratios, widths, strict=True))
            + _rate(result, subject)
        )
    lines += [""] * bool(notes) + [f"{mark} {text}" for mark, text in notes.items()]
    lines += _summary(report, others)
    load, cores = report["load_before"], report["machine"]["cores"]
    if load is not None and load > cores / 2:
        lines += [
            "",
            f"The machine was busy with something else (load {load:.1f} before the run): do not trust the figures.",
        ]
    return "\n".join(lines)


def _conditions(report: dict) -> list[str]:
    """The machine and the conditions of the run, as lines."""
    machine, peak = report["machine"], report["peak"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items() if version)
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores, {' '.join(machine['vector_features'])}",
        f"{versions}{', commit ' + machine['commit'] if machine['commit'] else ''}",
        f"{report['dtype']}, {report['threads']} threads, malloc {report['malloc']}; "
        f"medians of {report['rounds']} rounds in which the peers take turns",
    ]
    if peak:
        flops, copied = peak["FLOP/s"][report["dtype"]], peak["B/s"]
        lines.append(f"measured peak: {_si(flops, 'FLOP/s')} between registers, {_si(copied, 'B/s')} copied in memory")
    return lines


def _summary(report: dict, others: list[str]) -> list[str]:
    """Geometric means for each function, if other backends were timed."""
    means, entries = report["summary"]["functions"], report["summary"]["cases"]
    if not others or not any(means.values()):
        return []
    width = max(map(len, means)) + 2
    counts = dict.fromkeys(means, 0)
    for case, function in {result["case"]: result["function"] for result in report["results"]}.items():
        counts[function] += case in entries
    lines = [
        "",
        f"speedup of {report['subject']}, all passes together, geometric mean over the cases",
        f"  {'':{width}}cases" + "".join(f"{name:>13}" for name in others),
    ]
    for name, ratios in means.items():
        lines.append(
            f"  {name:{width}}{counts[name]:>5}" + "".join(f"{_ratio(ratios.get(other)):>13}" for other in others)
        )
    return lines


def _time(result: dict, name: str, notes: dict[str, str]) -> str:
    timing = result["seconds"].get(name)
    if timing is None:
        if name == SPECIFICATION:
            notes["-"] = "not timed: the loops take minutes there; --full times them too"
        return "- "
    if timing.get("images", result["images"]) < result["images"]:
        notes["*"] = "timed on fewer images and scaled to the whole batch"
        return duration(timing["median"]) + "*"
    return duration(timing["median"]) + " "


def _rate(result: dict, subject: str) -> str:
    rate, share = result["rate"].get(subject), result["share"].get(subject)
    if rate is None:
        return f"{'-':>19}"
    return f"{_si(rate, result['unit']):>14}" + ("" if share is None else f"{100 * share:>4.0f}%")


def markdown(headings: Sequence[str], rows: Iterable[Sequence[str]], left: Container[int] = (0,)) -> str:
    """A table in Markdown; the columns `left` are left-aligned, the others right-aligned."""
    rule = [" --- " if column in left else " ---: " for column in range(len(headings))]
    lines = [f"| {' | '.join(cells)} |" for cells in (headings, *rows)]
    return "\n".join([lines[0], f"|{'|'.join(rule)}|", *lines[1:], ""])


def duration(seconds: float) -> str:
    for limit, factor, unit in ((1e-3, 1e6, "us"), (1.0, 1e3, "ms")):
        if seconds < limit:
            return f"{digits(seconds * factor)} {unit}"
    return f"{digits(seconds)} s"


def digits(value: float | None) -> str:
    """Format with three digits, as an integer from 100 up; a dash for None."""
    if value is None:
        return "-"
    return f"{value:,.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}"


def _ratio(value: float | None) -> str:
    return digits(value) + "x" * (value is not None)


def _si(value: float, unit: str) -> str:
    for factor, prefix in _PREFIXES:
        if value >= factor:
            return f"{digits(value / factor)} {prefix}{unit}"
    return f"{digits(value)} {unit}"

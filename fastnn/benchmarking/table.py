"""A benchmark report as text, 100 columns wide."""

from .report import PEER, REFERENCE, SPECIFICATION

_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def render(report: dict) -> str:
    """The table that `fastnn bench` prints."""
    machine, subject, results = report["machine"], report["subject"], report["results"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items() if version)
    present = {name for result in results for name in result["seconds"]}
    columns = [name for name in (SPECIFICATION, REFERENCE) if name in present]
    columns += sorted(present - {SPECIFICATION, REFERENCE, PEER}) + [PEER] * (PEER in present)
    others = [name for name in columns if name != subject]
    widths = [max(9, len(name) + 3) for name in others]
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores, {' '.join(machine['vector_features'])}",
        f"{versions}{', commit ' + machine['commit'] if machine['commit'] else ''}",
        f"{report['dtype']}; medians of {report['rounds']} rounds in which the peers take turns",
        "",
        " " * 10
        + f"{'time per call':>{11 * len(columns) - 1}} "
        + (f"{'speedup of ' + subject + ' over':>{sum(widths)}}" if others else "")
        + f"{'rate of':>14}",
        " " * 10
        + "".join(f"{name:>10} " for name in columns)
        + "".join(f"{name:>{width}}" for name, width in zip(others, widths, strict=True))
        + f"{subject:>14}",
    ]
    notes: dict[str, str] = {}
    case = None
    for result in results:
        if result["case"] != case:
            case = result["case"]
            lines.append(case)
        cells = [_time(result, name, notes) for name in columns]
        ratios = [_ratio(result["speedup"].get(name)) for name in others]
        rate = result["rate"].get(subject)
        lines.append(
            f"  {result['pass']:8}"
            + "".join(f"{cell:>11}" for cell in cells)
            + "".join(f"{ratio:>{width}}" for ratio, width in zip(ratios, widths, strict=True))
            + f"{_si(rate, result['unit']) if rate else '-':>14}"
        )
    lines += [""] * bool(notes) + [f"{mark} {text}" for mark, text in notes.items()]
    load = report["load_before"]
    if load is not None and load > machine["cores"] / 2:
        lines += [
            "",
            f"The machine was busy with something else (load {load:.1f} before the run): do not trust the figures.",
        ]
    return "\n".join(lines)


def _time(result: dict, name: str, notes: dict[str, str]) -> str:
    timing = result["seconds"].get(name)
    if timing is None:
        notes["-"] = "not timed: the loops take minutes there; --full times them too"
        return "- "
    if timing.get("images", result["images"]) < result["images"]:
        notes["*"] = "timed on fewer images and scaled to the whole batch"
        return _duration(timing["median"]) + "*"
    return _duration(timing["median"]) + " "


def _duration(seconds: float) -> str:
    for limit, factor, unit in ((1e-3, 1e6, "us"), (1.0, 1e3, "ms")):
        if seconds < limit:
            return f"{_three_digits(seconds * factor)} {unit}"
    return f"{_three_digits(seconds)} s"


def _three_digits(value: float) -> str:
    decimals = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{decimals}f}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}x" if value >= 99.5 else f"{_three_digits(value)}x"


def _si(value: float, unit: str) -> str:
    for factor, prefix in _PREFIXES:
        if value >= factor:
            return f"{_three_digits(value / factor)} {prefix}{unit}"
    return f"{_three_digits(value)} {unit}"

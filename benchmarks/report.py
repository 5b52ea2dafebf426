"""Write benchmarks/REPORT.md and the charts from the results of `benchmarks/run.py`.

    python benchmarks/report.py                results/*.json -> REPORT.md, docs/speedups.png, results/history.png

The chart of speedups shows the machine measured last, the chart over time the machine measured most often.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path

import bench_peers
import bench_threads
import pictures
from targets import KINDS, TARGETS, Part, Parts, by_operation, case_ratios, startup, step_ratios

from fastnn.benchmarking.summary import geometric_mean, grouped, ratio
from fastnn.benchmarking.table import digits, duration, markdown

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results"
REPORT = FOLDER / "REPORT.md"
SPEEDUPS = FOLDER.parent / "docs" / "speedups.png"
HISTORY = RESULTS / "history.png"

INTRODUCTION = """# Benchmarks

Measured by `python benchmarks/run.py`, written by `benchmarks/report.py`; nothing here is typed by hand.

A figure such as *PyTorch / ours* is PyTorch's time over ours, medians of turns in alternation: above 1, ours is faster.
*default*: as a user meets PyTorch. *tuned*: at its best, with malloc told to keep its memory
(`fastnn.benchmarking.malloc`) and, in training steps, the fused form of its optimisers; ours runs in the same process.
*loops* are the naive backend, *NumPy* the vectorized one. Values were checked before anything was timed. *of peak* is
the share of the multiply-adds, or of the copied bytes, that the machine gives at most; copies are of arrays beyond
every cache, so what stays in one exceeds 100 %.
"""
HISTORY_NOTE = """## Over time

![Geometric means over PyTorch, training steps and start-up, commit by commit](results/history.png)
"""
SERIES = {
    "import": "`import fastnn`, NumPy being imported already",
    "cold": "kernels of ThreeLayerConvNet compiled, nothing kept from before",
    "warm": "the same kernels loaded from disk",
    "first call": "slowest first call of convolution and pooling, two seconds after the import of `fast_layers`",
    "warm-up": "`fastnn warmup`, nothing kept from before",
}


def main() -> int:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    ).parse_args()
    machines = load(RESULTS)
    if not machines:
        sys.exit(f"report: {RESULTS} holds no results of a machine; expected a file; run benchmarks/run.py first")
    REPORT.write_text(render(machines), encoding="utf-8")
    written = [REPORT]
    latest = max(machines, key=lambda name: max(part["machine"]["date"] for part in machines[name].values()))
    histories = [path.read_text(encoding="utf-8").splitlines() for path in sorted(RESULTS.glob("history/*.jsonl"))]
    if histories:
        pictures.history([json.loads(line) for line in max(histories, key=len)], HISTORY)
        written.append(HISTORY)
    if "operations float32 default" in machines[latest]:
        pictures.speedups(machines[latest], SPEEDUPS)
        written.append(SPEEDUPS)
    print("\n".join(f"{path} written." for path in written))
    return 0


def load(folder: Path) -> dict[str, Parts]:
    """The parts of each machine, by file name; other results are ignored."""
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
    return {name: content["parts"] for name, content in found.items() if "parts" in content}


def render(machines: dict[str, Parts]) -> str:
    """The report in Markdown."""
    sections = [INTRODUCTION]
    for parts in machines.values():
        sections += [_machine(parts), _targets(parts), _overview(parts), _steps(parts), _peers(parts)]
        sections += [_threads(parts), _startup(parts)]
    sections.append(HISTORY_NOTE)
    for parts in machines.values():
        sections += _operations(parts)
    return "\n".join(filter(None, sections))


def _machine(parts: Parts) -> str:
    machine = next(iter(parts.values()))["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items() if version)
    lines = [
        f"## {machine['cpu']}, {machine['cores']} cores",
        "",
        f"{' '.join(machine['vector_features'])}; {versions}.",
    ]
    commits = dict.fromkeys((part["machine"]["commit"], part["machine"]["date"]) for part in parts.values())
    lines += ["Measured at " + ", ".join(f"commit {commit} ({date})" for commit, date in commits) + ".", ""]
    return "\n".join(lines)


def _targets(parts: Parts) -> str:
    rows = []
    for target in TARGETS:
        worst = target.worst(parts)
        sign = "at most" if target.at_most else "at least"
        cells = ["not measured", "", ""]
        if worst:
            name, value = worst
            cells = [f"{digits(value)}{target.unit}", name, "met" if target.is_met(value) else "**missed**"]
        rows.append([target.text, f"{sign} {target.wanted:,}{target.unit}", *cells])
    return "### Targets\n\n" + markdown(["target", "wanted", "worst measured", "where", ""], rows, left=(0, 3, 4))


def _overview(parts: Parts) -> str:
    present = {kind: parts[f"operations {kind}"] for kind in KINDS if f"operations {kind}" in parts}
    if not present:
        return ""
    names = dict.fromkeys(name for part in present.values() for name in by_operation(part))
    rows = []
    for name in names:
        rows.append([f"[{name}](#{name})"])
        for part in present.values():
            found = list(case_ratios(part, name, "torch").values())
            slower = sum(value < 1 for value in found)
            rows[-1].append(digits(geometric_mean(found)) + (f" ({slower} of {len(found)} slower)" if slower else ""))
    text = "### Operations: PyTorch / ours\n\nGeometric means over the cases, all passes of a case together.\n\n"
    return text + markdown(["operation", *present], rows)


def _steps(parts: Parts) -> str:
    default, tuned = (parts.get(f"steps {mode}") for mode in ("default", "tuned"))
    part = default or tuned
    if part is None:
        return ""
    ratios = [step_ratios(default), step_ratios(tuned), step_ratios(tuned or default, "module")]
    rows = []
    for result in part["results"]:
        own = duration(result["seconds"]["fastnn"]["median"])
        found = [digits(values.get(result["network"])) for values in ratios]
        rows.append([result["network"], str(result["images"]), own, *found])
    text = (
        "### Training steps\n\nFloat32, through `Solver`, with all that it does besides. *Module*: the same network "
        "as a class with nothing but `forward`.\n\n"
    )
    headings = ["network", "batch", "ours", "PyTorch / ours, default", "PyTorch / ours, tuned", "Module / ours"]
    return text + markdown(headings, rows)


def _peers(parts: Parts) -> str:
    if "peers" not in parts:
        return ""
    text = (
        "### Peers\n\nTraining steps of networks with a target, each peer in a process of its own, in turns, with "
        "tuned malloc and PyTorch's fused optimisers.\n\n"
    )
    lines = [text + bench_peers.table(parts["peers"]["results"])]
    for name, title in bench_peers.PEERS.items():
        found = step_ratios(parts["peers"], name)
        ahead = [network for network, value in found.items() if value < 1]
        if found:
            lines.append(f"{title} leads at: {'; '.join(ahead)}." if ahead else f"{title} leads nowhere.")
    return "\n".join([lines[0], " ".join(lines[1:]), ""])


def _threads(parts: Parts) -> str:
    if "threads" not in parts:
        return ""
    part = parts["threads"]
    text = (
        "### Threads\n\nSpeedups over one thread in float32, geometric means over calls of at least 1 ms. *Model*: "
        "computed, not measured, from the time on one thread, its serial part and the bytes of the arrays, with the "
        "memory bandwidth of this machine (`bench_threads.py` has the formula). *Serial* is what runs outside of "
        "parallel loops, with Python and launches, as a share of the time on one thread.\n\n"
    )
    copied = ", ".join(f"{digits(value / 1e9)} GB/s on {number}" for number, value in part["bandwidth"].items())
    lines = [f"Copies in memory: {copied} thread{'s' * (len(part['bandwidth']) > 1)}.", bench_threads.left_out(part)]
    return text + bench_threads.overview(part) + "\n" + " ".join(filter(None, map(str.strip, lines))) + "\n"


def _startup(parts: Parts) -> str:
    rows = [[SERIES[name], duration(value)] for name, value in startup(parts).items()]
    return "### Start-up\n\n" + markdown(["what a new process waits for", "time"], rows) if rows else ""


def _operations(parts: Parts) -> Iterable[str]:
    """A section for each operation, with a table for each dtype."""
    by_dtype = {dtype: [parts.get(f"operations {dtype} {mode}") for mode in ("default", "tuned")]
                for dtype in ("float32", "float64")}  # fmt: skip
    present = [part for pair in by_dtype.values() for part in pair if part]
    for operation in dict.fromkeys(name for part in present for name in by_operation(part)):
        yield f"## {operation}\n"
        for dtype, (default, tuned) in by_dtype.items():
            part = default or tuned
            if part and operation in by_operation(part):
                yield _cases(operation, dtype, part, tuned)


def _cases(operation: str, dtype: str, part: Part, tuned: Part | None) -> str:
    of_tuned = grouped(by_operation(tuned).get(operation, []), "case") if tuned else {}
    subject, rows = part["subject"], []
    for case, results in grouped(by_operation(part)[operation], "case").items():
        for group in [[result] for result in results] + [results] * (len(results) > 1):
            passes = {result["pass"] for result in group}
            same = [result for result in of_tuned.get(case, []) if result["pass"] in passes]
            shares = [result["share"].get(subject) for result in group]
            rows.append(
                [
                    case if group[0] is results[0] and len(group) == 1 else "",
                    group[0]["pass"] if len(group) == 1 else "together",
                    duration(sum(result["seconds"][subject]["median"] for result in group)),
                    digits(ratio(group, subject, "torch")),
                    digits(ratio(same, subject, "torch")),
                    digits(ratio(group, subject, "vectorized")),
                    digits(ratio(group, subject, "naive")),
                    f"{100 * shares[0]:.0f} %" if len(group) == 1 and shares[0] else "",
                ]
            )
    headings = ["case", "pass", "ours", "PyTorch / ours", "tuned", "NumPy / ours", "loops / ours", "of peak"]
    return f"{dtype}:\n\n" + markdown(headings, rows, left=(0, 1))


if __name__ == "__main__":
    sys.exit(main())

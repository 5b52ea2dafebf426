"""The support matrix: which operations are right on which backends in which dtypes, from checks of every kernel."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from fastnn.kernels import OPERATIONS, Unsupported, use_backend

from .checking import DTYPES, examine
from .compare import Missing
from .specs import FUNCTIONS, Function

CASES = 16  # of each function, backend and dtype


def run(
    counts: Mapping[str, int],
    operations: Iterable[str] = OPERATIONS,
    seed: int = 0,
    simulated: Collection[str] = (),
    progress: Callable[[str], None] = lambda line: None,
) -> dict:
    """Check every function of the operations on every backend, in every dtype.

    counts: the number of cases of each function in each dtype, by backend
    simulated: slow, simulated backends: repeated calls and large arrays are skipped
    progress: called with a line about the next step
    Returns a dict that JSON can hold,

        backends: {name: note}
        support: {operation: {backend: {dtype: "right", "wrong" or "missing"}}}; "missing" if it lacks all functions
        lacking: {backend: [names of functions that it lacks, or "FUNCTION with ARGUMENT" if it supports some cases]}
        reports: [texts about wrong kernels]; calls: number of compared calls; seconds: duration
    """
    began, calls, reports = time.perf_counter(), 0, []
    support: dict[str, Any] = {}
    lacking: dict[str, list[str]] = {name: [] for name in counts}
    for operation in operations:
        functions = [function for function in FUNCTIONS.values() if function.operation == operation]
        support[operation] = {name: {} for name in counts}
        for name, cases in counts.items():
            for dtype in DTYPES:
                found = []
                for function in functions:
                    progress(f"{function.name}: {name}, {dtype}")
                    try:
                        report = examine(
                            _on(name, function), name, function, cases, (dtype,), seed, again=name not in simulated
                        )
                        lacks = [f"{function.name} with {argument}" for argument in report.lacks]
                    except Missing:
                        report, lacks = None, [function.name]
                    lacking[name] += [line for line in lacks if line not in lacking[name]]
                    if not report or not report.cases:
                        continue
                    calls += report.cases
                    found.append(report.ok)
                    if not report.ok:
                        reports.append(f"{dtype}: {report}")
                support[operation][name][dtype] = "missing" if not found else "right" if all(found) else "wrong"
    return {
        "backends": {name: "simulated" if name in simulated else "" for name in counts},
        "support": support,
        "lacking": {name: names for name, names in lacking.items() if names},
        "reports": reports,
        "calls": calls,
        "seconds": time.perf_counter() - began,
    }


def _on(backend: str, function: Function) -> Callable:
    """The public function on a backend, in any thread."""

    def kernel(*arguments: Any) -> Any:
        with use_backend(backend):
            try:
                return function.public(*arguments)
            except Unsupported:
                raise
            except NotImplementedError as error:
                raise Missing(function.name) from error

    return kernel


def table(result: dict) -> str:
    """The matrix as an aligned Markdown table."""
    names = result["backends"]
    head = ["operation", *(f"{name} ({note})" if note else name for name, note in names.items())]
    rows = [
        [operation, *(_cell(of_backends[name]) for name in names)]
        for operation, of_backends in result["support"].items()
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    rule = ["-" * width for width in widths]
    lines = ([cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in (head, rule, *rows))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(of_dtypes: dict[str, str]) -> str:
    words = {"right": "{}", "wrong": "{} WRONG"}
    return ", ".join(words[state].format(dtype) for dtype, state in of_dtypes.items() if state in words) or "-"

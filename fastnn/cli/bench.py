"""The command `fastnn bench`."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from fastnn import backends, get_backend, use_backend
from fastnn.kernels import FORMER_NAMES, OPERATIONS
from fastnn.output import atomic

from . import common
from .parser import positive

_EXAMPLES = """examples:
  fastnn bench                                one case of each operation, a few minutes
  fastnn bench --quick                        the same with fewer repetitions and shorter loops
  fastnn bench --operation conv2d fused       every case of these operations
  fastnn bench --all --backend njit           every case of every operation, njit and PyTorch only
  fastnn bench --json results.json            the table, and all results as JSON
  fastnn bench --chart speedups.png           the table, and a chart of it

Results are checked before they are timed. PyTorch is included if it is installed."""


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "bench",
        help="time the kernels of every backend",
        description="Time the operations of neural networks, forward and backward, on every backend and on PyTorch.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    names = (*OPERATIONS, *FORMER_NAMES)
    add("--operation", nargs="+", choices=names, metavar="NAME", help="all cases of: " + ", ".join(OPERATIONS))
    add("--all", action="store_true", help="all cases of all operations; takes most of an hour")
    add("--backend", nargs="+", metavar="NAME", help="default: all available ones")
    add("--dtype", choices=("float32", "float64"), default="float32", help="default %(default)s")
    add("--repeat", type=positive, metavar="N", help="rounds of measurement; default 10, with --quick 3")
    add("--quick", action="store_true", help="fewer rounds, and the naive loops on fewer images")
    add("--full", action="store_true", help="also time naive loops that take minutes")
    add("--no-torch", action="store_true", help="leave PyTorch and scikit-learn out")
    add("--json", metavar="FILE", help="write all results to a file; - prints them instead of the table")
    add("--chart", metavar="FILE", help="draw the speedups: .png, .svg or .pdf")
    parser.set_defaults(run=run_bench)


def run_bench(arguments: argparse.Namespace) -> int:
    """Check and time the chosen cases; return the exit code, 1 if a backend gives a wrong result."""
    from fastnn.benchmarking import cases, report, table

    names = arguments.backend or [line.name for line in backends() if line.available]
    for name in names:
        with use_backend(name):  # raise errors now rather than minutes later
            pass
    subject = names[-1] if arguments.backend else get_backend()
    chosen = cases.CASES if arguments.all else cases.HEADLINE
    if arguments.operation:
        chosen = cases.select(common.operations("bench", arguments.operation))
    short: dict[str, Any] = {"rounds": 3, "settle": 0.1, "patience": 1.0} if arguments.quick else {"rounds": 10}
    if arguments.repeat:
        short["rounds"] = arguments.repeat
    target = None if arguments.json in (None, "-") else Path(arguments.json)
    picture = Path(arguments.chart) if arguments.chart else None
    for path in filter(None, (target, picture)):
        common.check_file(path)
    try:
        result = report.run(
            names,
            subject,
            chosen,
            dtype=arguments.dtype,
            peer=not arguments.no_torch,
            slow=arguments.full,
            progress=common.show if sys.stderr.isatty() else common.ignore,
            **short,
        )
    except report.WrongResult as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        if sys.stderr.isatty():
            common.show("")
    try:
        if target is not None:
            atomic.write_text(target, json.dumps(result, indent=2) + "\n")
    finally:
        print(json.dumps(result, indent=2) if arguments.json == "-" else table.render(result))
    if picture is not None:
        from fastnn.benchmarking import chart

        common.drawn("bench", picture, lambda: chart.draw(result, picture))
    return 0

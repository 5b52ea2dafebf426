"""`fastnn bench`."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from fastnn import backends, get_backend, use_backend
from fastnn.kernels.switch import BACKENDS

_EXAMPLES = """examples:
  fastnn bench                                every backend and PyTorch, a few minutes
  fastnn bench --quick                        the same with fewer repetitions and shorter loops
  fastnn bench --backend njit --no-torch      one backend alone
  fastnn bench --json results.json            the table, and all figures as JSON

Values are checked before anything is timed. PyTorch takes part where it is installed."""


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "bench",
        help="time the kernels of every backend",
        description="Time convolution and max pooling, forward and backward, on every backend and on PyTorch.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--backend", nargs="+", choices=BACKENDS, metavar="NAME", help="default: all that can run here")
    add("--dtype", choices=("float32", "float64"), default="float32", help="default %(default)s")
    add("--repeat", type=_positive, metavar="N", help="rounds of measurement; default 20, with --quick 5")
    add("--quick", action="store_true", help="fewer rounds; the naive loops on fewer images")
    add("--full", action="store_true", help="the naive loops also where they take minutes")
    add("--no-torch", action="store_true", help="leave PyTorch out")
    add("--json", metavar="FILE", help="write all figures to a file; - for the terminal, without the table")
    parser.set_defaults(run=run_bench)


def run_bench(arguments: argparse.Namespace) -> int:
    """Check and time all cases; returns the exit code: 1 where a backend computes wrongly."""
    from fastnn.benchmarking import report, table

    names = arguments.backend or [line.name for line in backends() if line.available]
    for name in names:
        with use_backend(name):  # raises now what would be raised minutes later
            pass
    subject = names[-1] if arguments.backend else get_backend()
    short: dict[str, Any] = {"rounds": 5, "settle": 0.1, "patience": 1.0} if arguments.quick else {}
    if arguments.repeat:
        short["rounds"] = arguments.repeat
    target = None if arguments.json in (None, "-") else Path(arguments.json)
    if target is not None:
        target.touch()  # a folder that cannot be written is better known before than after
    try:
        result = report.run(
            names,
            subject,
            dtype=arguments.dtype,
            peer=not arguments.no_torch,
            slow=arguments.full,
            progress=_show if sys.stderr.isatty() else _ignore,
            **short,
        )
    except report.WrongResult as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        if sys.stderr.isatty():
            _show("")
    if target is not None:
        target.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2) if arguments.json == "-" else table.render(result))
    return 0


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


def _show(line: str) -> None:
    """Replace the last line of the terminal."""
    print(f"\r\033[K{line[:79]}", end="", file=sys.stderr, flush=True)


def _ignore(line: str) -> None:
    pass

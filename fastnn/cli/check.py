"""The command `fastnn check`."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from fastnn import backends, use_backend
from fastnn.kernels import FORMER_NAMES, OPERATIONS
from fastnn.kernels.dispatch import validation
from fastnn.output import atomic

from . import common, course_check
from .imported import imported

_EXAMPLES = """examples:
  fastnn check                                  every operation on every available backend
  fastnn check --backend njit --operation conv2d pool2d
  fastnn check --kernel mine:my_conv --like conv2d_forward
                                                a kernel of yours, in mine.py
  fastnn check --course layers.py               a student's file, function by function, with points
  fastnn check --cases 500 --seed 1             more cases, from another seed
  fastnn check --json support.json              the matrix, and all results as JSON

A kernel of yours is called with the arguments of the public function given by --like. Its module may import other
modules of the folder, after those of Python and installed packages. If it is wrong, the output shows a small failing
case and the probable cause; if it is right, its time next to those of the naive loops, NumPy and Numba."""

_SIMULATED = 4  # cases on the simulator, where each takes a second


def add_parser(commands: Any) -> None:
    summary = "compare the kernels of every backend, your own, or a student's layers with the naive loops"
    add = common.command(commands, "check", summary, _EXAMPLES, run_check).add_argument
    add("--backend", nargs="+", metavar="NAME", help="default: all available ones")
    names = (*OPERATIONS, *FORMER_NAMES)
    add("--operation", nargs="+", choices=names, metavar="NAME", help="default: all of " + ", ".join(OPERATIONS))
    add("--kernel", metavar="MODULE:FUNCTION", help="a kernel of yours, in a module of this folder")
    add("--like", metavar="FUNCTION", help="the public function that it implements, such as conv2d_forward")
    course_check.add_options(add)
    add("--cases", type=int, metavar="N", help="cases for each function, backend and dtype")
    add("--seed", type=int, default=0, metavar="N", help="default %(default)s")
    add("--json", metavar="FILE", help="write the results to a file; - prints them instead of the matrix")


def run_check(arguments: argparse.Namespace) -> int:
    """Check backends, or a kernel; return the exit code, 1 if something is wrong."""
    if arguments.course:
        return course_check.run(arguments)
    course_check.refuse_options(arguments)
    if arguments.kernel or arguments.like:
        return _check_kernel(arguments)
    from fastnn.testing.conformance import support_matrix

    lines = backends()
    names = arguments.backend or [line.name for line in lines if line.available]
    for name in names:
        with use_backend(name):  # raise errors now rather than minutes later
            pass
    simulated = [line.name for line in lines if line.device.startswith("simulated")]
    count = (
        support_matrix.CASES
        if arguments.cases is None
        else validation.integer("check", "cases", arguments.cases, minimum=1)
    )
    seed = validation.integer("check", "seed", arguments.seed, minimum=0)
    target = None if arguments.json in (None, "-") else Path(arguments.json)
    if target:
        common.check_file(target)
    few = count if arguments.cases else _SIMULATED
    counts = {name: few if name in simulated else count for name in names}
    progress = common.show if sys.stderr.isatty() else common.ignore
    operations = common.operations("check", arguments.operation) or OPERATIONS
    result = support_matrix.run(counts, operations, seed, simulated, progress)
    if sys.stderr.isatty():
        common.show("")
    try:
        if target:
            atomic.write_text(target, json.dumps(result, indent=1) + "\n")
    finally:
        text = _rendered(result, support_matrix.table(result), lines)
        print(json.dumps(result, indent=1) if arguments.json == "-" else text)
    return 1 if result["reports"] else 0


def _rendered(result: dict, table: str, lines: list) -> str:
    """Format the results as text."""
    text = [*(f"{report}\n" for report in result["reports"]), table, ""]
    for name, functions in result["lacking"].items():
        text.append(f"{name} lacks {', '.join(functions)}")
    for line in lines:
        if not line.available and line.name not in result["backends"]:
            text.append(f"{line.name} is not available: {line.reason}; {line.remedy}")
    wrong = len(result["reports"])
    text.append(
        f"{result['calls']:,} calls compared with the naive loops in float64, {result['seconds']:.0f} s: "
        + (f"{wrong} of the functions are wrong" if wrong else "all are right")
    )
    return "\n".join(text)


def _check_kernel(arguments: argparse.Namespace) -> int:
    from fastnn.testing import WrongKernel, check_kernel

    for name, other in (("kernel", "like"), ("like", "kernel")):
        if not getattr(arguments, name):
            raise ValueError(
                f"check: --{other} is given without --{name}; expected both; add --{name} "
                + ("MODULE:FUNCTION" if name == "kernel" else "conv2d_forward, or another public function")
            )
    for name in ("backend", "operation", "json"):
        if getattr(arguments, name):
            raise ValueError(
                f"check: --{name} is given together with --kernel; expected one of them; leave --{name} out"
            )
    chosen = {} if arguments.cases is None else {"cases": arguments.cases}
    with imported("check", "kernel", arguments.kernel, "mine:my_conv") as kernel:
        try:
            print(check_kernel(kernel, arguments.like, seed=arguments.seed, **chosen))
        except WrongKernel as error:
            print(error)
            return 1
    return 0

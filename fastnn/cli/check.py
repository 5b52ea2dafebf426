"""The command `fastnn check`."""

import argparse
import contextlib
import importlib.machinery
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fastnn import backends, use_backend
from fastnn.kernels import FORMER_NAMES, OPERATIONS
from fastnn.kernels.dispatch import validation
from fastnn.output import atomic

from . import common

_EXAMPLES = """examples:
  fastnn check                                  every operation on every available backend
  fastnn check --backend njit --operation conv2d pool2d
  fastnn check --kernel mine:my_conv --like conv2d_forward
                                                a kernel of yours, in mine.py
  fastnn check --cases 500 --seed 1             more cases, from another seed
  fastnn check --json support.json              the matrix, and all results as JSON

A kernel of yours is called with the arguments of the public function given by --like. Its module may import other
modules of the folder, after those of Python and installed packages. If it is wrong, the output shows a small failing
case and the probable cause; if it is right, its time next to those of the naive loops, NumPy and Numba."""

_SIMULATED = 4  # cases on the simulator, where each takes a second


def add_parser(commands: Any) -> None:
    summary = "compare the kernels of every backend, or your own, with the naive loops"
    add = common.command(commands, "check", summary, _EXAMPLES, run_check).add_argument
    add("--backend", nargs="+", metavar="NAME", help="default: all available ones")
    names = (*OPERATIONS, *FORMER_NAMES)
    add("--operation", nargs="+", choices=names, metavar="NAME", help="default: all of " + ", ".join(OPERATIONS))
    add("--kernel", metavar="MODULE:FUNCTION", help="a kernel of yours, in a module of this folder")
    add("--like", metavar="FUNCTION", help="the public function that it implements, such as conv2d_forward")
    add("--cases", type=int, metavar="N", help="cases for each function, backend and dtype")
    add("--seed", type=int, default=0, metavar="N", help="default %(default)s")
    add("--json", metavar="FILE", help="write the results to a file; - prints them instead of the matrix")


def run_check(arguments: argparse.Namespace) -> int:
    """Check backends, or a kernel; return the exit code, 1 if something is wrong."""
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
    folder = os.getcwd()
    with _last_on_path(folder):
        kernel = _imported(arguments.kernel, folder)
        try:
            print(check_kernel(kernel, arguments.like, seed=arguments.seed, **chosen))
        except WrongKernel as error:
            print(error)
            return 1
    return 0


def _imported(text: str, folder: str) -> Callable:
    """Import the function `module:function`; a module of the folder takes precedence over an installed one."""
    module, _, function = text.partition(":")
    if not (module and function):
        raise ValueError(f"check: kernel={text!r} names no function; expected MODULE:FUNCTION; write mine:my_conv")
    try:
        _import_from(folder, module.partition(".")[0], text)
        found = importlib.import_module(module)
    except ImportError as error:
        raise ValueError(
            f"check: kernel={text!r} cannot be imported ({error}); expected a module in this folder or an installed "
            f"one, without .py; change to its folder"
        ) from error
    if not callable(getattr(found, function, None)):
        names = [name for name in vars(found) if not name.startswith("_") and callable(getattr(found, name))]
        raise ValueError(
            f"check: {module} has no function {function!r}; expected one of its own"
            f"{validation.suggestion(function, names)}"
        )
    return getattr(found, function)


def _import_from(folder: str, name: str, text: str) -> None:
    """Import a module or package of that name from the folder, if there is one, without changing the search order."""
    spec = importlib.machinery.PathFinder.find_spec(name, [folder])
    if spec is None or spec.loader is None:
        return
    if name in sys.stdlib_module_names:
        raise ValueError(
            f"check: kernel={text!r} has the name of a standard library module; expected another one; "
            f"rename {Path(str(spec.origin)).name}"
        )
    if name not in sys.modules:
        sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(sys.modules[name])
        except BaseException:
            sys.modules.pop(name, None)
            raise


@contextlib.contextmanager
def _last_on_path(folder: str) -> Iterator[None]:
    """Append the folder to sys.path during the block."""
    before = [*sys.path]
    sys.path.append(folder)
    try:
        yield
    finally:
        sys.path[:] = before

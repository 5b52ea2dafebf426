"""`fastnn check`."""

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
  fastnn check                                  every operation on every backend that can run here
  fastnn check --backend njit --operation conv2d pool2d
  fastnn check --kernel mine:my_conv --like conv2d_forward
                                                a kernel of your own, in mine.py
  fastnn check --cases 500 --seed 1             more cases, and others
  fastnn check --json support.json              the matrix, and all of it as JSON

A kernel of your own is called with the arguments of the function that it is like. Its module may import others of the
folder, which are looked for after those of Python and of installed packages. Where it is wrong, you see a small
case that fails and the probable cause; where it is right, its time beside that of the loops, NumPy and Numba."""

_SIMULATED = 4  # cases, where each takes a second


def add_parser(commands: Any) -> None:
    summary = "compare kernels with the naive loops: every backend's, or one of your own"
    add = common.command(commands, "check", summary, _EXAMPLES, run_check).add_argument
    add("--backend", nargs="+", metavar="NAME", help="default: all that can run here")
    names = (*OPERATIONS, *FORMER_NAMES)
    add("--operation", nargs="+", choices=names, metavar="NAME", help="default: all of " + ", ".join(OPERATIONS))
    add("--kernel", metavar="MODULE:FUNCTION", help="a kernel of your own, in a module of this folder")
    add("--like", metavar="FUNCTION", help="the public function that it is like, such as conv2d_forward")
    add("--cases", type=int, metavar="N", help="cases for each function, backend and dtype")
    add("--seed", type=int, default=0, metavar="N", help="default %(default)s")
    add("--json", metavar="FILE", help="write what was found to a file; - for the terminal, without the matrix")


def run_check(arguments: argparse.Namespace) -> int:
    """Check backends, or a kernel; returns the exit code: 1 where something is wrong."""
    if arguments.kernel or arguments.like:
        return _check_kernel(arguments)
    from fastnn.testing.conformance import support_matrix

    lines = backends()
    names = arguments.backend or [line.name for line in lines if line.available]
    for name in names:
        with use_backend(name):  # raises now what would be raised minutes later
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
    """What was found, as text."""
    text = [*(f"{report}\n" for report in result["reports"]), table, ""]
    for name, functions in result["lacking"].items():
        text.append(f"{name} lacks {', '.join(functions)}")
    for line in lines:
        if not line.available and line.name not in result["backends"]:
            text.append(f"{line.name} is not here: {line.reason}; {line.remedy}")
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
                + ("MODULE:FUNCTION" if name == "kernel" else "conv2d_forward, or whatever function it is like")
            )
    for name in ("backend", "operation", "json"):
        if getattr(arguments, name):
            raise ValueError(f"check: --{name} is given beside --kernel; expected one of them; leave --{name} out")
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
    """The function that `module:function` names; a module of the folder goes before an installed one."""
    module, _, function = text.partition(":")
    if not (module and function):
        raise ValueError(f"check: kernel={text!r} names no function; expected MODULE:FUNCTION; write mine:my_conv")
    try:
        _import_from(folder, module.partition(".")[0], text)
        found = importlib.import_module(module)
    except ImportError as error:
        raise ValueError(
            f"check: kernel={text!r} cannot be imported ({error}); expected a module in this folder or an installed "
            f"one, without .py; go to its folder"
        ) from error
    if not callable(getattr(found, function, None)):
        names = [name for name in vars(found) if not name.startswith("_") and callable(getattr(found, name))]
        raise ValueError(
            f"check: {module} has no function {function!r}; expected one of its own"
            f"{validation.suggestion(function, names)}"
        )
    return getattr(found, function)


def _import_from(folder: str, name: str, text: str) -> None:
    """Import a module or package of the folder, if there is one of that name; no other import looks there first."""
    spec = importlib.machinery.PathFinder.find_spec(name, [folder])
    if spec is None or spec.loader is None:
        return
    if name in sys.stdlib_module_names:
        raise ValueError(
            f"check: kernel={text!r} has the name of a module of Python itself; expected another one; "
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
    """Inside the block modules of the folder can be imported, where nothing else has their name."""
    before = [*sys.path]
    sys.path.append(folder)
    try:
        yield
    finally:
        sys.path[:] = before

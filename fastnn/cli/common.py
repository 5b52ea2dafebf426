"""Shared parts of the commands: options, checks before the work, output."""

import argparse
import contextlib
import os
import shlex
import shutil
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from fastnn.kernels import FORMER_NAMES
from fastnn.kernels.dispatch.switch import CHOICES
from fastnn.output import atomic

from .models import MODELS, summaries
from .settings import DEFAULTS, OPTIONS, UPDATE_RULES, defaults_of

_SILENT_SECONDS = 1.5  # of compilation before a message is printed


def command(commands: Any, name: str, summary: str, examples: str, run: Callable) -> argparse.ArgumentParser:
    """Add the parser of a command, whose --help ends with examples."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def add_settings(
    parser: argparse.ArgumentParser,
    defaults: dict[str, dict],
    several: Iterable[str] = (),
    kind_of: Callable = type,
    own: Mapping[str, Mapping] | None = None,
) -> None:
    """Add options for everything in `Settings`.

    defaults: of each data set; own: of each model, where they are not those of the table
    several: names of options that take several values, each parsed by `kind_of(type)`
    """
    add = parser.add_argument
    add("--model", choices=MODELS, default=next(iter(MODELS)), help=f"{summaries()}; default %(default)s")
    add("--data", choices=DEFAULTS, default=next(iter(DEFAULTS)), help="default %(default)s, which is generated")
    add("--data-root", metavar="DIR", help="folder that contains the data set; default: FASTNN_DATA")
    for name, (kind, meaning) in OPTIONS.items():
        many: dict[str, Any] = {"nargs": "+"} if name in several else {}
        if kind is str:
            many |= {"choices": UPDATE_RULES, "metavar": "NAME"}
            meaning = ", ".join(UPDATE_RULES) + "; "
        else:
            many["type"] = kind_of(kind) if name in several else kind
            many["metavar"] = "N" if kind is int else "X"
        add(f"--{name.replace('_', '-')}", help=meaning + defaults_of(name, defaults, own), **many)
    add("--seed", type=int, default=0, metavar="N", help="default %(default)s")


def add_common(parser: argparse.ArgumentParser, backend: str) -> None:
    """Add the options of every command that computes; `backend` describes the default."""
    parser.add_argument("--backend", metavar="NAME", help=f"{', '.join(CHOICES)}, or another package's; {backend}")
    parser.add_argument("--json", action="store_true", help="print the result as JSON, and everything else on stderr")


def numbered(first: Path) -> Iterable[Path]:
    """Yield the folder, then the same name followed by -2, -3, ..."""
    return (first if n == 1 else first.with_name(f"{first.name}-{n}") for n in range(1, sys.maxsize))


def check_writable(command: str, folder: Path) -> None:
    """Raise OSError if the folder is not writable, before the work instead of after it."""
    existing = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise OSError(
            f"{command}: out={str(folder)!r} cannot be written, because of {str(existing)!r}; expected a "
            f"writable folder, or the name of a new one; choose another --out"
        )


def check_file(path: Path) -> None:
    """Raise OSError if a file is not writable, before the work instead of after it."""
    if path.exists():
        path.touch()
        return
    new = atomic.target(path) if path.is_symlink() else path
    new.touch()
    new.unlink()


def prepare(model: Any, arguments: dict[str, Any], data: dict, log: Any) -> float:
    """Load or compile all kernels by training a throw-away model on one image; return the seconds needed.

    arguments: keywords of its Solver
    """
    from fastnn.solver import Solver

    def announce():
        if "numba" in sys.modules and not sys.stderr.isatty():  # on a terminal, the kernels show their own progress
            print("compiling kernels, first run only ...", file=log, flush=True)

    began = time.perf_counter()
    short = {**arguments, "batch_size": 1, "num_epochs": 1, "seed": 0, "verbose": False, "on_nonfinite": "raise"}
    one_image = {name: array[:1] for name, array in data.items() if name.startswith(("X_", "y_"))}
    timer = threading.Timer(_SILENT_SECONDS, announce)
    with contextlib.suppress(RuntimeError):  # without another thread there is no message
        timer.start()
    try:
        with contextlib.suppress(FloatingPointError):  # the run itself will report it
            Solver(model, one_image, **short).train()
    finally:
        timer.cancel()
    return time.perf_counter() - began


def drawn(command: str, picture: Path, draw: Callable[[], Any], kind: str = "warning") -> str | None:
    """Draw a picture; return its path, or print a message and return None if that fails."""
    try:
        draw()
    except Exception as error:  # a broken or misconfigured matplotlib may raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        print(f"fastnn {command}: {kind}: the picture {str(picture)!r} could not be drawn: {reason}", file=sys.stderr)
        return None
    return str(picture)


def operations(command: str, given: list[str] | None) -> list[str]:
    """The given operations, with former names replaced; an empty list for None."""
    for name in given or ():
        if name in FORMER_NAMES:
            text = f"{command}: the operation {name} is now called {FORMER_NAMES[name]}"
            warnings.warn(text, FutureWarning, stacklevel=2)
    return [FORMER_NAMES.get(name, name) for name in given or ()]


def typed(*arguments: str) -> str:
    """A command line to type, with the path of the program if it is not on PATH."""
    unknown = Path(sys.argv[0]).name == "fastnn" and shutil.which("fastnn") is None
    program = sys.argv[0] if unknown else "fastnn"
    with contextlib.suppress(OSError, ValueError):  # a removed folder, or a path on another drive
        program = os.path.relpath(program) if unknown else program
    return shlex.join([program, *arguments])


def size(name: str, value: int) -> str:
    """A size of blocks and its value, as text."""
    return f"{name} {in_bytes(value) if name in ('panels', 'block') else value}"


def in_bytes(count: int) -> str:
    """A number of bytes in KB or MB of 1024 and 1024 ** 2."""
    return f"{count / 2**20:.4g} MB" if count >= 2**20 else f"{count / 2**10:.4g} KB"


def say_to(log: Any) -> Callable[[str, str], None]:
    """Return a function that prints a labelled line."""

    def say(label: str, text: str) -> None:
        print(f"{label:20} {text}", file=log, flush=True)

    return say


def show(line: str) -> None:
    """Replace the last line of the terminal."""
    print(f"\r\033[K{line[:79]}", end="", file=sys.stderr, flush=True)


def ignore(line: str) -> None:
    """Print nothing, without a terminal."""

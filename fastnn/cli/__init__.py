"""The command line `fastnn`: train, resume, predict, plot, sweep, courses, warmup, info, bench, check.

Every command is a module with `add_parser(commands)` and a function that runs it. Imports beyond the standard library
are delayed until a command runs.
"""

import argparse
import sys
import warnings
from collections.abc import Sequence

from fastnn import BackendUnavailable, __version__
from fastnn.distributed.ranks import RankError
from fastnn.kernels.dispatch import validation
from fastnn.output import streams

from . import bench, check, courses, info, plot, predict, ranks, resume, sweep, train, warmup
from .parser import Parser

_EXAMPLES = """examples:
  fastnn train                                  train a convolutional network on generated images
  fastnn train --data cifar10 --epochs 5        on CIFAR-10
  fastnn resume runs/shapes-three-layer-conv    resume training where it stopped
  fastnn predict runs/first cat.png             classify images with a trained network
  fastnn plot runs/first                        plot losses and accuracies
  fastnn sweep                                  search for a learning rate and penalty
  fastnn courses                                list the courses whose notebooks run
  fastnn warmup                                 compile all kernels in advance
  fastnn info                                   show the available backends and the environment
  fastnn bench --quick                          time the kernels
  fastnn check                                  compare the kernels of every backend with the naive loops

The environment variable FASTNN_BACKEND selects the backend of every command.
`fastnn COMMAND --help` describes a command."""

_EXPECTED = (
    ValueError,
    TypeError,
    OSError,
    BackendUnavailable,
    NotImplementedError,
    MemoryError,
    OverflowError,
    RankError,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    argv: the arguments after the name of the program; None: those of the process
    Exit codes: 0 success; 1 the computation failed, or the output was a closed pipe; 2 wrong arguments, or a problem of
    the machine, such as a full disk; 130 interrupted. A command whose output cannot be written still runs to its end.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    with streams.tolerant() as output:
        code = _run(argv)
        output.flush()
        if output.error is None:
            return code
        if not isinstance(output.error, BrokenPipeError):  # normal in a pipe to `head`
            print(f"fastnn {argv[0]}: error: stdout could not be written: {output.error}", file=sys.stderr)
            return code or 2
        return code or 1


def _run(argv: list[str]) -> int:
    parser = _parser()
    if not argv or not (argv[0].startswith("-") or argv[0] in parser.commands):
        given = validation.brief(argv[0]) + " is unknown" if argv else "no command is given"
        near = validation.suggestion(argv[0], parser.commands) if argv else ""
        parser.error(f"{given}; expected one of {', '.join(parser.commands)}{near}")
    arguments = parser.parse_args(argv)
    if getattr(arguments, "mpi", False):
        return ranks.ending_together(lambda: _run_command(arguments))
    return _run_command(arguments)


def _run_command(arguments: argparse.Namespace) -> int:
    name = f"fastnn {arguments.command}"

    def show(message, *_):
        print(f"{name}: warning: {message}", file=sys.stderr)

    try:
        with warnings.catch_warnings():
            warnings.showwarning = show
            return arguments.run(arguments)
    except KeyboardInterrupt:
        print(f"\n{name}: interrupted", file=sys.stderr)
        return 130
    except _EXPECTED as error:
        print(f"{name}: error: {_one_line(error)}", file=sys.stderr)
        return 2


def _one_line(error: Exception) -> str:
    return " ".join("; ".join([str(error), *getattr(error, "__notes__", ())]).split())


def _parser() -> Parser:
    parser = Parser(
        prog="fastnn",
        description="Neural networks of the CS231n courses, with naive, NumPy, Numba and CUDA backends.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fastnn {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    parser.commands = commands.choices
    for module in (train, resume, predict, plot, sweep, courses, warmup, info, bench, check):
        module.add_parser(commands)
    return parser

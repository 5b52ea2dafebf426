"""The command `fastnn resume`."""

import argparse
import dataclasses
import os
from pathlib import Path
from typing import Any

from fastnn import get_backend
from fastnn.kernels.dispatch.switch import VARIABLE
from fastnn.output import atomic

from .common import add_common, command
from .imported import imported_model
from .ranks import add_mpi, world
from .run import Run
from .run_folder import CHECKPOINT, checkpoint_at
from .settings import DEFAULTS, Settings, data_of_script
from .train import train

_EXAMPLES = """examples:
  fastnn resume runs/shapes-three-layer-conv                after an interruption
  fastnn resume runs/shapes-three-layer-conv --epochs 10    five more epochs after the first five
  fastnn resume runs/first/checkpoint.h5.prev               from the checkpoint before the last
  mpiexec -n 2 fastnn resume --mpi runs/first               on two ranks, if it has shards
  fastnn resume run.h5 --data shapes                        the run of a script, on one of fastnn's data sets
  fastnn resume run.h5 --data shapes --model mine:Net       its network is the class Net in mine.py"""


def add_parser(commands: Any) -> None:
    parser = command(commands, "resume", "resume a run", _EXAMPLES, run_resume)
    parser.add_argument("path", type=Path, help="folder of a run, or a checkpoint of a run or script")
    parser.add_argument(
        "--epochs", type=int, metavar="N", help="total number of epochs, also for a schedule; default: unchanged"
    )
    add_data(parser)
    add_mpi(parser)
    add_common(parser, f"default: {VARIABLE}, else that of the run")


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add options for checkpoints of scripts, which do not contain the name of their data."""
    parser.add_argument("--data", choices=DEFAULTS, help="for a checkpoint of a script: its data set")
    parser.add_argument("--model", metavar="MODULE:NAME", help="... its network, if that is a class of yours")
    parser.add_argument("--data-root", metavar="DIR", help="with --data cifar10: its folder; default: FASTNN_DATA")


def run_resume(arguments: argparse.Namespace) -> int:
    """Resume from a checkpoint; return the exit code."""
    from fastnn.checkpoint import run as run_file

    path = checkpoint_at(arguments.path)
    path = atomic.target(path) if path.is_symlink() else path  # the resumed run saves next to the file itself
    tree = run_file.read("resume", path)
    settings = Settings.from_checkpoint(tree, path) if "settings" in tree else None
    for option in ("data", "model"):
        if settings is not None and (given := getattr(arguments, option)) is not None:
            raise ValueError(
                f"resume: --{option} {given} does not apply to path={str(path)!r}, which contains the name of its "
                f"{option}; expected no --{option}; leave it out"
            )
    if settings is None and "options" not in tree:
        raise ValueError(
            f"resume: path={str(path)!r} is a checkpoint of a script and an older fastnn, which did not store how "
            f"model and Solver were made; expected a newer one; resume in the script, with Solver.load_state"
        )

    comm = world(arguments)
    backend = arguments.backend or (None if os.environ.get(VARIABLE) else tree.get("backend"))
    with imported_model("resume", arguments.model) as model:

        def begin(log: Any) -> Run:
            if settings is None:
                return _run_of_script(path, tree, arguments, model, log, comm)
            return _run(path, tree, settings, arguments.epochs, log, comm)

        return train(begin, arguments, backend, comm)


def _run(path: Path, tree: dict, settings: Settings, epochs: int | None, log: Any, comm: Any) -> Run:
    """Resume a run of `fastnn train`."""
    from fastnn.solver import Solver

    if epochs is not None:
        settings = dataclasses.replace(settings, epochs=epochs)
    data = settings.load_data()
    if tree["schema"] == 1:
        solver = settings.build_solver(data, comm=comm)
        solver.load_state(tree["solver"])
    else:
        changed = {} if epochs is None else {"num_epochs": epochs, "schedule": settings.build_schedule()}
        solver = Solver.resume(path, data, on_nonfinite="raise", comm=comm, **changed)
    run = Run(solver, data, settings.data, get_backend(), path.parent / CHECKPOINT, settings, log)
    run.check_unfinished()
    return run


def _run_of_script(path: Path, tree: dict, arguments: argparse.Namespace, model: Any, log: Any, comm: Any) -> Run:
    from fastnn.solver import Solver

    data = data_of_script("resume", tree, path, arguments.data, arguments.data_root)
    changed = {} if arguments.epochs is None else {"num_epochs": arguments.epochs}
    solver = Solver.resume(path, data, model=model, on_nonfinite="raise", comm=comm, **changed)
    file = path.with_name(path.name.removesuffix(".prev"))
    given = {"--data": arguments.data, "--data-root": arguments.data_root, "--model": arguments.model}
    options = [word for name, value in given.items() if value is not None for word in (name, value)]
    run = Run(solver, data, arguments.data, get_backend(), file, None, log, options)
    run.check_unfinished()
    return run

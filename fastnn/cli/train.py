"""The command `fastnn train`, and the training and reports that `fastnn resume` shares with it."""

import argparse
import contextlib
import copy
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastnn import get_backend, use_backend
from fastnn.distributed.communicator import Communicator
from fastnn.kernels.dispatch.switch import VARIABLE
from fastnn.training.sampling import METHODS

from .common import add_common, add_settings, command, numbered, prepare, say_to, typed
from .models import exceptions
from .ranks import add_mpi, log_of, world
from .run import Run
from .run_folder import CHECKPOINT
from .settings import DEFAULTS, SCHEDULES, Settings

_TRAIN_EXAMPLES = """examples:
  fastnn train
  fastnn train --data cifar10 --epochs 5 --out runs/first
  fastnn train --model two-layer --hidden-dim 200 --learning-rate 3e-4
  fastnn train --epochs 10 --schedule one-cycle --sampling epoch
  fastnn train --data cifar10 --num-train 1000 --epochs 20 --backend vectorized
  mpiexec -n 4 fastnn train --mpi --shards 8
Ctrl-C saves the state of the run; `fastnn resume FOLDER` resumes it."""

_SCHEDULE_HELP = """further factor for the learning rate: step: times 1/10 after each third of the epochs; exponential:
down to 1/100; cosine: down to 0; warmup-cosine: up during the first twentieth of the steps, then cosine; one-cycle: up,
then down; plateau: times 0.3 after more than 2 evaluations without a better validation accuracy; default none"""


def add_parser(commands: Any) -> None:
    parser = command(commands, "train", "train a network and save it", _TRAIN_EXAMPLES, run_train)
    add = parser.add_argument
    add("--out", metavar="DIR", help="folder for the checkpoint and the picture; default runs/DATA-MODEL")
    add("--lr-decay", type=float, metavar="X", help="factor for the learning rate after each epoch; default 1")
    add("--schedule", choices=SCHEDULES, help=_SCHEDULE_HELP + exceptions("schedule", ["none"]))
    add("--weight-decay", type=float, metavar="X", help="weight decay of the update rule; default: that of the rule")
    add(
        "--sampling",
        choices=METHODS,
        help="how batches are drawn; default with_replacement" + exceptions("sampling", ["with_replacement"]),
    )
    add(
        "--augment",
        action=argparse.BooleanOptionalAction,
        help="mirror and shift the training images of cifar10 at random; default no" + exceptions("augment", [False]),
    )
    add("--early-stopping", type=int, metavar="N", help="stop after N epochs without a better validation accuracy")
    add_settings(parser, DEFAULTS)
    add(
        "--shards",
        type=int,
        metavar="N",
        help="equal parts of each batch, a power of two, with which any number of ranks gives the same bits; default: "
        "the number of ranks, with a batch size that divides, if none is given",
    )
    add_mpi(parser)
    add_common(parser, f"default: {VARIABLE}")


def run_train(arguments: argparse.Namespace) -> int:
    """Train from the beginning; return the exit code."""
    comm = world(arguments)
    arguments.shards = comm.size if arguments.shards is None else arguments.shards
    settings = Settings.from_arguments(arguments)
    folder = Path() if comm.rank else _new_folder(arguments.out, settings)
    checkpoint = folder / CHECKPOINT

    def begin(log: Any) -> Run:
        data = settings.load_data()
        solver = settings.build_solver(data, comm=comm)
        return Run(solver, data, settings.data, get_backend(), checkpoint, settings, log)

    return train(begin, arguments, arguments.backend, comm)


def _new_folder(out: str | None, settings: Settings) -> Path:
    """The folder for a new run: the requested one, which must be unused, or the first unused one in runs/."""
    if out is None:
        first = Path("runs", f"{settings.data}-{settings.model}")
        taken = (CHECKPOINT, f"{CHECKPOINT}.lock")  # a run that has just started has only the lock
        folder = next(one for one in numbered(first) if not any((one / name).exists() for name in taken))
    else:
        folder = Path(out)
        if (folder / CHECKPOINT).exists():
            raise ValueError(
                f"train: out={out!r} already contains a run; expected a folder for a new one; choose another one, or "
                f"resume the run: {typed('resume', str(folder))}"
            )
    return folder


def train(begin: Callable[[Any], Run], arguments: argparse.Namespace, backend: str | None, comm: Communicator) -> int:
    """Train on a backend and print a report; return the exit code.

    begin: function that makes the Run, given a log; comm: the ranks, of which the first reports and saves
    """
    switched = use_backend(backend) if backend else contextlib.nullcontext()
    with log_of(comm, sys.stderr if arguments.json else sys.stdout) as log, switched:
        return _train(begin, arguments, comm, log)


def _train(begin: Callable[[Any], Run], arguments: argparse.Namespace, comm: Communicator, log: Any) -> int:
    say = say_to(log)
    run = begin(log)
    for label, text in run.introduction():
        say(label, text)
    warm_up = prepare(copy.deepcopy(run.model), _arguments(run.solver), run.data, log)
    try:
        seconds = run.train()
    except KeyboardInterrupt:
        run.save()
        print(file=log)
        say("interrupted", f"after {run.solver.iteration} of {run.total} steps")
        say("saved", str(run.checkpoint))
        say("resume with", typed(*run.resume_command))
        return 130
    except FloatingPointError as error:
        run.save()
        if comm.rank == 0:
            print(f"fastnn {arguments.command}: {error}", file=sys.stderr)
            print(f"The best parameters so far are in {run.checkpoint}", file=sys.stderr)
        return 1
    if comm.rank:
        return 0
    result = {**run.result(arguments.command), "seconds": seconds, "warm_up_seconds": warm_up}
    _report(result, run, say)
    if arguments.json:
        print(json.dumps(result, indent=2))
    return 0


def _arguments(solver: Any) -> dict[str, Any]:
    """The keywords of a Solver that determine which kernels run."""
    names = ("update_rule", "optim_config", "schedule", "transform", "clip_norm")
    return {name: getattr(solver, name) for name in names}


def _report(result: dict, run: Run, say: Any) -> None:
    step = result["seconds_per_step"]
    say("validation accuracy", f"{result['validation_accuracy']:.3f}")
    say("test accuracy", f"{result['test_accuracy']:.3f}")
    if step is not None:
        say("time per step", f"{1000 * step:.1f} ms (median), {result['seconds']:.1f} s in all")
    say("checkpoint", result["checkpoint"])
    if result["picture"] is not None:
        say("picture", result["picture"])
    if not result["stopped_early"]:
        say("resume with", f"{typed(*run.resume_command)} --epochs {2 * run.solver.num_epochs}")

"""`fastnn train` and `fastnn resume`."""

import argparse
import contextlib
import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

from fastnn import get_backend, use_backend
from fastnn.kernels.switch import VARIABLE
from fastnn.sampling import METHODS

from .common import add_common, add_settings, command, numbered, prepare, say_to, typed
from .settings import DEFAULTS, SCHEDULES, Settings

_TRAIN_EXAMPLES = """examples:
  fastnn train
  fastnn train --data cifar10 --epochs 5 --out runs/first
  fastnn train --model two-layer --hidden-dim 200 --learning-rate 3e-4
  fastnn train --epochs 10 --schedule one-cycle --sampling epoch
  fastnn train --data cifar10 --num-train 1000 --epochs 20 --backend vectorized
Ctrl-C saves the state of the run; `fastnn resume FOLDER` goes on from there."""

_RESUME_EXAMPLES = """examples:
  fastnn resume runs/shapes-three-layer-conv                after an interruption
  fastnn resume runs/shapes-three-layer-conv --epochs 10    five more epochs after the first five
  fastnn resume runs/first/checkpoint.h5.prev               from the checkpoint before the last"""

_SCHEDULE_HELP = """further factor for the learning rate: step: 1/10 after each third of the epochs; exponential: down
to 1/100; cosine: down to 0; warmup-cosine: up in the first twentieth of the steps, then so; one-cycle: up, then down;
plateau: 0.3 after more than 2 checks without a better validation accuracy; default none"""


def add_parser(commands: Any) -> None:
    parser = command(commands, "train", "train a network and save it", _TRAIN_EXAMPLES, run_train)
    add = parser.add_argument
    add("--out", metavar="DIR", help="folder for the checkpoint and the picture; default runs/DATA-MODEL")
    add("--lr-decay", type=float, metavar="X", help="factor for the learning rate after each epoch; default 1")
    add("--schedule", choices=SCHEDULES, help=_SCHEDULE_HELP)
    add("--weight-decay", type=float, metavar="X", help="of the update rule; default: the rule's")
    add("--sampling", choices=METHODS, help="how batches are drawn; default with_replacement")
    add("--augment", action="store_true", help="mirror and move the training images of cifar10 at random")
    add("--early-stopping", type=int, metavar="N", help="stop after N epochs without a better validation accuracy")
    add_settings(parser, DEFAULTS)
    add_common(parser, f"default: as {VARIABLE} says")

    parser = command(commands, "resume", "go on with a run", _RESUME_EXAMPLES, run_resume)
    parser.add_argument("path", type=Path, help="folder of the run, or a checkpoint in it")
    parser.add_argument("--epochs", type=int, metavar="N", help="epochs in all, for a schedule too; default: as begun")
    add_common(parser, f"default: as {VARIABLE} says, else that of the run")


def run_train(arguments: argparse.Namespace) -> int:
    """Train from the beginning; returns the exit code."""
    settings = Settings.from_arguments(arguments)
    return _run(settings, arguments, arguments.backend, _new_folder(arguments.out, settings))


def run_resume(arguments: argparse.Namespace) -> int:
    """Go on from a checkpoint; returns the exit code."""
    from fastnn import checkpoint

    from .run import CHECKPOINT

    path = arguments.path / CHECKPOINT if arguments.path.is_dir() else arguments.path
    tree = checkpoint.load(path)
    settings = Settings.from_checkpoint(tree, path)
    if arguments.epochs is not None:
        settings = dataclasses.replace(settings, epochs=arguments.epochs)
    state = tree["solver"]
    backend = arguments.backend or (None if os.environ.get(VARIABLE) else tree["backend"])
    return _run(settings, arguments, backend, path.parent, state)


def _new_folder(out: str | None, settings: Settings) -> Path:
    """The folder for a new run: the one asked for, or the first free one under runs/; it holds no other run."""
    from .run import CHECKPOINT

    if out is None:
        first = Path("runs", f"{settings.data}-{settings.model}")
        folder = next(candidate for candidate in numbered(first) if not (candidate / CHECKPOINT).exists())
    else:
        folder = Path(out)
        if (folder / CHECKPOINT).exists():
            raise ValueError(
                f"train: out={out!r} holds a run already; expected a folder for a new one; choose another one, or go "
                f"on with the run: {typed('resume', str(folder))}"
            )
    return folder


def _run(
    settings: Settings, arguments: argparse.Namespace, backend: str | None, folder: Path, state: Any = None
) -> int:
    """Train on a backend and report."""
    from .run import Run

    log = sys.stderr if arguments.json else sys.stdout
    say = say_to(log)

    with use_backend(backend) if backend else contextlib.nullcontext():
        name = get_backend()
        run = Run(settings, settings.load_data(), name, folder, state, log)
        for label, text in run.introduction():
            say(label, text)
        warm_up = prepare(settings, run.data, log)
        try:
            seconds = run.train()
        except KeyboardInterrupt:
            run.save()
            print(file=log)
            say("interrupted", f"after {run.solver.iteration} of {run.total} steps")
            say("saved", str(run.checkpoint))
            say("go on with", typed("resume", str(run.folder)))
            return 130
        except FloatingPointError as error:
            run.save()
            print(f"fastnn {arguments.command}: {error}", file=sys.stderr)
            print(f"The best parameters so far are in {run.checkpoint}", file=sys.stderr)
            return 1
        result = {**run.result(), "seconds": seconds, "warm_up_seconds": warm_up}
    _report(result, say)
    if arguments.json:
        print(json.dumps(result, indent=2))
    return 0


def _report(result: dict, say: Any) -> None:
    step = result["seconds_per_step"]
    say("validation accuracy", f"{result['validation_accuracy']:.3f}")
    say("test accuracy", f"{result['test_accuracy']:.3f}")
    if step is not None:
        say("time per step", f"{1000 * step:.1f} ms (median), {result['seconds']:.1f} s in all")
    say("checkpoint", result["checkpoint"])
    say("picture", result["picture"])
    if not result["stopped_early"]:
        say("go on with", f"{typed('resume', result['folder'])} --epochs {2 * result['settings']['epochs']}")

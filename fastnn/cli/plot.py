"""The command `fastnn plot`."""

import argparse
import json
from pathlib import Path
from typing import Any

from .common import command, drawn
from .picture import draw
from .run_folder import checkpoint_at, picture_of

_EXAMPLES = """examples:
  fastnn plot runs/shapes-three-layer-conv       losses, accuracies and filters of a run, also while it trains
  fastnn plot run.h5 --out picture.pdf           the checkpoint of a script; .png, .svg or .pdf"""


def add_parser(commands: Any) -> None:
    parser = command(commands, "plot", "plot losses, accuracies and filters of a run", _EXAMPLES, run_plot)
    parser.add_argument("path", type=Path, help="folder of a run, or a checkpoint")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default training.png, or NAME.png for NAME.h5")
    parser.add_argument("--json", action="store_true", help="also print the histories as JSON")


def run_plot(arguments: argparse.Namespace) -> int:
    """Plot a checkpoint; return the exit code."""
    from fastnn.checkpoint import run

    path = checkpoint_at(arguments.path)
    tree = run.read("plot", path)
    state, picture = tree["solver"], arguments.out or picture_of(path)
    shape = tree.get("data", {}).get("input_shape", (3, 32, 32))
    found = drawn("plot", picture, lambda: draw(state, shape, picture), "error")
    if arguments.json:
        names = ("iteration", "epoch", "best_val_acc", "loss_history", "train_acc_history", "val_acc_history")
        print(json.dumps({"checkpoint": str(path), "picture": found, **{name: state[name] for name in names}}))
    elif found:
        print(found)
    return 0 if found else 2

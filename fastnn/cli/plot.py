"""`fastnn plot`."""

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .common import command, drawn
from .resume import checkpoint_at
from .run import CHECKPOINT

_EXAMPLES = """examples:
  fastnn plot runs/shapes-three-layer-conv       losses, accuracies and filters of a run, also while it trains
  fastnn plot run.h5 --out picture.pdf           of a script's checkpoint; .png, .svg or .pdf"""


def add_parser(commands: Any) -> None:
    parser = command(commands, "plot", "draw how a run went", _EXAMPLES, run_plot)
    parser.add_argument("path", type=Path, help="folder of a run, or a checkpoint")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default training.png, or NAME.png for NAME.h5")
    parser.add_argument("--json", action="store_true", help="print the histories as JSON too")


def run_plot(arguments: argparse.Namespace) -> int:
    """Draw a checkpoint; returns the exit code."""
    from fastnn import run_file

    path = checkpoint_at(arguments.path)
    tree = run_file.read("plot", path)
    state, picture = tree["solver"], arguments.out or picture_of(path)
    shape = tree.get("data", {}).get("input_shape", (3, 32, 32))
    found = drawn("plot", picture, lambda: draw(state, shape, picture), "error")
    if arguments.json:
        names = ("iteration", "epoch", "best_val_acc", "loss_history", "train_acc_history", "val_acc_history")
        print(json.dumps({"checkpoint": str(path), "picture": found, **{name: state[name] for name in names}}))
    elif found:
        print(found)
    return 0 if found else 2


def picture_of(checkpoint: Path) -> Path:
    """Where the picture of a checkpoint goes: beside it."""
    name = checkpoint.name.removesuffix(".prev")
    return checkpoint.with_name("training.png" if name == CHECKPOINT else f"{name.removesuffix('.h5')}.png")


def draw(state: dict[str, Any], input_shape: Sequence[int], picture: Path) -> None:
    """Losses, accuracies and, where the first layer looks at images, its weights."""
    from fastnn import vis_utils

    weights = next((array for array in (state["best_params"] or state["params"]).values() if array.ndim > 1), None)
    if weights is not None and weights.ndim == 4:
        vis_utils.training_picture(state, weights, picture)
    elif weights is not None and len(input_shape) == 3 and len(weights) == math.prod(input_shape):
        vis_utils.training_picture(state, weights, picture, image_shape=tuple(input_shape))
    else:
        vis_utils.plot_stats(state, picture)

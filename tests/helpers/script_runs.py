"""Checkpoints of runs by scripts, and predictions of them, for the tests of commands."""

import json

import numpy as np

from fastnn import data_utils, nn
from fastnn.cli import main
from fastnn.solver import Solver


class Own(nn.Sequential):
    """A custom network, which a file cannot hold."""


def shape_images():
    """Return test images as pixels (5, 32, 32, 3), and as inputs."""
    sizes = (12, 6, 5)
    raw = data_utils.get_shapes_data(*sizes, subtract_mean=False)["X_test"] * 64
    return np.rint(raw).astype(np.uint8).transpose(0, 2, 3, 1), data_utils.get_shapes_data(*sizes)["X_test"]


def script(name="run.h5", model=None, data=None, **options):
    """Train as a script would, on the data set of the commands, and stop before the end."""
    data = data or data_utils.get_shapes_data(12, 6, 5)
    if model is None:
        made = {"init": "kaiming_normal", "seed": 0}
        model = nn.Sequential(nn.Conv2d(3, 2, 3, **made), nn.ReLU(), nn.MaxPool2d(2), nn.Linear(450, 10, **made))
    options = {"checkpoint_name": name, "batch_size": 4, "num_epochs": 2, "verbose": False, "seed": 1, **options}
    solver = Solver(model, data, **options)
    solver.train()
    return solver


def predicted(capsys, *arguments):
    """Return the result of `fastnn predict --json`."""
    capsys.readouterr()
    assert main(["predict", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)

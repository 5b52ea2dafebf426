"""Short training runs of a network with all kinds of state, for the tests of `Solver.resume`."""

import functools
import tempfile
from pathlib import Path

import numpy as np
import pytest

import fastnn
from fastnn import nn
from fastnn.augment import Augment
from fastnn.schedules import Cosine, Warmup
from fastnn.solver import Solver

RNG = np.random.default_rng(0)
IMAGES = {
    "X_train": RNG.standard_normal((18, 2, 6, 6)).astype(np.float32),
    "y_train": RNG.integers(0, 3, 18),
    "X_val": RNG.standard_normal((6, 2, 6, 6)).astype(np.float32),
    "y_val": RNG.integers(0, 3, 6),
}


def network():
    """Return a network with all kinds of state: running statistics, masks, moments."""
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1, seed=1),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Residual(nn.Conv2d(3, 3, 3, padding=1, seed=2), nn.Dropout(0.2, seed=3)),
        nn.MaxPool2d(2),
        nn.Linear(27, 3, seed=4),
        reg=1e-2,
    )


def train(path, model=None, stop=None, **options):
    """Return a Solver after its whole run, or after `stop` iterations."""
    options = {
        "update_rule": "adam",
        "batch_size": 4,
        "num_epochs": 3,
        "seed": 5,
        "schedule": Warmup(0.5, then=Cosine()),
        "transform": Augment(1, 0.5, 2),
        "sampling": "epoch",
        "lr_decay": 0.9,
        "verbose": False,
        "checkpoint_name": path,
        "checkpoint_every": 3,
        **options,
    }
    solver = Solver(model or network(), IMAGES, **options)
    if stop is None:
        solver.train()
        return solver

    class Stopped(Exception):
        pass

    def iterate(original=solver._iterate):
        if solver.iteration == stop:
            raise Stopped
        original()

    solver._iterate = iterate
    with pytest.raises(Stopped):
        solver.train()
    return solver


@functools.cache
def one_epoch():
    """Return the bytes of the checkpoint of a run of one epoch, four iterations."""
    with tempfile.TemporaryDirectory() as folder, fastnn.use_backend("vectorized"):
        path = Path(folder) / "run.h5"
        train(path, num_epochs=1)
        return path.read_bytes()

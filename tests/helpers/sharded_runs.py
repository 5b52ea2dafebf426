"""A small training with shards, for the tests of data-parallel training."""

import numpy as np

from fastnn import nn
from fastnn.augment import Augment
from fastnn.schedules import Cosine, Warmup
from fastnn.solver import Solver

RNG = np.random.default_rng(0)
DATA = {
    "X_train": RNG.standard_normal((50, 2, 6, 6)).astype(np.float32),
    "y_train": RNG.integers(0, 3, 50),
    "X_val": RNG.standard_normal((11, 2, 6, 6)).astype(np.float32),
    "y_val": RNG.integers(0, 3, 11),
}
OPTIONS = {
    "update_rule": "adam",
    "batch_size": 16,
    "num_epochs": 3,
    "num_train_samples": 30,
    "schedule": Warmup(0.5, then=Cosine()),
    "transform": Augment(1, 0.5, 2),
    "clip_norm": 0.5,
    "sampling": "epoch",
    "verbose": False,
    "shards": 8,
    "seed": 5,
}


def network(seed=0):
    """A network with all kinds of state: running statistics, masks, moments."""
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1, seed=seed + 1),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Residual(nn.Conv2d(3, 3, 3, padding=1, seed=seed + 2), nn.Dropout(0.2, seed=seed + 3)),
        nn.MaxPool2d(2),
        nn.Linear(27, 3, seed=seed + 4),
        reg=1e-2,
    )


def make(comm=None, model=None, data=DATA, **options):
    return Solver(model or network(), data, comm=comm, **{**OPTIONS, **options})

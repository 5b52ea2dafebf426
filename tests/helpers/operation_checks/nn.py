"""A convolutional network, and random inputs."""

import numpy as np

from fastnn import nn

DOUBLE = {"dtype": np.float64, "seed": 3}


def normal(*shape, dtype=np.float64, seed=5):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def convnet(**options):
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, **DOUBLE),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 3, 3, **DOUBLE),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(3, 5, **DOUBLE),
        nn.ReLU(),
        nn.Linear(5, 3, **DOUBLE),
        **options,
    )

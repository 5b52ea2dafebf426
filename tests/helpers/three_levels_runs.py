"""The trainings of `benchmarks/three_levels.py` on a few small images, and what they must show."""

import sys
from pathlib import Path

import numpy as np

import fastnn
import fastnn.nn.functional as F

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import three_levels

TRAININGS = {
    "bare_two_layer": {"hidden_size": 12},
    "bare_convnet": {"channel_1": 3, "channel_2": 2},
    "module_two_layer": {"hidden_size": 12},
    "module_convnet": {"channel_1": 3, "channel_2": 2},
    "module_convnet_nesterov": {"channel_1": 3, "channel_2": 2},
    "sequential": {"channel_1": 3, "channel_2": 2},
    "own": {"widths": (2, 3, 4), "epochs": 2},
}


def images(count, side):
    """Images of 10 classes, which differ in the mean of a colour in a quarter."""
    rng = np.random.default_rng(0)
    data = {}
    for part, N in (("train", count), ("val", 40)):
        y = rng.integers(0, 10, N)
        X = rng.standard_normal((N, 3, side, side), np.float32)
        X[np.arange(N), y % 3, :, : side // 2] += (y // 3)[:, None, None] - 1.5
        data |= {f"X_{part}": X, f"y_{part}": y}
    return data


def trained(name, data):
    """The mean loss of the training images after one of the trainings."""
    fastnn.reset_seed(0)
    model = getattr(three_levels, name)(data, **TRAININGS[name])
    with fastnn.no_grad():
        return F.cross_entropy(model(fastnn.Tensor(data["X_train"])), fastnn.Tensor(data["y_train"])).item()

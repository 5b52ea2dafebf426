"""Layers of the course's networks, where these differ from the layers of `fastnn.nn`, which follow torch."""

from typing import Any, TypeVar

import numpy as np

from fastnn import layers
from fastnn.kernels.dispatch import arrays
from fastnn.nn import Dropout
from fastnn.nn.normalization import BatchNorm

B = TypeVar("B", bound=BatchNorm)


def batchnorm(layer: B) -> B:
    """Let running_var begin at 0, as in the course, and return the layer."""
    layer.buffers["running_var"] = np.zeros_like(layer.buffers["running_var"])
    return layer


class ReseedingDropout(Dropout):
    """Dropout with the mask of `dropout_param["seed"]`: each forward pass first seeds NumPy's global state.

    p, seed: as in `fastnn.nn.Dropout`; seed: an integer, less than 2**32
    """

    def __init__(self, p: float, seed: int) -> None:
        super().__init__(p, seed=seed, fixed=True)

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        seed = int(arrays.to_numpy(self.buffers["key"]))
        mode = "train" if self.training else "test"
        out, (mask, _) = layers.dropout_forward(x, {"p": 1 - self.p, "mode": mode, "seed": seed})
        return out, mask

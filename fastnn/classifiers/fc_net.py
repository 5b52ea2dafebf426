"""Fully connected networks."""

import functools
from typing import Any

import numpy as np

from fastnn import random
from fastnn.nn import Linear, ReLU, Sequential, init

__all__ = ["TwoLayerNet"]


class TwoLayerNet(Sequential):
    """affine - ReLU - affine - softmax, with parameters W1 (D, H), b1 (H,), W2 (H, K), b2 (K,).

    input_dim, hidden_dim, num_classes: D, H, K; inputs (N, d1, ..., dk) are flattened to (N, D)
    weight_scale: standard deviation of the initial weights; biases begin as zeros
    reg: strength of the penalty 0.5 * reg * (sum(W1*W1) + sum(W2*W2))
    dtype, seed: of the parameters (see `fastnn.random`)
    """

    def __init__(
        self,
        input_dim: int = 3072,
        hidden_dim: int = 100,
        num_classes: int = 10,
        weight_scale: float = 1e-3,
        reg: float = 0.0,
        *,
        dtype: Any = np.float64,
        seed: Any = None,
    ) -> None:
        options: dict[str, Any] = {
            "dtype": dtype,
            "init": functools.partial(init.normal, std=weight_scale),
            "seed": random.generator(seed),
        }
        super().__init__(
            Linear(input_dim, hidden_dim, **options),
            ReLU(),
            Linear(hidden_dim, num_classes, **options),
            reg=reg,
            names=("W1", "b1", "W2", "b2"),
        )

"""Convolutional networks.

As in the course, `from fastnn.classifiers.cnn import *` also imports everything in `fastnn.layer_utils`.
"""

import functools
from typing import Any

import numpy as np

from fastnn import arguments, layer_utils, rng
from fastnn.kernels.dispatch import validation
from fastnn.layer_utils import *  # noqa: F403
from fastnn.nn import BatchNorm1d, BatchNorm2d, Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential, init

from . import course_layers

__all__ = ["ThreeLayerConvNet"]
__all__ += layer_utils.__all__

_PLAIN = ("W1", "b1", "W2", "b2", "W3", "b3")
_NORMALIZED = ("W1", "b1", "gamma1", "beta1", "W2", "b2", "gamma2", "beta2", "W3", "b3")


class ThreeLayerConvNet(Sequential):
    """Conv - ReLU - 2x2 max pool - affine - ReLU - affine - softmax; optionally batch normalization before each ReLU.

    Parameters: W1 (F, C, filter_size, filter_size), b1 (F,); W2 (F*PH*PW, hidden_dim), b2; W3 (hidden_dim, K), b3,
    with PH x PW the size of the pooled image; with use_batchnorm also gamma1, beta1 (F,) after b1 and gamma2, beta2
    (hidden_dim,) after b2. The padding is (filter_size - 1) // 2, which preserves the image size for odd filter_size.

    input_dim: (C, H, W); num_filters: F; num_classes: K
    filter_size, hidden_dim: side of a filter in pixels, units of the hidden layer
    weight_scale: standard deviation of the initial weights; biases are initially 0
    reg: strength of the penalty 0.5 * reg * (sum(W1*W1) + sum(W2*W2) + sum(W3*W3))
    dtype, seed: of the parameters (see `fastnn.rng`)
    use_batchnorm: use conv - batch norm - ReLU - pool - affine - batch norm - ReLU - affine; as in the course,
        running_var is initially 0
    """

    def __init__(
        self,
        input_dim: tuple[int, int, int] = (3, 32, 32),
        num_filters: int = 32,
        filter_size: int = 7,
        hidden_dim: int = 100,
        num_classes: int = 10,
        weight_scale: float = 1e-3,
        reg: float = 0.0,
        dtype: Any = np.float32,
        use_batchnorm: bool = False,
        *,
        seed: Any = None,
    ) -> None:
        channels, height, width = arguments.lengths("ThreeLayerConvNet", "input_dim", input_dim, 3)
        filter_size = validation.integer("ThreeLayerConvNet", "filter_size", filter_size, minimum=1)
        pad = (filter_size - 1) // 2
        pooled = [(length + 2 * pad - filter_size + 1) // 2 for length in (height, width)]
        if min(pooled) < 1:
            raise ValueError(
                f"ThreeLayerConvNet: input_dim={input_dim} is too small for filter_size={filter_size}; expected at "
                f"least 2x2 pixels after the convolution; use larger images"
            )
        num_filters = validation.integer("ThreeLayerConvNet", "num_filters", num_filters, minimum=1)
        hidden_dim = validation.integer("ThreeLayerConvNet", "hidden_dim", hidden_dim, minimum=1)
        num_classes = validation.integer("ThreeLayerConvNet", "num_classes", num_classes, minimum=1)
        weight_scale = validation.number("ThreeLayerConvNet", "weight_scale", weight_scale, minimum=0)
        options: dict[str, Any] = {
            "dtype": dtype,
            "init": functools.partial(init.normal, std=weight_scale),
            "seed": rng.generator(seed),
        }
        spatial = (
            (course_layers.batchnorm(BatchNorm2d(num_filters, dtype=dtype)),)
            if validation.flag("ThreeLayerConvNet", "use_batchnorm", use_batchnorm)
            else ()
        )
        flat = (course_layers.batchnorm(BatchNorm1d(hidden_dim, dtype=dtype)),) if use_batchnorm else ()
        super().__init__(
            Conv2d(channels, num_filters, filter_size, padding=pad, **options),
            *spatial,
            ReLU(),
            MaxPool2d(2),
            Flatten(),
            Linear(num_filters * pooled[0] * pooled[1], hidden_dim, **options),
            *flat,
            ReLU(),
            Linear(hidden_dim, num_classes, **options),
            reg=reg,
            names=_NORMALIZED if use_batchnorm else _PLAIN,
        )

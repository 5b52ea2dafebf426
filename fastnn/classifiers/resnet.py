"""A residual network for small images."""

import functools
from typing import Any

import numpy as np

from fastnn import arguments, rng
from fastnn.kernels.dispatch import validation
from fastnn.layers import softmax_loss
from fastnn.nn import BatchNorm2d, Conv2d, GlobalAvgPool2d, Linear, MaxPool2d, Module, ReLU, Residual, Sequential

__all__ = ["ResNet"]


class ResNet(Sequential):
    """Residual network of eight 3x3 convolutions with batch norm and ReLU, two shortcuts, and an affine layer.

    With F = num_filters, and [F] for a convolution with F filters, its batch norm and its ReLU:

        [F] [2F] pool [4F] ([4F] [4F] + x) pool [8F] pool ([8F] [8F] + x) - global average pool - affine - softmax

    where pool is a 2x2 max pool, and (... + x) is a residual block with input x. Convolutions pad by 1 and have no
    bias. The parameters have torch's names ("0.weight", ...), weights are initialised as in He et al. (2015), see
    `nn.init.kaiming_normal`.

    input_dim: (C, H, W), of at least 8x8 pixels; num_filters: F; num_classes: K
    reg: strength of the penalty 0.5 * reg * sum(W*W) on the weights of convolutions and the affine layer
    label_smoothing: of the softmax loss (see `layers.softmax_loss`)
    dtype, seed: of the parameters (see `fastnn.rng`)
    Source: He, Zhang, Ren & Sun, Deep residual learning for image recognition (2016), section 3.
    """

    def __init__(
        self,
        input_dim: tuple[int, int, int] = (3, 32, 32),
        num_filters: int = 16,
        num_classes: int = 10,
        reg: float = 0.0,
        label_smoothing: float = 0.0,
        dtype: Any = np.float32,
        *,
        seed: Any = None,
    ) -> None:
        channels, height, width = arguments.lengths("ResNet", "input_dim", input_dim, 3)
        if min(height, width) < 8:
            raise ValueError(
                f"ResNet: input_dim={input_dim} is too small; expected images of at least 8x8 pixels, which are pooled "
                f"three times; use larger images"
            )
        filters = validation.integer("ResNet", "num_filters", num_filters, minimum=1)
        num_classes = validation.integer("ResNet", "num_classes", num_classes, minimum=1)
        smoothing = validation.number("ResNet", "label_smoothing", label_smoothing, minimum=0, below=1)
        dtype = arguments.dtype("ResNet", dtype)
        options: dict[str, Any] = {"dtype": dtype, "init": "kaiming_normal", "seed": rng.generator(seed)}

        def convolution(inputs: int, outputs: int) -> tuple[Module, ...]:
            layer = Conv2d(inputs, outputs, 3, padding=1, bias=False, **options)
            return layer, BatchNorm2d(outputs, dtype=dtype), ReLU()

        def block(filters: int) -> Module:
            return Residual(*convolution(filters, filters), *convolution(filters, filters))

        super().__init__(
            *convolution(channels, filters),
            *convolution(filters, 2 * filters),
            MaxPool2d(2),
            *convolution(2 * filters, 4 * filters),
            block(4 * filters),
            MaxPool2d(2),
            *convolution(4 * filters, 8 * filters),
            MaxPool2d(2),
            block(8 * filters),
            GlobalAvgPool2d(),
            Linear(8 * filters, num_classes, **options),
            loss=functools.partial(softmax_loss, label_smoothing=smoothing),
            reg=reg,
        )

"""Linear, convolution, pooling and flatten."""

import functools
import math
from typing import Any

from fastnn.autograd import Tensor, record
from fastnn.kernels import affine, pool2d
from fastnn.kernels import conv2d as convolution
from fastnn.kernels.dispatch import arrays, validation

from .. import deferred
from ..layers import MaxPool2d
from .inputs import as_tensor, floats, public

_pooling = functools.lru_cache(64)(MaxPool2d)


@public
def linear(input: Any, weight: Any, bias: Any = None) -> Tensor:
    """Compute input @ weight.T + bias: input (..., D), weight (M, D), bias (M,). Returns (..., M)."""
    inputs, (x, w, b) = floats("linear", ("bias",), input=(input, "..."), weight=(weight, "M D"), bias=(bias, "M"))
    if x.shape[-1:] != w.shape[1:]:
        raise ValueError(
            f"linear: input.shape = {x.shape} does not fit weight.shape = {w.shape}; expected (..., {w.shape[1]}); "
            f"flatten or transpose the input, or pass the weight as (out_features, in_features)"
        )
    rows, w = x.reshape(math.prod(x.shape[:-1]), x.shape[-1]), arrays.contiguous(w.swapaxes(0, 1), w.dtype)
    out = affine.affine_forward(rows, w, _or_zeros(b, w.shape[1], w)).reshape(*x.shape[:-1], w.shape[1])

    def gradients(dout: Any, needed: list[bool]) -> list[Any]:
        dx, dw, db = affine.affine_backward(dout.reshape(len(rows), w.shape[1]), rows, w, need_dx=needed[0])
        return [dx if dx is None else dx.reshape(x.shape), dw.swapaxes(0, 1), db]

    return record("linear", inputs, out, gradients, keeps="inputs")


@public
def conv2d(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1) -> Tensor:
    """Convolve images input (N, C, H, W) with filters weight (F, C, KH, KW); bias (F,). Returns (N, F, OH, OW).

    stride, padding, dilation: an integer or a (height, width) pair
    OH = 1 + (H + 2 * padding - dilation * (KH - 1) - 1) // stride, OW likewise.
    """
    function = "conv2d"
    inputs, (x, w, b) = floats(
        function, ("bias",), input=(input, "N C H W"), weight=(weight, "F C KH KW"), bias=(bias, "F")
    )
    geometry = {
        "stride": validation.pair(function, "stride", stride, minimum=1),
        "pad": validation.pair(function, "padding", padding, minimum=0),
        "dilation": validation.pair(function, "dilation", dilation, minimum=1),
    }
    out = convolution.conv2d_forward(x, w, _or_zeros(b, len(w), w), **geometry)

    def gradients(dout: Any, needed: list[bool]) -> tuple:
        return convolution.conv2d_backward(dout, x, w, need_dx=needed[0], **geometry)

    return record(function, inputs, out, gradients, keeps="inputs")


def _or_zeros(bias: Any, length: int, like: Any) -> Any:
    """The bias, or zeros if it is None."""
    return arrays.zeros((length,), like) if bias is None else bias


@public
def max_pool2d(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0) -> Tensor:
    """The largest element of each window of input (N, C, H, W), the first of equal ones. Returns (N, C, OH, OW).

    kernel_size, stride, padding: an integer or a (height, width) pair; stride is by default kernel_size
    OH = 1 + (H + 2 * padding - KH) // stride, OW likewise; padding counts as -infinity.
    """
    geometry = _window("max_pool2d", kernel_size, stride, padding)
    if (joined := deferred.joined(input, _pooling(*geometry))) is not None:
        return joined
    inputs, (x,) = floats("max_pool2d", input=(input, "N C H W"))
    out, index = pool2d.max_pool2d_forward(x, *geometry)
    shape = x.shape
    gradient = (lambda dout: pool2d.max_pool2d_backward(dout, index, shape, *geometry),)
    return record("max_pool2d", inputs, out, gradient, keeps="")


@public
def avg_pool2d(input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0) -> Tensor:
    """The mean of each window, padding included as zeros; arguments and shapes are those of `max_pool2d`."""
    inputs, (x,) = floats("avg_pool2d", input=(input, "N C H W"))
    geometry = _window("avg_pool2d", kernel_size, stride, padding)
    shape = x.shape
    gradient = (lambda dout: pool2d.avg_pool2d_backward(dout, shape, *geometry),)
    return record("avg_pool2d", inputs, pool2d.avg_pool2d_forward(x, *geometry), gradient, keeps="")


@public
def adaptive_avg_pool2d(input: Any, output_size: Any) -> Tensor:
    """The mean of each channel: input (N, C, H, W) gives (N, C, 1, 1).

    output_size: 1 or (1, 1), no other
    """
    function = "adaptive_avg_pool2d"
    if validation.pair(function, "output_size", output_size, minimum=1) != (1, 1):
        raise ValueError(
            f"{function}: output_size={validation.brief(output_size)} is not supported; expected 1 or (1, 1), the mean "
            f"of each channel; use avg_pool2d with the kernel_size that gives this size"
        )
    inputs, (x,) = floats(function, input=(input, "N C H W"))
    shape = x.shape
    gradient = (lambda dout: pool2d.global_avg_pool2d_backward(dout.reshape(shape[:2]), shape),)
    out = pool2d.global_avg_pool2d_forward(x).reshape(*shape[:2], 1, 1)
    return record(function, inputs, out, gradient, keeps="")


def _window(function: str, kernel_size: Any, stride: Any, padding: Any) -> tuple:
    """Size, stride and padding of pooling windows, as pairs."""
    return (
        validation.pair(function, "kernel_size", kernel_size, minimum=1),
        validation.pair(function, "stride", kernel_size if stride is None else stride, minimum=1),
        validation.pair(function, "padding", padding, minimum=0),
    )


@public
def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Return the input with the axes from start_dim to end_dim joined into one.

    input (...): Tensor or array
    start_dim, end_dim: axes
    """
    x = as_tensor("flatten", input)
    start, end = (
        validation.integer("flatten", name, value, -max(x.ndim, 1), max(x.ndim, 1) - 1)
        for name, value in (("start_dim", start_dim), ("end_dim", end_dim))
    )
    if start % max(x.ndim, 1) > end % max(x.ndim, 1):
        raise ValueError(
            f"flatten: start_dim={start_dim} comes after end_dim={end_dim}; expected the first and the last axis to "
            f"join; exchange them"
        )
    return x.flatten(start, end) if x.ndim else x.reshape(1)

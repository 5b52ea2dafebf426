"""Convolution and pooling of images (N, C, H, W)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastnn import arguments, fixed_backend
from fastnn.kernels import conv2d, pool2d
from fastnn.kernels.dispatch import signatures, validation


@signatures.checked
def conv_forward(x: ArrayLike, w: ArrayLike, b: ArrayLike, conv_param: Mapping[str, Any]) -> tuple[np.ndarray, Any]:
    """Convolve images x (N, C, H, W) with filters w (F, C, HH, WW), bias b (F,). Returns out (N, F, H', W'), cache.

    conv_param: stride, pad and optionally dilation, each an integer or a (height, width) pair
    H' = 1 + (H + 2 * pad - dilation * (HH - 1) - 1) // stride, W' likewise; x is padded with zeros.
    """
    options = conv_options("conv_forward", conv_param)
    return conv2d.conv2d_forward(x, w, b, **options), (x, w, b, options)


@signatures.checked
def conv_backward(dout: ArrayLike, cache: Any, need_dx: bool = True) -> tuple[np.ndarray | Any, np.ndarray, np.ndarray]:
    """Gradients: dout (N, F, H', W') -> dx (N, C, H, W) (None if not need_dx), dw (F, C, HH, WW), db (F,)."""
    x, w, _, conv_param = arguments.cache("conv_backward", cache, 4)
    return conv2d.conv2d_backward(dout, x, w, need_dx=need_dx, **conv_options("conv_backward", conv_param))


@signatures.checked
def max_pool_forward(x: ArrayLike, pool_param: Mapping[str, Any]) -> tuple[np.ndarray, Any]:
    """The largest element of each window of x (N, C, H, W), the first of equal ones. Returns out (N, C, H', W'), cache.

    H' = 1 + (H - pool_height) // stride, W' likewise.
    """
    geometry = pool_geometry("max_pool_forward", pool_param)
    out, index = pool2d.max_pool2d_forward(x, *geometry)
    return out, (index, tuple(np.shape(x)), *geometry)


@signatures.checked
def max_pool_backward(dout: ArrayLike, cache: Any) -> np.ndarray:
    """Gradient: dout (N, C, H', W') -> dx (N, C, H, W); it goes to the first of the largest elements of each window."""
    return pool2d.max_pool2d_backward(dout, *arguments.cache("max_pool_backward", cache, 5))


@signatures.checked
def avg_pool_forward(x: ArrayLike, pool_param: Mapping[str, Any]) -> tuple[np.ndarray, Any]:
    """The mean of each window of x (N, C, H, W), padding included. Returns out (N, C, H', W'), cache."""
    geometry = pool_geometry("avg_pool_forward", pool_param)
    return pool2d.avg_pool2d_forward(x, *geometry), (tuple(np.shape(x)), *geometry)


@signatures.checked
def avg_pool_backward(dout: ArrayLike, cache: Any) -> np.ndarray:
    """Gradient: dout (N, C, H', W') -> dx (N, C, H, W)."""
    return pool2d.avg_pool2d_backward(dout, *arguments.cache("avg_pool_backward", cache, 4))


@signatures.checked
def global_avg_pool_forward(x: ArrayLike) -> tuple[np.ndarray, Any]:
    """The mean of each channel: x (N, C, H, W) gives out (N, C). Returns out, cache."""
    return pool2d.global_avg_pool2d_forward(x), tuple(np.shape(x))


@signatures.checked
def global_avg_pool_backward(dout: ArrayLike, cache: Any) -> np.ndarray:
    """Gradient: dout (N, C) -> dx (N, C, H, W)."""
    return pool2d.global_avg_pool2d_backward(dout, cache)


REQUIRED, OPTIONAL = {"stride": 1, "pad": 0}, {"dilation": 1}  # the keys of a conv_param and their minimum values


def conv_options(function: str, conv_param: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """The options of a convolution from a conv_param, as pairs."""
    given = validation.keys(function, "conv_param", conv_param, REQUIRED, OPTIONAL)
    least = {**REQUIRED, **OPTIONAL}
    return {name: validation.pair(function, name, value, least[name]) for name, value in given.items()}


def pool_geometry(
    function: str, pool_param: Mapping[str, Any]
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """(height, width) of the window, stride and pad from a pool_param."""
    validation.keys(function, "pool_param", pool_param, ("pool_height", "pool_width", "stride"), ("pad",))
    size = pool_param["pool_height"], pool_param["pool_width"]
    return (
        validation.pair(function, "size", size, minimum=1),
        validation.pair(function, "stride", pool_param["stride"], minimum=1),
        validation.pair(function, "pad", pool_param.get("pad", 0), minimum=0),
    )


conv_forward_naive = fixed_backend.to_loops(conv_forward, "conv_forward_naive", __name__)
conv_backward_naive = fixed_backend.to_loops(conv_backward, "conv_backward_naive", __name__)
max_pool_forward_naive = fixed_backend.to_loops(max_pool_forward, "max_pool_forward_naive", __name__)
max_pool_backward_naive = fixed_backend.to_loops(max_pool_backward, "max_pool_backward_naive", __name__)

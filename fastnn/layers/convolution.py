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
    """Convolve images with filters.

    x (N, C, H, W): the images
    w (F, C, HH, WW): the filters
    b (F,): the bias
    conv_param: stride, pad and optionally dilation, each an integer or a (height, width) pair
    Returns out (N, F, H', W'), and a cache for `conv_backward`.

    H' = 1 + (H + 2 * pad - dilation * (HH - 1) - 1) // stride, W' likewise; x is padded with zeros.
    """
    options = conv_options("conv_forward", conv_param)
    return conv2d.conv2d_forward(x, w, b, **options), (x, w, b, options)


@signatures.checked
def conv_backward(dout: ArrayLike, cache: Any, need_dx: bool = True) -> tuple[np.ndarray | Any, np.ndarray, np.ndarray]:
    """Compute the gradients of `conv_forward`.

    dout (N, F, H', W'): gradient of the loss with respect to out
    cache: from `conv_forward`
    need_dx: False to skip dx, which a first layer does not need
    Returns dx (N, C, H, W) (None if not need_dx), dw (F, C, HH, WW), db (F,).
    """
    x, w, _, conv_param = arguments.cache("conv_backward", cache, 4)
    return conv2d.conv2d_backward(dout, x, w, need_dx=need_dx, **conv_options("conv_backward", conv_param))


@signatures.checked
def max_pool_forward(x: ArrayLike, pool_param: Mapping[str, Any]) -> tuple[np.ndarray, Any]:
    """Compute the largest element of each window, the first of equal ones.

    x (N, C, H, W): the images
    pool_param: pool_height, pool_width, stride and optionally pad; stride and pad are integers or (height, width) pairs
    Returns out (N, C, H', W'), and a cache for `max_pool_backward`.

    H' = 1 + (H - pool_height) // stride, W' likewise.
    """
    geometry = pool_geometry("max_pool_forward", pool_param)
    out, index = pool2d.max_pool2d_forward(x, *geometry)
    return out, (index, tuple(np.shape(x)), *geometry)


@signatures.checked
def max_pool_backward(dout: ArrayLike, cache: Any) -> np.ndarray:
    """Compute the gradient of `max_pool_forward`; it goes to the first of the largest elements of each window.

    dout (N, C, H', W'): gradient of the loss with respect to out
    cache: from `max_pool_forward`
    Returns dx (N, C, H, W).
    """
    return pool2d.max_pool2d_backward(dout, *arguments.cache("max_pool_backward", cache, 5))


@signatures.checked
def avg_pool_forward(x: ArrayLike, pool_param: Mapping[str, Any]) -> tuple[np.ndarray, Any]:
    """Compute the mean of each window, padding included.

    x (N, C, H, W): the images
    pool_param: pool_height, pool_width, stride and optionally pad; stride and pad are integers or (height, width) pairs
    Returns out (N, C, H', W'), and a cache for `avg_pool_backward`.
    """
    geometry = pool_geometry("avg_pool_forward", pool_param)
    return pool2d.avg_pool2d_forward(x, *geometry), (tuple(np.shape(x)), *geometry)


@signatures.checked
def avg_pool_backward(dout: ArrayLike, cache: Any) -> np.ndarray:
    """Compute the gradient of `avg_pool_forward`.

    dout (N, C, H', W'): gradient of the loss with respect to out
    cache: from `avg_pool_forward`
    Returns dx (N, C, H, W).
    """
    return pool2d.avg_pool2d_backward(dout, *arguments.cache("avg_pool_backward", cache, 4))


@signatures.checked
def global_avg_pool_forward(x: ArrayLike) -> tuple[np.ndarray, Any]:
    """Compute the mean of each channel.

    x (N, C, H, W): the images
    Returns out (N, C), and a cache for `global_avg_pool_backward`.
    """
    return pool2d.global_avg_pool2d_forward(x), tuple(np.shape(x))


@signatures.checked
def global_avg_pool_backward(dout: ArrayLike, cache: Any) -> np.ndarray:
    """Compute the gradient of `global_avg_pool_forward`.

    dout (N, C): gradient of the loss with respect to out
    cache: from `global_avg_pool_forward`
    Returns dx (N, C, H, W).
    """
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

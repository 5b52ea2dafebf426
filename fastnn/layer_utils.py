"""Fused layers: affine or convolution, followed by batch norm (bn) or layer norm (ln), ReLU and max pooling.

Each gives the result of its parts in `fastnn.layers`, with fewer passes over memory on some backends. With
`need_dx=False`, the backward functions do not compute dx and return None in its place.

As in the course, `from fastnn.layer_utils import *` also imports everything in `layers` and `fast_layers`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastnn.kernels import fused
from fastnn.kernels.dispatch import signatures, validation

from . import arguments, layers
from .layers import *  # noqa: F403
from .layers import fast
from .layers.affine import rows
from .layers.convolution import conv_options, pool_geometry
from .layers.fast import *  # noqa: F403
from .layers.normalization import batchnorm_settings, epsilon, update_running

__all__ = [
    "affine_bn_relu_backward",
    "affine_bn_relu_forward",
    "affine_ln_relu_backward",
    "affine_ln_relu_forward",
    "affine_relu_backward",
    "affine_relu_forward",
    "conv_bn_relu_backward",
    "conv_bn_relu_forward",
    "conv_bn_relu_pool_backward",
    "conv_bn_relu_pool_forward",
    "conv_relu_backward",
    "conv_relu_forward",
    "conv_relu_pool_backward",
    "conv_relu_pool_forward",
]
__all__ += layers.__all__ + fast.__all__


@signatures.checked
def affine_relu_forward(x: ArrayLike, w: ArrayLike, b: ArrayLike) -> tuple[np.ndarray, Any]:
    """Compute `affine_forward`, then `relu_forward`.

    x (N, d1, ..., dk), w (D, M), b (M,): as of `affine_forward`
    Returns out (N, M), and a cache for `affine_relu_backward`.
    """
    out = fused.affine_relu_forward(rows("affine_relu_forward", x), w, b)
    return out, (x, w, out)


@signatures.checked
def affine_relu_backward(
    dout: ArrayLike, cache: Any, need_dx: bool = True
) -> tuple[np.ndarray | Any, np.ndarray, np.ndarray]:
    """Compute the gradients of `affine_relu_forward`.

    dout (N, M): gradient of the loss with respect to out
    cache: from `affine_relu_forward`
    need_dx: False to skip dx
    Returns dx in the shape of x, dw (D, M), db (M,).
    """
    x, w, out = arguments.cache("affine_relu_backward", cache, 3)
    dx, dw, db = fused.affine_relu_backward(dout, rows("affine_relu_backward", x), w, out, need_dx)
    return dx if dx is None else dx.reshape(np.shape(x)), dw, db


@signatures.checked
def affine_bn_relu_forward(
    x: ArrayLike, w: ArrayLike, b: ArrayLike, gamma: ArrayLike, beta: ArrayLike, bn_param: dict[str, Any]
) -> tuple[np.ndarray, Any]:
    """Compute `affine_forward`, `batchnorm_forward`, `relu_forward`.

    x (N, d1, ..., dk), w (D, M), b (M,): as of `affine_forward`
    gamma, beta (M,): scale and shift
    bn_param: as of `batchnorm_forward`
    Returns out (N, M), and a cache for `affine_bn_relu_backward`.
    """
    function = "affine_bn_relu_forward"
    training, eps, running = batchnorm_settings(function, bn_param, gamma)
    if training:
        flat = rows(function, x)
        out, pre_norm, mean, var = fused.affine_batchnorm_relu_forward(flat, w, b, gamma, beta, eps)
        update_running(bn_param, running, mean, var)
        return out, (training, x, w, pre_norm, gamma, mean, var, eps, out)
    mean, var = running
    out = fused.affine_batchnorm_relu_inference(rows(function, x), w, b, gamma, beta, mean, var, eps)
    update_running(bn_param, running)
    return out, (training, x, w, b, gamma, mean, var, eps, out)


@signatures.checked
def affine_bn_relu_backward(
    dout: ArrayLike, cache: Any, need_dx: bool = True
) -> tuple[np.ndarray | Any, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Compute the gradients of `affine_bn_relu_forward`.

    dout (N, M): gradient of the loss with respect to out
    cache: from `affine_bn_relu_forward`
    need_dx: False to skip dx
    Returns dx in the shape of x, dw (D, M), db, dgamma, dbeta (M,).
    """
    training, x, *others = arguments.cache("affine_bn_relu_backward", cache, 9)
    backward = fused.affine_batchnorm_relu_backward if training else fused.affine_batchnorm_relu_inference_backward
    dx, *gradients = backward(dout, rows("affine_bn_relu_backward", x), *others, need_dx)
    return dx if dx is None else dx.reshape(np.shape(x)), *gradients


@signatures.checked
def affine_ln_relu_forward(
    x: ArrayLike, w: ArrayLike, b: ArrayLike, gamma: ArrayLike, beta: ArrayLike, ln_param: Mapping[str, Any]
) -> tuple[np.ndarray, Any]:
    """Compute `affine_forward`, `layernorm_forward`, `relu_forward`.

    x (N, d1, ..., dk), w (D, M), b (M,): as of `affine_forward`
    gamma, beta (M,): scale and shift
    ln_param: as of `layernorm_forward`
    Returns out (N, M), and a cache for `affine_ln_relu_backward`.
    """
    function = "affine_ln_relu_forward"
    eps, flat = epsilon(function, "ln_param", ln_param), rows(function, x)
    out, pre_norm, mean, var = fused.affine_layernorm_relu_forward(flat, w, b, gamma, beta, eps)
    return out, (x, w, pre_norm, gamma, mean, var, eps, out)


@signatures.checked
def affine_ln_relu_backward(
    dout: ArrayLike, cache: Any, need_dx: bool = True
) -> tuple[np.ndarray | Any, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Compute the gradients of `affine_ln_relu_forward`.

    dout (N, M): gradient of the loss with respect to out
    cache: from `affine_ln_relu_forward`
    need_dx: False to skip dx
    Returns dx in the shape of x, dw (D, M), db, dgamma, dbeta (M,).
    """
    x, *others = arguments.cache("affine_ln_relu_backward", cache, 8)
    flat = rows("affine_ln_relu_backward", x)
    dx, *gradients = fused.affine_layernorm_relu_backward(dout, flat, *others, need_dx)
    return dx if dx is None else dx.reshape(np.shape(x)), *gradients


@signatures.checked
def conv_relu_forward(
    x: ArrayLike, w: ArrayLike, b: ArrayLike, conv_param: Mapping[str, Any]
) -> tuple[np.ndarray, Any]:
    """Compute `conv_forward`, then `relu_forward`.

    x (N, C, H, W), w (F, C, HH, WW), b (F,), conv_param: as of `conv_forward`
    Returns out (N, F, H', W'), and a cache for `conv_relu_backward`.
    """
    options = conv_options("conv_relu_forward", conv_param)
    out = fused.conv2d_relu_forward(x, w, b, **options)
    return out, (x, w, out, options)


@signatures.checked
def conv_relu_backward(
    dout: ArrayLike, cache: Any, need_dx: bool = True
) -> tuple[np.ndarray | Any, np.ndarray, np.ndarray]:
    """Compute the gradients of `conv_relu_forward`.

    dout (N, F, H', W'): gradient of the loss with respect to out
    cache: from `conv_relu_forward`
    need_dx: False to skip dx
    Returns dx (N, C, H, W), dw (F, C, HH, WW), db (F,).
    """
    *arrays, options = arguments.cache("conv_relu_backward", cache, 4)
    return fused.conv2d_relu_backward(dout, *arrays, need_dx=need_dx, **options)


@signatures.checked
def conv_bn_relu_forward(
    x: ArrayLike,
    w: ArrayLike,
    b: ArrayLike,
    gamma: ArrayLike,
    beta: ArrayLike,
    conv_param: Mapping[str, Any],
    bn_param: dict[str, Any],
) -> tuple[np.ndarray, Any]:
    """Compute `conv_forward`, `spatial_batchnorm_forward`, `relu_forward`.

    x (N, C, H, W), w (F, C, HH, WW), b (F,), conv_param: as of `conv_forward`
    gamma, beta (F,): scale and shift
    bn_param: as of `batchnorm_forward`
    Returns out (N, F, H', W'), and a cache for `conv_bn_relu_backward`.
    """
    function = "conv_bn_relu_forward"
    options = conv_options(function, conv_param)
    training, eps, running = batchnorm_settings(function, bn_param, gamma)
    if training:
        out, pre_norm, mean, var = fused.conv2d_batchnorm_relu_forward(x, w, b, gamma, beta, eps, **options)
        update_running(bn_param, running, mean, var)
        return out, (training, x, w, pre_norm, gamma, mean, var, eps, out, options)
    mean, var = running
    out = fused.conv2d_batchnorm_relu_inference(x, w, b, gamma, beta, mean, var, eps, **options)
    update_running(bn_param, running)
    return out, (training, x, w, b, gamma, mean, var, eps, out, options)


@signatures.checked
def conv_bn_relu_backward(
    dout: ArrayLike, cache: Any, need_dx: bool = True
) -> tuple[np.ndarray | Any, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Compute the gradients of `conv_bn_relu_forward`.

    dout (N, F, H', W'): gradient of the loss with respect to out
    cache: from `conv_bn_relu_forward`
    need_dx: False to skip dx
    Returns dx (N, C, H, W), dw (F, C, HH, WW), db, dgamma, dbeta (F,).
    """
    training, *others, options = arguments.cache("conv_bn_relu_backward", cache, 10)
    backward = fused.conv2d_batchnorm_relu_backward if training else fused.conv2d_batchnorm_relu_inference_backward
    return backward(dout, *others, need_dx=need_dx, **options)


@signatures.checked
def conv_relu_pool_forward(
    x: ArrayLike, w: ArrayLike, b: ArrayLike, conv_param: Mapping[str, Any], pool_param: Mapping[str, Any]
) -> tuple[np.ndarray, Any]:
    """Compute `conv_forward`, `relu_forward`, `max_pool_forward`.

    x (N, C, H, W), w (F, C, HH, WW), b (F,), conv_param: as of `conv_forward`
    pool_param: pool_height, pool_width and stride, no pad
    Returns out, the pooled images, and a cache for `conv_relu_pool_backward`.
    """
    function = "conv_relu_pool_forward"
    options = conv_options(function, conv_param) | _unpadded(function, pool_param)
    out, index = fused.conv2d_relu_pool_forward(x, w, b, **options)
    return out, (x, w, index, options)


@signatures.checked
def conv_relu_pool_backward(
    dout: ArrayLike, cache: Any, need_dx: bool = True
) -> tuple[np.ndarray | Any, np.ndarray, np.ndarray]:
    """Compute the gradients of `conv_relu_pool_forward`.

    dout: gradient of the loss with respect to out, in the shape of the pooled images
    cache: from `conv_relu_pool_forward`
    need_dx: False to skip dx
    Returns dx (N, C, H, W), dw (F, C, HH, WW), db (F,).
    """
    *arrays, options = arguments.cache("conv_relu_pool_backward", cache, 4)
    return fused.conv2d_relu_pool_backward(dout, *arrays, need_dx=need_dx, **options)


@signatures.checked
def conv_bn_relu_pool_forward(
    x: ArrayLike,
    w: ArrayLike,
    b: ArrayLike,
    gamma: ArrayLike,
    beta: ArrayLike,
    conv_param: Mapping[str, Any],
    bn_param: dict[str, Any],
    pool_param: Mapping[str, Any],
) -> tuple[np.ndarray, Any]:
    """Compute `conv_bn_relu_forward`, then `max_pool_forward`.

    x (N, C, H, W), w (F, C, HH, WW), b (F,), conv_param: as of `conv_forward`
    gamma, beta (F,): scale and shift
    bn_param: as of `batchnorm_forward`
    pool_param: pool_height, pool_width and stride, no pad
    Returns out, the pooled images, and a cache for `conv_bn_relu_pool_backward`.
    """
    function = "conv_bn_relu_pool_forward"
    options = conv_options(function, conv_param) | _unpadded(function, pool_param)
    training, eps, running = batchnorm_settings(function, bn_param, gamma)
    if training:
        out, index, pre_norm, mean, var = fused.conv2d_batchnorm_relu_pool_forward(x, w, b, gamma, beta, eps, **options)
        update_running(bn_param, running, mean, var)
        return out, (training, x, w, pre_norm, gamma, mean, var, eps, index, options)
    mean, var = running
    out, index = fused.conv2d_batchnorm_relu_pool_inference(x, w, b, gamma, beta, mean, var, eps, **options)
    update_running(bn_param, running)
    return out, (training, x, w, b, gamma, mean, var, eps, index, options)


@signatures.checked
def conv_bn_relu_pool_backward(
    dout: ArrayLike, cache: Any, need_dx: bool = True
) -> tuple[np.ndarray | Any, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Compute the gradients of `conv_bn_relu_pool_forward`.

    dout: gradient of the loss with respect to out, in the shape of the pooled images
    cache: from `conv_bn_relu_pool_forward`
    need_dx: False to skip dx
    Returns dx (N, C, H, W), dw (F, C, HH, WW), db, dgamma, dbeta (F,).
    """
    training, *others, options = arguments.cache("conv_bn_relu_pool_backward", cache, 10)
    backward = (
        fused.conv2d_batchnorm_relu_pool_backward if training else fused.conv2d_batchnorm_relu_pool_inference_backward
    )
    return backward(dout, *others, need_dx=need_dx, **options)


def _unpadded(function: str, pool_param: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """The size and the stride of a pooling that has no padding."""
    validation.keys(function, "pool_param", pool_param, ("pool_height", "pool_width", "stride"))
    size, stride, _ = pool_geometry(function, pool_param)
    return {"pool_size": size, "pool_stride": stride}

"""Neighbouring layers as one: forward and backward of affine-relu, conv-relu and conv-relu-pool.

Each gives what its parts in `fastnn.layers` give one after the other; a backend may pass over memory only once. The
backward functions take `need_dx=False` where nobody asks for dx, and then return None in its place.
"""

import numpy as np

from fastnn.kernels import checks, sandwich

from .layers.affine import rows
from .layers.convolution import conv_geometry, pool_geometry

__all__ = [
    "affine_relu_backward",
    "affine_relu_forward",
    "conv_relu_backward",
    "conv_relu_forward",
    "conv_relu_pool_backward",
    "conv_relu_pool_forward",
]


def affine_relu_forward(x, w, b):
    """`affine_forward`, then `relu_forward`: x (N, d1, ..., dk), w (D, M), b (M,). Returns out (N, M), cache."""
    out = sandwich.affine_relu_forward(rows("affine_relu_forward", x), w, b)
    return out, (x, w, out)


def affine_relu_backward(dout, cache, need_dx=True):
    """dout (N, M) -> dx in the shape of x, dw (D, M), db (M,)."""
    x, w, out = cache
    dx, dw, db = sandwich.affine_relu_backward(dout, rows("affine_relu_backward", x), w, out, need_dx)
    return dx if dx is None else dx.reshape(np.shape(x)), dw, db


def conv_relu_forward(x, w, b, conv_param):
    """`conv_forward`, then `relu_forward`; arguments as in `conv_forward`. Returns out (N, F, H', W'), cache."""
    geometry = conv_geometry("conv_relu_forward", conv_param)
    out = sandwich.conv2d_relu_forward(x, w, b, *geometry)
    return out, (x, w, out, *geometry)


def conv_relu_backward(dout, cache, need_dx=True):
    """dout (N, F, H', W') -> dx (N, C, H, W), dw (F, C, HH, WW), db (F,)."""
    return sandwich.conv2d_relu_backward(dout, *cache, need_dx)


def conv_relu_pool_forward(x, w, b, conv_param, pool_param):
    """`conv_forward`, `relu_forward`, `max_pool_forward`; the pooling without `pad`. Returns out, cache."""
    function = "conv_relu_pool_forward"
    checks.keys(function, "pool_param", pool_param, ("pool_height", "pool_width", "stride"))
    size, stride, _ = pool_geometry(function, pool_param)
    geometry = (*conv_geometry(function, conv_param), size, stride)
    out, index = sandwich.conv2d_relu_pool_forward(x, w, b, *geometry)
    return out, (x, w, index, *geometry)


def conv_relu_pool_backward(dout, cache, need_dx=True):
    """dout in the shape of the pooled image -> dx (N, C, H, W), dw (F, C, HH, WW), db (F,)."""
    return sandwich.conv2d_relu_pool_backward(dout, *cache, need_dx)

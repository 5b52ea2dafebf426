"""The layers of the course: `*_forward(...) -> (out, cache)` and `*_backward(dout, cache) -> gradients`.

Everything runs on the active backend (`fastnn.set_backend`), except the four functions `*_naive`, which are the plain
loops whatever the backend. A cache may be read on another backend than it was made on. Inputs are float32 or float64 of
any layout, never modified; errors are ValueError and TypeError. Loss functions return `(loss, dx)` at once.

conv_param is a dict with `stride` and `pad`; pool_param a dict with `pool_height`, `pool_width`, `stride` and, if the
image is to be padded, `pad`. Stride and pad are whole numbers (also as floats: 3.0) or (height, width) pairs.
"""

import math

import numpy as np

from fastnn.kernels import activations, affine, checks, conv2d, pool2d, use_backend
from fastnn.kernels.losses import mse_loss, softmax_loss, svm_loss

__all__ = [
    "affine_backward",
    "affine_forward",
    "avg_pool_backward",
    "avg_pool_forward",
    "conv_backward",
    "conv_backward_naive",
    "conv_forward",
    "conv_forward_naive",
    "elu_backward",
    "elu_forward",
    "gelu_backward",
    "gelu_forward",
    "global_avg_pool_backward",
    "global_avg_pool_forward",
    "leaky_relu_backward",
    "leaky_relu_forward",
    "max_pool_backward",
    "max_pool_backward_naive",
    "max_pool_forward",
    "max_pool_forward_naive",
    "maxout_backward",
    "maxout_forward",
    "mse_loss",
    "prelu_backward",
    "prelu_forward",
    "relu_backward",
    "relu_forward",
    "sigmoid_backward",
    "sigmoid_forward",
    "softmax_loss",
    "svm_loss",
    "tanh_backward",
    "tanh_forward",
]


def affine_forward(x, w, b):
    """out = x @ w + b with x (N, d1, ..., dk) as rows (N, D), w (D, M), b (M,). Returns out (N, M), cache."""
    return affine.affine_forward(rows("affine_forward", x), w, b), (x, w, b)


def affine_backward(dout, cache, need_dx=True):
    """dout (N, M) -> dx in the shape of x (None unless needed), dw (D, M), db (M,)."""
    x, w, _ = cache
    dx, dw, db = affine.affine_backward(dout, rows("affine_backward", x), w, need_dx)
    return dx if dx is None else dx.reshape(np.shape(x)), dw, db


def relu_forward(x):
    """out = max(x, 0). Returns out, cache."""
    return activations.relu_forward(x), x


def relu_backward(dout, cache):
    """dx = dout where x > 0, else 0."""
    return activations.relu_backward(dout, cache)


def leaky_relu_forward(x, slope=0.01):
    """out = x where x > 0, else slope * x. Returns out, cache."""
    return activations.leaky_relu_forward(x, slope), (x, slope)


def leaky_relu_backward(dout, cache):
    """dx = dout where x > 0, else slope * dout."""
    return activations.leaky_relu_backward(dout, *cache)


def prelu_forward(x, slope):
    """out = x where x > 0, else slope * x, with slope (1,) or, for x (N, C, ...), (C,). Returns out, cache."""
    return activations.prelu_forward(x, slope), (x, slope)


def prelu_backward(dout, cache):
    """Returns dx, dslope."""
    return activations.prelu_backward(dout, *cache)


def elu_forward(x, alpha=1.0):
    """out = x where x > 0, else alpha * (exp(x) - 1). Returns out, cache."""
    return activations.elu_forward(x, alpha), (x, alpha)


def elu_backward(dout, cache):
    """dx = dout where x > 0, else alpha * exp(x) * dout."""
    return activations.elu_backward(dout, *cache)


def sigmoid_forward(x):
    """out = 1 / (1 + exp(-x)). Returns out, cache."""
    out = activations.sigmoid_forward(x)
    return out, out


def sigmoid_backward(dout, cache):
    """dx = dout * out * (1 - out)."""
    return activations.sigmoid_backward(dout, cache)


def tanh_forward(x):
    """The hyperbolic tangent. Returns out, cache."""
    out = activations.tanh_forward(x)
    return out, out


def tanh_backward(dout, cache):
    """dx = dout * (1 - out) * (1 + out)."""
    return activations.tanh_backward(dout, cache)


def gelu_forward(x):
    """out = x * P(X <= x) for a standard normal X. Returns out, cache."""
    return activations.gelu_forward(x), x


def gelu_backward(dout, cache):
    """dx = dout * d(x * P(X <= x))/dx."""
    return activations.gelu_backward(dout, cache)


def maxout_forward(x, pieces):
    """The largest of each group of `pieces` channels of x (N, M*pieces, ...). Returns out (N, M, ...), cache."""
    out, index = activations.maxout_forward(x, pieces)
    return out, (index, pieces)


def maxout_backward(dout, cache):
    """dout (N, M, ...) -> dx (N, M*pieces, ...): dout goes to the largest of its group."""
    return activations.maxout_backward(dout, *cache)


def conv_forward(x, w, b, conv_param):
    """Convolve images x (N, C, H, W) with filters w (F, C, HH, WW), bias b (F,). Returns out (N, F, H', W'), cache.

    H' = 1 + (H + 2 * pad - HH) // stride, W' likewise; x counts as zero outside its borders.
    """
    return conv2d.conv2d_forward(x, w, b, *conv_geometry("conv_forward", conv_param)), (x, w, b, conv_param)


def conv_backward(dout, cache, need_dx=True):
    """dout (N, F, H', W') -> dx (N, C, H, W) (None unless needed), dw (F, C, HH, WW), db (F,)."""
    x, w, _, conv_param = cache
    return conv2d.conv2d_backward(dout, x, w, *conv_geometry("conv_backward", conv_param), need_dx)


def conv_forward_naive(x, w, b, conv_param):
    """`conv_forward` as plain loops, whatever the backend."""
    with use_backend("naive"):
        return conv_forward(x, w, b, conv_param)


def conv_backward_naive(dout, cache, need_dx=True):
    """`conv_backward` as plain loops, whatever the backend."""
    with use_backend("naive"):
        return conv_backward(dout, cache, need_dx)


def max_pool_forward(x, pool_param):
    """The largest element of each window of x (N, C, H, W), the first of equal ones. Returns out (N, C, H', W'), cache.

    H' = 1 + (H - pool_height) // stride, W' likewise.
    """
    geometry = pool_geometry("max_pool_forward", pool_param)
    out, index = pool2d.max_pool2d_forward(x, *geometry)
    return out, (index, np.shape(x), *geometry)


def max_pool_backward(dout, cache):
    """dout (N, C, H', W') -> dx (N, C, H, W): dout goes to the first of the largest elements of its window."""
    return pool2d.max_pool2d_backward(dout, *cache)


def max_pool_forward_naive(x, pool_param):
    """`max_pool_forward` as plain loops, whatever the backend."""
    with use_backend("naive"):
        return max_pool_forward(x, pool_param)


def max_pool_backward_naive(dout, cache):
    """`max_pool_backward` as plain loops, whatever the backend."""
    with use_backend("naive"):
        return max_pool_backward(dout, cache)


def avg_pool_forward(x, pool_param):
    """The mean of each window of x (N, C, H, W), padding included. Returns out (N, C, H', W'), cache."""
    geometry = pool_geometry("avg_pool_forward", pool_param)
    return pool2d.avg_pool2d_forward(x, *geometry), (np.shape(x), *geometry)


def avg_pool_backward(dout, cache):
    """dout (N, C, H', W') -> dx (N, C, H, W)."""
    return pool2d.avg_pool2d_backward(dout, *cache)


def global_avg_pool_forward(x):
    """The mean of each channel: x (N, C, H, W) gives out (N, C). Returns out, cache."""
    return pool2d.global_avg_pool2d_forward(x), np.shape(x)


def global_avg_pool_backward(dout, cache):
    """dout (N, C) -> dx (N, C, H, W)."""
    return pool2d.global_avg_pool2d_backward(dout, cache)


def rows(function, x):
    """x (N, d1, ..., dk) as rows (N, D); a batch of scalars (N,) as (N, 1)."""
    x = checks.array(function, "x", x)
    if x.ndim == 0:
        raise ValueError(f"{function}: x={x} is a number; expected a batch (N, d1, ..., dk); pass x[None]")
    return x.reshape(len(x), math.prod(x.shape[1:]))


def conv_geometry(function, conv_param):
    """stride and pad from a conv_param, not yet checked further."""
    checks.keys(function, "conv_param", conv_param, required=("stride", "pad"))
    return conv_param["stride"], conv_param["pad"]


def pool_geometry(function, pool_param):
    """(height, width) of the window, stride and pad from a pool_param, not yet checked further."""
    checks.keys(function, "pool_param", pool_param, ("pool_height", "pool_width", "stride"), ("pad",))
    return (pool_param["pool_height"], pool_param["pool_width"]), pool_param["stride"], pool_param.get("pad", 0)

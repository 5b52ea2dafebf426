"""`activations` with NumPy: whole arrays at a time, branches as masks.

Results are written to allocated arrays, since NumPy returns scalars instead of arrays of shape ().
"""

import math

import numpy as np
from scipy import special


def relu_forward(x):
    return np.maximum(x, 0, out=np.empty_like(x))


def relu_backward(dout, x):
    dx = np.zeros_like(dout)
    np.copyto(dx, dout, where=x > 0)
    return dx


def leaky_relu_forward(x, slope):
    out = x.copy()
    return np.multiply(x, slope, out=out, where=~(x > 0))


def leaky_relu_backward(dout, x, slope):
    dx = dout.copy()
    return np.multiply(dout, slope, out=dx, where=~(x > 0))


def prelu_forward(x, slope):
    return leaky_relu_forward(x, slope[:, None])


def prelu_backward(dout, x, slope):
    products = np.where(x > 0, 0, dout * x)
    dslope = products.sum(axis=(0, 2), dtype=np.float64).astype(x.dtype)
    return leaky_relu_backward(dout, x, slope[:, None]), dslope


def elu_forward(x, alpha):
    out = np.minimum(x, 0, out=np.empty_like(x))  # exp of the other elements might overflow
    np.expm1(out, out=out)
    out *= alpha
    np.copyto(out, x, where=x > 0)
    return out


def elu_backward(dout, x, alpha):
    dx = np.minimum(x, 0, out=np.empty_like(x))
    np.exp(dx, out=dx)
    dx *= alpha
    dx *= dout
    np.copyto(dx, dout, where=x > 0)
    return dx


def sigmoid_forward(x):
    small = np.exp(-np.abs(x))  # at most 1: no overflow
    return np.divide(np.where(x >= 0, 1, small), 1 + small, out=np.empty_like(x))


def sigmoid_backward(dout, out):
    dx = np.subtract(1, out, out=np.empty_like(out))
    dx *= out
    dx *= dout
    return dx


def tanh_forward(x):
    return np.tanh(x, out=np.empty_like(x))


def tanh_backward(dout, out):
    dx = np.subtract(1, out, out=np.empty_like(out))
    dx *= 1 + out
    dx *= dout
    return dx


def gelu_forward(x):
    return np.multiply(x, special.ndtr(x), out=np.empty_like(x))


def gelu_backward(dout, x):
    dx = np.empty_like(x)
    np.multiply(x, x, out=dx)
    dx *= -0.5
    np.exp(dx, out=dx)
    dx *= x
    dx *= 1 / math.sqrt(2 * math.pi)
    dx += special.ndtr(x)
    dx *= dout
    return dx


def maxout_forward(x, pieces):
    index = np.argmax(x, axis=2, keepdims=True)  # the first maximum, or the first NaN
    return np.take_along_axis(x, index, axis=2)[:, :, 0], index[:, :, 0].astype(np.uint8)


def maxout_backward(dout, index, pieces):
    chosen = index[:, :, None] == np.arange(pieces, dtype=np.uint8)[:, None]
    return np.where(chosen, dout[:, :, None], 0)

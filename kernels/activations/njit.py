"""`activations` as one pass over memory on all cores; constants in the dtype of the arrays, so that loops vectorise.

Exponentials come from `elementary.py`, not from the C library, whose functions keep loops from vectorising.
"""

import math

import numpy as np
from numba import prange

from .. import threads
from .elementary import exponentials, normal


def _each(kernel, *arrays, numbers=()):
    """A new array, filled by a kernel that sees flat arrays."""
    out = np.empty_like(arrays[0])
    kernel(*(array.reshape(-1) for array in arrays), *numbers, out.reshape(-1))
    return out


@threads.parallel
def _relu_forward(x, out):
    zero = x.dtype.type(0)
    for i in prange(x.size):
        out[i] = zero if x[i] <= zero else x[i]


def relu_forward(x):
    return _each(_relu_forward, x)


@threads.parallel
def _relu_backward(dout, x, dx):
    zero = x.dtype.type(0)
    for i in prange(x.size):
        dx[i] = dout[i] if x[i] > zero else zero


def relu_backward(dout, x):
    return _each(_relu_backward, dout, x)


@threads.parallel
def _leaky_relu(values, x, slope, out):
    zero, factor = x.dtype.type(0), x.dtype.type(slope)
    for i in prange(x.size):
        out[i] = values[i] if x[i] > zero else factor * values[i]


def leaky_relu_forward(x, slope):
    return _each(_leaky_relu, x, x, numbers=(slope,))


def leaky_relu_backward(dout, x, slope):
    return _each(_leaky_relu, dout, x, numbers=(slope,))


@threads.parallel
def _prelu(values, x, slope, out):
    N, C, S = x.shape
    zero = x.dtype.type(0)
    for n in prange(N):
        for c in range(C):
            factor = slope[c]
            for s in range(S):
                out[n, c, s] = values[n, c, s] if x[n, c, s] > zero else factor * values[n, c, s]


@threads.parallel
def _prelu_slope(dout, x, partial):
    N, C, S = x.shape
    chunks = partial.shape[0]
    for chunk in prange(chunks):
        for n in range(chunk * N // chunks, (chunk + 1) * N // chunks):
            for c in range(C):
                total = 0.0
                for s in range(S):
                    total += 0.0 if x[n, c, s] > 0 else np.float64(dout[n, c, s]) * np.float64(x[n, c, s])
                partial[chunk, c] += total


def prelu_forward(x, slope):
    out = np.empty_like(x)
    _prelu(x, x, slope, out)
    return out


def prelu_backward(dout, x, slope):
    dx = np.empty_like(x)
    _prelu(dout, x, slope, dx)
    partial = np.zeros((min(len(x), 64), len(slope)))  # as many, whatever the number of threads
    _prelu_slope(dout, x, partial)
    return dx, partial.sum(axis=0).astype(slope.dtype)


@threads.parallel
def _elu_forward(x, alpha, out):
    zero, factor = x.dtype.type(0), x.dtype.type(alpha)
    for i in prange(x.size):
        expm1 = exponentials(zero if x[i] > zero else x[i])[1]
        out[i] = x[i] if x[i] > zero else factor * expm1


def elu_forward(x, alpha):
    return _each(_elu_forward, x, numbers=(alpha,))


@threads.parallel
def _elu_backward(dout, x, alpha, dx):
    zero, factor = x.dtype.type(0), x.dtype.type(alpha)
    for i in prange(x.size):
        exp = exponentials(zero if x[i] > zero else x[i])[0]
        dx[i] = dout[i] if x[i] > zero else dout[i] * factor * exp


def elu_backward(dout, x, alpha):
    return _each(_elu_backward, dout, x, numbers=(alpha,))


@threads.parallel
def _sigmoid_forward(x, out):
    zero, one = x.dtype.type(0), x.dtype.type(1)
    for i in prange(x.size):
        small = exponentials(-abs(x[i]))[0]
        out[i] = (one if x[i] >= zero else small) / (one + small)


def sigmoid_forward(x):
    return _each(_sigmoid_forward, x)


@threads.parallel
def _sigmoid_backward(dout, out, dx):
    one = out.dtype.type(1)
    for i in prange(out.size):
        dx[i] = dout[i] * out[i] * (one - out[i])


def sigmoid_backward(dout, out):
    return _each(_sigmoid_backward, dout, out)


@threads.parallel
def _tanh_forward(x, out):
    zero, two = x.dtype.type(0), x.dtype.type(2)
    for i in prange(x.size):
        expm1 = exponentials(-two * abs(x[i]))[1]
        size = -expm1 / (two + expm1)
        out[i] = size if x[i] >= zero else -size


def tanh_forward(x):
    return _each(_tanh_forward, x)


@threads.parallel
def _tanh_backward(dout, out, dx):
    one = out.dtype.type(1)
    for i in prange(out.size):
        dx[i] = dout[i] * (one - out[i] * out[i])


def tanh_backward(dout, out):
    return _each(_tanh_backward, dout, out)


@threads.parallel
def _gelu_forward(x, out):
    for i in prange(x.size):
        out[i] = x[i] * normal(x[i])[0]


def gelu_forward(x):
    return _each(_gelu_forward, x)


@threads.parallel
def _gelu_backward(dout, x, dx):
    scale = x.dtype.type(1 / math.sqrt(2 * math.pi))
    for i in prange(x.size):
        probability, density = normal(x[i])
        dx[i] = dout[i] * (probability + x[i] * (density * scale))


def gelu_backward(dout, x):
    return _each(_gelu_backward, dout, x)


@threads.parallel
def _maxout_forward(x, out, index):
    N, M, pieces, S = x.shape
    for n in prange(N):
        for m in range(M):
            for s in range(S):
                out[n, m, s], index[n, m, s] = x[n, m, 0, s], 0
            for p in range(1, pieces):
                for s in range(S):
                    value, best = x[n, m, p, s], out[n, m, s]
                    larger = (value > best) | ((value != value) & (best == best))
                    out[n, m, s] = value if larger else best
                    index[n, m, s] = np.uint8(p) if larger else index[n, m, s]


def maxout_forward(x, pieces):
    N, M, _, S = x.shape
    out, index = np.empty((N, M, S), x.dtype), np.empty((N, M, S), np.uint8)
    _maxout_forward(x, out, index)
    return out, index


@threads.parallel
def _maxout_backward(dout, index, dx):
    N, M, pieces, S = dx.shape
    zero = dx.dtype.type(0)
    for n in prange(N):
        for m in range(M):
            for p in range(pieces):
                for s in range(S):
                    dx[n, m, p, s] = dout[n, m, s] if index[n, m, s] == p else zero


def maxout_backward(dout, index, pieces):
    N, M, S = dout.shape
    dx = np.empty((N, M, pieces, S), dout.dtype)
    _maxout_backward(dout, index, dx)
    return dx

"""`activations` as one pass over memory on all cores, in loops that vectorise.

For that constants are in the dtype of the arrays, indices unsigned (a signed one might count from the end), and
exponentials come from `simd.elementary` instead of the C library.
"""

import math

import numpy as np

from .. import threads
from ..simd.elementary import exponentials, normal

GRAIN = 1 << 15  # elements that are worth a second thread
U = np.uintp


def _each(kernel, *arrays, numbers=()):
    """A new array, filled by a kernel that sees flat arrays."""
    out = np.empty_like(arrays[0])
    kernel(out.size, *(array.reshape(-1) for array in arrays), *numbers, out.reshape(-1))
    return out


@threads.parallel(GRAIN)
def _relu_forward(start, stop, x, out):
    zero = x.dtype.type(0)
    for i in range(U(start), U(stop)):
        out[i] = zero if x[i] <= zero else x[i]


def relu_forward(x):
    return _each(_relu_forward, x)


@threads.parallel(GRAIN)
def _relu_backward(start, stop, dout, x, dx):
    zero = x.dtype.type(0)
    for i in range(U(start), U(stop)):
        dx[i] = dout[i] if x[i] > zero else zero


def relu_backward(dout, x):
    return _each(_relu_backward, dout, x)


@threads.parallel(GRAIN)
def _leaky_relu(start, stop, values, x, slope, out):
    zero, factor = x.dtype.type(0), x.dtype.type(slope)
    for i in range(U(start), U(stop)):
        out[i] = values[i] if x[i] > zero else factor * values[i]


def leaky_relu_forward(x, slope):
    return _each(_leaky_relu, x, x, numbers=(slope,))


def leaky_relu_backward(dout, x, slope):
    return _each(_leaky_relu, dout, x, numbers=(slope,))


@threads.parallel(grain=1)
def _prelu(start, stop, values, x, slope, out):
    _, C, S = x.shape
    zero = x.dtype.type(0)
    for n in range(start, stop):
        for c in range(C):
            factor = slope[c]
            for s in range(S):
                out[n, c, s] = values[n, c, s] if x[n, c, s] > zero else factor * values[n, c, s]


@threads.parallel(grain=1)
def _prelu_slope(start, stop, dout, x, partial):
    N, C, S = x.shape
    chunks = partial.shape[0]
    for chunk in range(start, stop):
        for n in range(chunk * N // chunks, (chunk + 1) * N // chunks):
            for c in range(C):
                total = 0.0
                for s in range(S):
                    total += 0.0 if x[n, c, s] > 0 else np.float64(dout[n, c, s]) * np.float64(x[n, c, s])
                partial[chunk, c] += total


def prelu_forward(x, slope):
    out = np.empty_like(x)
    _prelu(len(x), x, x, slope, out)
    return out


def prelu_backward(dout, x, slope):
    dx = np.empty_like(x)
    _prelu(len(x), dout, x, slope, dx)
    partial = np.zeros((min(len(x), 64), len(slope)))  # as many, whatever the number of threads
    _prelu_slope(len(partial), dout, x, partial)
    return dx, partial.sum(axis=0).astype(slope.dtype)


@threads.parallel(GRAIN)
def _elu_forward(start, stop, x, alpha, out):
    zero, factor = x.dtype.type(0), x.dtype.type(alpha)
    for i in range(U(start), U(stop)):
        expm1 = exponentials(zero if x[i] > zero else x[i])[1]
        out[i] = x[i] if x[i] > zero else factor * expm1


def elu_forward(x, alpha):
    return _each(_elu_forward, x, numbers=(alpha,))


@threads.parallel(GRAIN)
def _elu_backward(start, stop, dout, x, alpha, dx):
    zero, factor = x.dtype.type(0), x.dtype.type(alpha)
    for i in range(U(start), U(stop)):
        exp = exponentials(zero if x[i] > zero else x[i])[0]
        dx[i] = dout[i] if x[i] > zero else dout[i] * factor * exp


def elu_backward(dout, x, alpha):
    return _each(_elu_backward, dout, x, numbers=(alpha,))


@threads.parallel(GRAIN)
def _sigmoid_forward(start, stop, x, out):
    zero, one = x.dtype.type(0), x.dtype.type(1)
    for i in range(U(start), U(stop)):
        small = exponentials(-abs(x[i]))[0]
        out[i] = (one if x[i] >= zero else small) / (one + small)


def sigmoid_forward(x):
    return _each(_sigmoid_forward, x)


@threads.parallel(GRAIN)
def _sigmoid_backward(start, stop, dout, out, dx):
    one = out.dtype.type(1)
    for i in range(U(start), U(stop)):
        dx[i] = dout[i] * out[i] * (one - out[i])


def sigmoid_backward(dout, out):
    return _each(_sigmoid_backward, dout, out)


@threads.parallel(GRAIN)
def _tanh_forward(start, stop, x, out):
    zero, two = x.dtype.type(0), x.dtype.type(2)
    for i in range(U(start), U(stop)):
        expm1 = exponentials(-two * abs(x[i]))[1]
        size = -expm1 / (two + expm1)
        out[i] = size if x[i] >= zero else -size


def tanh_forward(x):
    return _each(_tanh_forward, x)


@threads.parallel(GRAIN)
def _tanh_backward(start, stop, dout, out, dx):
    one = out.dtype.type(1)
    for i in range(U(start), U(stop)):
        dx[i] = dout[i] * ((one - out[i]) * (one + out[i]))


def tanh_backward(dout, out):
    return _each(_tanh_backward, dout, out)


@threads.parallel(GRAIN)
def _gelu_forward(start, stop, x, out):
    for i in range(U(start), U(stop)):
        out[i] = x[i] * normal(x[i])[0]


def gelu_forward(x):
    return _each(_gelu_forward, x)


@threads.parallel(GRAIN)
def _gelu_backward(start, stop, dout, x, dx):
    scale = x.dtype.type(1 / math.sqrt(2 * math.pi))
    for i in range(U(start), U(stop)):
        probability, density = normal(x[i])
        dx[i] = dout[i] * (probability + x[i] * (density * scale))


def gelu_backward(dout, x):
    return _each(_gelu_backward, dout, x)


@threads.parallel(grain=1)
def _maxout_forward(start, stop, x, out, index):
    _, M, pieces, S = x.shape
    for n in range(start, stop):
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
    _maxout_forward(len(x), x, out, index)
    return out, index


@threads.parallel(grain=1)
def _maxout_backward(start, stop, dout, index, dx):
    _, M, pieces, S = dx.shape
    zero = dx.dtype.type(0)
    for n in range(start, stop):
        for m in range(M):
            for p in range(pieces):
                for s in range(S):
                    dx[n, m, p, s] = dout[n, m, s] if index[n, m, s] == p else zero


def maxout_backward(dout, index, pieces):
    N, M, S = dout.shape
    dx = np.empty((N, M, pieces, S), dout.dtype)
    _maxout_backward(N, dout, index, dx)
    return dx

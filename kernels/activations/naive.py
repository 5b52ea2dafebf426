"""The specification of `activations`: one element at a time."""

import math

import numpy as np


def _each(formula, *arrays):
    """Return the array of formula(elements), computed in Python floats."""
    out = np.empty(arrays[0].shape, arrays[0].dtype)
    flat = out.reshape(-1)
    for i, elements in enumerate(zip(*(array.reshape(-1).tolist() for array in arrays), strict=True)):
        flat[i] = formula(*elements)
    return out


def relu_forward(x):
    return _each(lambda x: 0.0 if x <= 0 else x, x)


def relu_backward(dout, x):
    return _each(lambda dout, x: dout if x > 0 else 0.0, dout, x)


def leaky_relu_forward(x, slope):
    return _each(lambda x: x if x > 0 else slope * x, x)


def leaky_relu_backward(dout, x, slope):
    return _each(lambda dout, x: dout if x > 0 else slope * dout, dout, x)


def prelu_forward(x, slope):
    """x (N, C, S), slope (C,)."""
    out = np.empty_like(x)
    for c in range(len(slope)):
        out[:, c] = leaky_relu_forward(x[:, c], float(slope[c]))
    return out


def prelu_backward(dout, x, slope):
    """dout and x (N, C, S), slope (C,)."""
    dx, dslope = np.empty_like(x), np.empty_like(slope)
    for c in range(len(slope)):
        dx[:, c] = leaky_relu_backward(dout[:, c], x[:, c], float(slope[c]))
        total = 0.0
        for g, v in zip(dout[:, c].reshape(-1).tolist(), x[:, c].reshape(-1).tolist(), strict=True):
            total += 0.0 if v > 0 else g * v
        dslope[c] = total
    return dx, dslope


def elu_forward(x, alpha):
    return _each(lambda x: x if x > 0 else alpha * math.expm1(x), x)


def elu_backward(dout, x, alpha):
    return _each(lambda dout, x: dout if x > 0 else dout * alpha * math.exp(x), dout, x)


def sigmoid_forward(x):
    def sigmoid(x):
        small = math.exp(-abs(x))  # at most 1: no overflow
        return 1 / (1 + small) if x >= 0 else small / (1 + small)

    return _each(sigmoid, x)


def sigmoid_backward(dout, out):
    return _each(lambda dout, out: dout * out * (1 - out), dout, out)


def tanh_forward(x):
    return _each(math.tanh, x)


def tanh_backward(dout, out):
    return _each(lambda dout, out: dout * ((1 - out) * (1 + out)), dout, out)


def _probability(x):
    """Return P(X <= x) = (1 + erf(x / sqrt(2))) / 2, without cancellation for negative x."""
    return math.erfc(-x / math.sqrt(2)) / 2


def gelu_forward(x):
    return _each(lambda x: x * _probability(x), x)


def gelu_backward(dout, x):
    def gradient(dout, x):
        density = math.exp(-x * x / 2) / math.sqrt(2 * math.pi)
        return dout * (_probability(x) + x * density)

    return _each(gradient, dout, x)


def maxout_forward(x, pieces):
    """x (N, M, pieces, S)."""
    N, M, _, S = x.shape
    out, index = np.empty((N, M, S), x.dtype), np.empty((N, M, S), np.uint8)
    for n in range(N):
        for m in range(M):
            for s in range(S):
                best = 0
                for p in range(1, pieces):
                    value, largest = x[n, m, p, s], x[n, m, best, s]
                    if value > largest or (np.isnan(value) and not np.isnan(largest)):
                        best = p
                out[n, m, s], index[n, m, s] = x[n, m, best, s], best
    return out, index


def maxout_backward(dout, index, pieces):
    """dout and index (N, M, S)."""
    N, M, S = dout.shape
    dx = np.zeros((N, M, pieces, S), dout.dtype)
    for n in range(N):
        for m in range(M):
            for s in range(S):
                dx[n, m, index[n, m, s], s] = dout[n, m, s]
    return dx

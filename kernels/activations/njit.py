"""`activations` in one pass over memory on all cores, in loops that vectorise.

For that, constants have the dtype of the arrays, indices are unsigned (no wrap-around of negative ones), and
exponentials come from `simd.elementary` instead of the C library.
"""

import math

import numpy as np

from ..cpu import threads
from ..cpu.simd.elementary import exponentials, tails

GRAIN = 1 << 15  # minimum elements of a part
COSTLY = 1 << 13  # the same for functions with an exponential
RUN = 1 << 8
POSITIONS = 32  # minimum length of a loop over the positions of a channel
U = np.uintp


def _each(kernel, *arrays, numbers=()):
    """Call a kernel on flattened arrays; return its result in the shape of the first one."""
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


def _runs(x, slope):
    """Return the number of images N, the slopes, the length S of the run of each slope, and a number of tasks.

    If S is small, every position is treated as a channel. A single slope allows runs of any length.
    """
    N, C, S = x.shape
    if C == 1 and x.size % RUN == 0:
        N, S = x.size // RUN, RUN
    if S < POSITIONS:
        slope, S = np.repeat(slope, S), 1
    return N, slope, S, min(N, -(-x.size // GRAIN))  # independent of the number of threads


@threads.serial
def _images(task, tasks, N):
    return task * N // tasks, (task + 1) * N // tasks


@threads.parallel(grain=1)
def _prelu(start, stop, tasks, N, x, slope, S, out):
    zero, C = x.dtype.type(0), slope.size
    first, last = _images(start, tasks, N)[0], _images(stop - 1, tasks, N)[1]
    for n in range(first, last):
        if S == 1:
            row = U(n * C)
            for c in range(U(C)):
                out[row + c] = x[row + c] if x[row + c] > zero else slope[c] * x[row + c]
            continue
        for c in range(C):
            factor, run = slope[c], U((n * C + c) * S)
            for i in range(run, run + U(S)):
                out[i] = x[i] if x[i] > zero else factor * x[i]


@threads.parallel(grain=1)
def _prelu_gradients(start, stop, N, dout, x, slope, S, dx, partial):
    zero, C = x.dtype.type(0), slope.size
    for task in range(start, stop):
        first, last = _images(task, len(partial), N)
        sums = partial[task]
        for n in range(first, last):
            if S == 1:
                row = U(n * C)
                for c in range(U(C)):
                    passes = x[row + c] > zero
                    dx[row + c] = dout[row + c] if passes else slope[c] * dout[row + c]
                for c in range(U(C)):
                    product = np.float64(dout[row + c]) * np.float64(x[row + c])
                    sums[c] += 0.0 if x[row + c] > zero else product
                continue
            for c in range(C):
                factor, run, total = slope[c], U((n * C + c) * S), 0.0
                for i in range(run, run + U(S)):
                    passes = x[i] > zero
                    dx[i] = dout[i] if passes else factor * dout[i]
                    total += 0.0 if passes else np.float64(dout[i]) * np.float64(x[i])
                sums[c] += total


def prelu_forward(x, slope):
    out = np.empty_like(x)
    N, slopes, S, tasks = _runs(x, slope)
    _prelu(tasks, tasks, N, x.reshape(-1), slopes, S, out.reshape(-1))
    return out


def prelu_backward(dout, x, slope):
    dx = np.empty_like(x)
    N, slopes, S, tasks = _runs(x, slope)
    partial = np.zeros((tasks, slopes.size))
    _prelu_gradients(tasks, N, dout.reshape(-1), x.reshape(-1), slopes, S, dx.reshape(-1), partial)
    sums = partial.sum(axis=0).reshape(len(slope), slopes.size // max(1, len(slope)))
    with np.errstate(all="ignore"):
        return dx, sums.sum(axis=1).astype(slope.dtype)


@threads.parallel(COSTLY)
def _elu_forward(start, stop, x, alpha, out):
    zero, factor = x.dtype.type(0), x.dtype.type(alpha)
    for i in range(U(start), U(stop)):
        expm1 = exponentials(zero if x[i] > zero else x[i])[1]
        out[i] = x[i] if x[i] > zero else factor * expm1


def elu_forward(x, alpha):
    return _each(_elu_forward, x, numbers=(alpha,))


@threads.parallel(COSTLY)
def _elu_backward(start, stop, dout, x, alpha, dx):
    zero, factor = x.dtype.type(0), x.dtype.type(alpha)
    for i in range(U(start), U(stop)):
        exp = exponentials(zero if x[i] > zero else x[i])[0]
        dx[i] = dout[i] if x[i] > zero else dout[i] * factor * exp


def elu_backward(dout, x, alpha):
    return _each(_elu_backward, dout, x, numbers=(alpha,))


@threads.parallel(COSTLY)
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


@threads.parallel(COSTLY)
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


@threads.parallel(COSTLY)
def _gelu_forward(start, stop, x, out):
    zero, enough = x.dtype.type(0), x.dtype.type(64)  # tails(64) is 0 like tails(inf), but 64 * 0 is not NaN
    for i in range(U(start), U(stop)):
        size = abs(enough if x[i] > enough else x[i])
        out[i] = (x[i] if x[i] > zero else zero) - size * tails(size)[0]


def gelu_forward(x):
    return _each(_gelu_forward, x)


@threads.parallel(COSTLY)
def _gelu_backward(start, stop, dout, x, dx):
    one, scale = x.dtype.type(1), x.dtype.type(1 / math.sqrt(2 * math.pi))
    for i in range(U(start), U(stop)):
        tail, density = tails(abs(x[i]))
        probability = one - tail if x[i] > 0 else tail
        dx[i] = dout[i] * (probability + x[i] * (density * scale))


def gelu_backward(dout, x):
    return _each(_gelu_backward, dout, x)


@threads.parallel(GRAIN)
def _maxout_of_pairs(start, stop, x, out, index):
    for i in range(U(start), U(stop)):
        first, second = x[2 * i], x[2 * i + U(1)]
        larger = (second > first) | ((second != second) & (first == first))
        out[i] = second if larger else first
        index[i] = np.uint8(1) if larger else np.uint8(0)


@threads.parallel(grain=64)
def _maxout_forward(start, stop, pieces, S, x, out, index):
    for row in range(start, stop):
        source, target = U(row * pieces * S), U(row * S)
        for s in range(U(S)):
            best, number = x[source + s], 0
            if S < POSITIONS:
                for p in range(1, pieces):
                    value = x[source + U(p * S) + s]
                    larger = (value > best) | ((value != value) & (best == best))
                    best, number = (value, p) if larger else (best, number)
            out[target + s], index[target + s] = best, number
        if S < POSITIONS:
            continue
        for p in range(1, pieces):
            candidates = source + U(p * S)
            for s in range(U(S)):
                value, best = x[candidates + s], out[target + s]
                larger = (value > best) | ((value != value) & (best == best))
                out[target + s] = value if larger else best
                index[target + s] = np.uint8(p) if larger else index[target + s]


def maxout_forward(x, pieces):
    N, M, _, S = x.shape
    out, index = np.empty((N, M, S), x.dtype), np.empty((N, M, S), np.uint8)
    if S == 1 and pieces == 2:
        _maxout_of_pairs(out.size, x.reshape(-1), out.reshape(-1), index.reshape(-1))
    else:
        _maxout_forward(N * M, pieces, S, x.reshape(-1), out.reshape(-1), index.reshape(-1))
    return out, index


@threads.parallel(GRAIN)
def _maxout_of_pairs_backward(start, stop, dout, index, dx):
    zero = dx.dtype.type(0)
    for i in range(U(start), U(stop)):
        dx[2 * i] = dout[i] if index[i] == 0 else zero
        dx[2 * i + U(1)] = dout[i] if index[i] == 1 else zero


@threads.parallel(grain=64)
def _maxout_backward(start, stop, pieces, S, dout, index, dx):
    zero = dx.dtype.type(0)
    for row in range(start, stop):
        source = U(row * S)
        for p in range(pieces):
            target = U((row * pieces + p) * S)
            for s in range(U(S)):
                dx[target + s] = dout[source + s] if index[source + s] == p else zero


def maxout_backward(dout, index, pieces):
    N, M, S = dout.shape
    dx = np.empty((N, M, pieces, S), dout.dtype)
    if S == 1 and pieces == 2:
        _maxout_of_pairs_backward(dout.size, dout.reshape(-1), index.reshape(-1), dx.reshape(-1))
    else:
        _maxout_backward(N * M, pieces, S, dout.reshape(-1), index.reshape(-1), dx.reshape(-1))
    return dx

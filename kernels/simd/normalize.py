"""The engine of batch norm: every channel of x (N, C, S) in one visit, ReLU and pooling fused in.

A task is a block of neighbouring channels, read as rows of columns (c, s): N rows, one for each image, C*S apart (see
`columns`). All passes over a block follow one another while it lies in the cache, and no bit depends on the threads.

Statistics are those of x - center, the center being the mean of the first eighth of the images: in one pass less, and
the variance loses no more than three bits to cancellation whatever follows (Chan, Golub & LeVeque, Algorithms for
computing the sample variance, 1983, section 3).
"""

import math

import numpy as np

from .. import threads
from .columns import add_moments, add_products, normalise, normalise_row, spread, write_dx
from .rows import pool, unpool

COLUMNS, ELEMENTS = 128, 1 << 14  # of a task at least

U = np.uintp  # an unsigned index cannot be negative: no wrap-around is compiled in, and the loop vectorises


def forward(x, gamma, beta, epsilon, relu=False):
    """x (N, C, ...) normalised, passed through ReLU if asked; mean and variance of each channel."""
    out, mean, var = np.empty_like(x), np.empty_like(gamma), np.empty_like(gamma)
    _forward(*_tasks(x), x.reshape(-1), gamma, beta, epsilon, _floor(x, relu), out.reshape(-1), mean, var)
    return out, mean, var


def forward_pooled(x, gamma, beta, epsilon, size, stride, index_dtype):
    """x (N, C, H, W) normalised, passed through ReLU and max pooling; the pooling's index, mean and variance."""
    N, C, H, W = x.shape
    out = np.empty((N, C, 1 + (H - size[0]) // stride[0], 1 + (W - size[1]) // stride[1]), x.dtype)
    index, mean, var = np.empty(out.shape, index_dtype), np.empty_like(gamma), np.empty_like(gamma)
    _forward_pooled(
        *_tasks(x), x.reshape(-1), W, gamma, beta, epsilon, _floor(x, True), size, stride, out, index,
        mean, var,
    )  # fmt: skip
    return out, index, mean, var


def inference(x, gamma, beta, mean, var, epsilon):
    """x normalised by the statistics given."""
    out = np.empty_like(x)
    scale = (gamma / np.sqrt(np.add(var, epsilon, dtype=np.float64))).astype(x.dtype)
    _inference(*_tasks(x), x.reshape(-1), mean, scale, beta, out.reshape(-1))
    return out


def backward(dout, x, gamma, mean, var, epsilon, frozen=False, relu=None):
    """dx, dgamma and dbeta; `relu` is the output of a ReLU that followed. frozen: mean and var are constants."""
    dx, dgamma, dbeta = np.empty_like(x), np.empty_like(gamma), np.empty_like(gamma)
    mask = dout[:0] if relu is None else relu
    _backward(
        *_tasks(x), dout.reshape(-1), mask.reshape(-1), x.reshape(-1), gamma, mean, var, epsilon, frozen,
        dx.reshape(-1), dgamma, dbeta,
    )  # fmt: skip
    return dx, dgamma, dbeta


def backward_pooled(dout, x, gamma, mean, var, epsilon, index, size, stride):
    """dx, dgamma and dbeta of x (N, C, H, W), from the gradient of what `forward_pooled` returned."""
    dx, dgamma, dbeta = np.empty_like(x), np.empty_like(gamma), np.empty_like(gamma)
    _backward_pooled(
        *_tasks(x), dout, index, size, stride, x.shape[3], x.reshape(-1), gamma, mean, var, epsilon, dx.reshape(-1),
        dgamma, dbeta,
    )  # fmt: skip
    return dx, dgamma, dbeta


def _floor(x, relu):
    return x.dtype.type(0 if relu else -np.inf)


def _tasks(x):
    """The number of tasks, the channels of each, and the shape of x as (N, C, S)."""
    (N, C), S = x.shape[:2], math.prod(x.shape[2:])
    channels = max(1, -(-COLUMNS // max(1, S)), ELEMENTS // max(1, N * S))
    return -(-C // channels), channels, (N, C, S)


@threads.parallel(grain=1)
def _forward(start, stop, channels, shape, x, gamma, beta, epsilon, floor, out, mean, var):
    for task in range(start, stop):
        first, last = task * channels, min(task * channels + channels, shape[1])
        center, scale, shift = _statistics(x, shape, first, last, gamma, beta, epsilon, mean, var)
        normalise(x, shape, first, last, center, scale, shift, floor, out)


@threads.parallel(grain=1)
def _inference(start, stop, channels, shape, x, mean, scale, shift, out):
    floor = x.dtype.type(-np.inf)
    for task in range(start, stop):
        first, last = task * channels, min(task * channels + channels, shape[1])
        normalise(x, shape, first, last, mean[first:last], scale[first:last], shift[first:last], floor, out)


@threads.parallel(grain=1)
def _forward_pooled(
    start, stop, channels, shape, x, W, gamma, beta, epsilon, floor, size, stride, out, index, mean, var
):
    N, C, S = shape
    for task in range(start, stop):
        first, last = task * channels, min(task * channels + channels, C)
        center, scale, shift = _statistics(x, shape, first, last, gamma, beta, epsilon, mean, var)
        columns = np.empty((3, (last - first) * S), x.dtype)
        scratch = np.empty((last - first) * S, x.dtype)
        for row, values in enumerate((center, scale, shift)):
            spread(values, S, 0, columns[row])
        for n in range(N):
            normalise_row(x, (n * C + first) * S, columns[0], columns[1], columns[2], floor, scratch, 0)
            for c in range(first, last):
                pool(scratch, (c - first) * S, W, size, stride, out[n, c], index[n, c])


@threads.serial
def _statistics(x, shape, first, last, gamma, beta, epsilon, mean, var):
    """mean and var of channels `first` to `last`; also what normalises them: out = (x - center) * scale + shift."""
    N, _, S = shape
    dtype = x.dtype.type
    center, scale, shift = np.zeros((3, last - first), x.dtype)
    sums = np.zeros((2, last - first))
    add_moments(x, shape, first, last, (N + 7) // 8, center, sums)
    for c in range(last - first):
        middle = dtype(sums[0, c] / ((N + 7) // 8 * S))
        center[c] = middle if np.isfinite(middle) else dtype(0)
    sums[:] = 0.0
    add_moments(x, shape, first, last, N, center, sums)
    for c in range(last - first):
        offset = sums[0, c] / (N * S)
        variance = sums[1, c] / (N * S) - offset * offset
        variance = 0.0 if variance < 0.0 else variance
        factor = np.float64(gamma[first + c]) / math.sqrt(variance + epsilon)
        mean[first + c], var[first + c] = dtype(np.float64(center[c]) + offset), dtype(variance)
        scale[c], shift[c] = dtype(factor), dtype(np.float64(beta[first + c]) - offset * factor)
    return center, scale, shift


@threads.parallel(grain=1)
def _backward(
    start, stop, channels, shape, dout, mask, x, gamma, mean, var, epsilon, frozen, dx, dgamma, dbeta
):  # fmt: skip
    N, C, S = shape
    zero = dx.dtype.type(0)
    for task in range(start, stop):
        first, last = task * channels, min(task * channels + channels, C)
        for n in range(N):
            begin, end = U((n * C + first) * S), U((n * C + last) * S)
            if mask.size:
                for i in range(begin, end):
                    dx[i] = dout[i] if mask[i] > zero else zero
            else:
                for i in range(begin, end):
                    dx[i] = dout[i]
        _finish(x, shape, first, last, gamma, mean, var, epsilon, frozen, dx, dgamma, dbeta)


@threads.parallel(grain=1)
def _backward_pooled(
    start, stop, channels, shape, dout, index, size, stride, W, x, gamma, mean, var, epsilon, dx, dgamma, dbeta
):
    N, C, S = shape
    for task in range(start, stop):
        first, last = task * channels, min(task * channels + channels, C)
        for n in range(N):
            if 4 * dout.shape[2] * dout.shape[3] != S:  # windows of 2 x 2 leave nothing else out
                for i in range(U((n * C + first) * S), U((n * C + last) * S)):
                    dx[i] = 0
            for c in range(first, last):
                unpool(dout[n, c], index[n, c], size, stride, dx, (n * C + c) * S, W, S)
        _finish(x, shape, first, last, gamma, mean, var, epsilon, False, dx, dgamma, dbeta)


@threads.serial
def _finish(x, shape, first, last, gamma, mean, var, epsilon, frozen, dx, dgamma, dbeta):
    """What is left to do once dx holds the gradient with respect to the output."""
    N, _, S = shape
    dtype, count = x.dtype.type, max(1, N * S)
    sums, factors = np.zeros((2, last - first)), np.zeros((3, last - first), x.dtype)
    add_products(dx, x, shape, first, last, mean[first:last], sums)
    for c in range(last - first):
        inv = 1.0 / math.sqrt(np.float64(var[first + c]) + epsilon)
        dbeta[first + c], dgamma[first + c] = dtype(sums[0, c]), dtype(sums[1, c] * inv)
        factors[0, c] = dtype(np.float64(gamma[first + c]) * inv)
        if not frozen:
            factors[1, c] = dtype(sums[0, c] / count)
            factors[2, c] = dtype(inv * inv * sums[1, c] / count)
    write_dx(x, shape, first, last, mean[first:last], factors, frozen, dx)

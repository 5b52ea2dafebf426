"""Batch norm, one block of channels of x (N, C, S) at a time, with ReLU and pooling fused.

A task is a block of adjacent channels. If S is small, the channels of a block are read together, as one row of columns
(c, s) for each image (see `norm_loops`), else plane by plane (see `norm_sums`). All passes over a block are done while
it is in the cache. No bit depends on the number of threads.

Statistics are those of x - center, where center is the mean of the first eighth of the images. That saves a pass over
the rest, and the variance loses at most three bits to cancellation (Chan, Golub & LeVeque, Algorithms for computing the
sample variance, 1983, section 3).
"""

import math

import numpy as np

from .. import threads
from . import norm_sums, norm_vectors
from .norm_loops import add_moments, add_products, normalise, normalise_row, spread, write_dx
from .padding import pool, unpool
from .pool2x2 import narrow, pool_planes, unpool_planes

COLUMNS, BYTES = 128, 1 << 18  # minimum size of a task
POSITIONS = 128  # minimum length of a loop over one plane

U = np.uintp  # unsigned indices need no wrap-around of negative ones, so loops vectorise


def forward(x, gamma, beta, epsilon, relu=False):
    """Normalise x (N, C, ...), with ReLU if `relu`; return out, mean and var (C,)."""
    out, mean, var = np.empty_like(x), np.empty_like(gamma), np.empty_like(gamma)
    _forward(*_tasks(x), x.reshape(-1), gamma, beta, epsilon, _floor(x, relu), out.reshape(-1), mean, var)
    return out, mean, var


def forward_pooled(x, gamma, beta, epsilon, size, stride, index_dtype):
    """Normalise x (N, C, H, W), apply ReLU and max pooling; return out, the pooling's index, mean and var."""
    N, C, H, W = x.shape
    out = np.empty((N, C, 1 + (H - size[0]) // stride[0], 1 + (W - size[1]) // stride[1]), x.dtype)
    index, mean, var = np.empty(out.shape, index_dtype), np.empty_like(gamma), np.empty_like(gamma)
    _forward_pooled(
        *_tasks(x), x.reshape(-1), (H, W), gamma, beta, epsilon, _floor(x, True), size, stride, narrow(H, W, x.dtype),
        out, index, mean, var,
    )  # fmt: skip
    return out, index, mean, var


def inference(x, gamma, beta, mean, var, epsilon):
    """Return x normalised by given statistics."""
    out = np.empty_like(x)
    _inference(*_tasks(x), x.reshape(-1), gamma, beta, mean, var, epsilon, out.reshape(-1))
    return out


def backward(dout, x, gamma, mean, var, epsilon, frozen=False, relu=None):
    """Return dx, dgamma, dbeta. relu: output of the ReLU after it, or None; frozen: mean and var are constants."""
    dx, dgamma, dbeta = np.empty_like(x), np.empty_like(gamma), np.empty_like(gamma)
    mask = dout[:0] if relu is None else relu
    _backward(
        *_tasks(x), dout.reshape(-1), mask.reshape(-1), x.reshape(-1), gamma, mean, var, epsilon, frozen,
        dx.reshape(-1), dgamma, dbeta,
    )  # fmt: skip
    return dx, dgamma, dbeta


def backward_pooled(dout, x, gamma, mean, var, epsilon, index, size, stride):
    """Return dx, dgamma and dbeta of `forward_pooled`."""
    dx, dgamma, dbeta = np.empty_like(x), np.empty_like(gamma), np.empty_like(gamma)
    _backward_pooled(
        *_tasks(x), dout, index, size, stride, narrow(*x.shape[2:], x.dtype), x.shape[2:], x.reshape(-1), gamma, mean,
        var, epsilon, dx.reshape(-1), dgamma, dbeta,
    )  # fmt: skip
    return dx, dgamma, dbeta


def _floor(x, relu):
    return x.dtype.type(0 if relu else -np.inf)


def _tasks(x):
    """Return the number of tasks, the channels of a task, and the shape of x as (N, C, S)."""
    (N, C), S = x.shape[:2], math.prod(x.shape[2:])
    channels = max(1, -(-COLUMNS // max(1, S)), BYTES // max(1, N * S * x.itemsize))
    count = -(-C // channels)
    return count, -(-C // max(1, count)), (N, C, S)


@threads.parallel(grain=1)
def _forward(start, stop, channels, shape, x, gamma, beta, epsilon, floor, out, mean, var):
    for task in range(start, stop):
        first, last = task * channels, min(task * channels + channels, shape[1])
        center, scale, shift = _statistics(x, shape, first, last, gamma, beta, epsilon, mean, var)
        _write(x, shape, first, last, center, scale, shift, floor, out)


@threads.parallel(grain=1)
def _inference(start, stop, channels, shape, x, gamma, beta, mean, var, epsilon, out):
    floor = x.dtype.type(-np.inf)
    for task in range(start, stop):
        first, last = task * channels, min(task * channels + channels, shape[1])
        scale = np.empty(last - first, x.dtype)
        for c in range(first, last):
            scale[c - first] = np.float64(gamma[c]) / math.sqrt(np.float64(var[c]) + epsilon)
        _write(x, shape, first, last, mean[first:last], scale, beta[first:last], floor, out)


@threads.parallel(grain=1)
def _forward_pooled(
    start, stop, channels, shape, x, image, gamma, beta, epsilon, floor, size, stride, width, out, index, mean, var
):
    N, C, S = shape
    halves = size == (2, 2) and stride == (2, 2)
    for task in range(start, stop):
        first, last = task * channels, min(task * channels + channels, C)
        center, scale, shift = _statistics(x, shape, first, last, gamma, beta, epsilon, mean, var)
        count = (last - first) * S
        columns, scratch = np.empty((3, count), x.dtype), np.empty(count, x.dtype)
        for row, values in enumerate((center, scale, shift)):
            spread(values, S, 0, columns[row])
        for n in range(N):
            normalise_row(x, (n * C + first) * S, columns, floor, scratch, 0, count)
            if halves:
                at = (n * C + first) * out.shape[2] * out.shape[3]
                pool_planes(last - first, width, image[0], image[1], 1, scratch.ctypes.data, out, index, at)
                continue
            for c in range(first, last):
                pool(scratch, (c - first) * S, image[1], size, stride, 0, out[n, c], index[n, c])


@threads.serial
def _write(x, shape, first, last, center, scale, shift, floor, out):
    """out = (x - center) * scale + shift, but at least floor."""
    N, C, S = shape
    if S < POSITIONS:
        normalise(x, shape, first, last, center, scale, shift, floor, out)
        return
    for n in range(N):
        for c in range(last - first):
            offset = (n * C + first + c) * S * x.itemsize
            norm_vectors.normalise_plane(
                x.dtype.type(0),
                out.ctypes.data + offset,
                x.ctypes.data + offset,
                center[c],
                scale[c],
                shift[c],
                floor,
                S,
            )


@threads.serial
def _add_moments(x, shape, first, last, rows, center, sums):
    """sums += the sums of x - center and of its square, over the first `rows` images."""
    _, C, S = shape
    if S < POSITIONS:
        add_moments(x, shape, first, last, rows, center, sums)
        return
    for c in range(last - first):
        for n in range(rows):
            total, square = norm_sums.moments(x, (n * C + first + c) * S, S, center[c])
            sums[0, c] += total
            sums[1, c] += square


@threads.serial
def _statistics(x, shape, first, last, gamma, beta, epsilon, mean, var):
    """Write mean and var of channels `first` to `last`; return center, scale and shift of the normalization."""
    N, _, S = shape
    dtype = x.dtype.type
    center, scale, shift = np.zeros((3, last - first), x.dtype)
    sums = np.zeros((2, last - first))
    _add_moments(x, shape, first, last, (N + 7) // 8, center, sums)
    for c in range(last - first):
        middle = dtype(sums[0, c] / ((N + 7) // 8 * S))
        center[c] = middle if np.isfinite(middle) else dtype(0)
    sums[:] = 0.0
    _add_moments(x, shape, first, last, N, center, sums)
    for c in range(last - first):
        if not np.isfinite(sums[1, c]):
            sums[:, c] = _exact_moments(x, shape, first + c, center[c])
        offset = sums[0, c] / (N * S)
        variance = sums[1, c] / (N * S) - offset * offset
        variance = 0.0 if variance < 0.0 else variance
        factor = np.float64(gamma[first + c]) / math.sqrt(variance + epsilon)
        mean[first + c], var[first + c] = dtype(np.float64(center[c]) + offset), dtype(variance)
        scale[c], shift[c] = dtype(factor), dtype(np.float64(beta[first + c]) - offset * factor)
    return center, scale, shift


@threads.serial
def _exact_moments(x, shape, c, center):
    """Return the sums of x - center and of its square in float64, for values whose square overflows float32."""
    N, C, S = shape
    total, squares = 0.0, 0.0
    for n in range(N):
        for i in range(U((n * C + c) * S), U((n * C + c + 1) * S)):
            deviation = np.float64(x[i]) - np.float64(center)
            total += deviation
            squares += deviation * deviation
    return total, squares


@threads.parallel(grain=1)
def _backward(
    start, stop, channels, shape, dout, mask, x, gamma, mean, var, epsilon, frozen, dx, dgamma, dbeta
):  # fmt: skip
    for task in range(start, stop):
        first, last = task * channels, min(task * channels + channels, shape[1])
        _gradients(dout, mask, x, shape, first, last, gamma, mean, var, epsilon, frozen, dx, dgamma, dbeta)


@threads.parallel(grain=1)
def _backward_pooled(
    start, stop, channels, shape, dout, index, size, stride, width, image, x, gamma, mean, var, epsilon, dx, dgamma,
    dbeta,
):  # fmt: skip
    N, C, S = shape
    halves = size == (2, 2) and stride == (2, 2)
    for task in range(start, stop):
        first, last = task * channels, min(task * channels + channels, C)
        for n in range(N):
            if halves:
                at = (n * C + first) * dout.shape[2] * dout.shape[3]
                unpool_planes(last - first, width, image[0], image[1], dout, index, at, dx, (n * C + first) * S)
                continue
            for c in range(first, last):
                unpool(dout[n, c], index[n, c], size, stride, dx, (n * C + c) * S, image[1], S)
        _gradients(dx, dx[:0], x, shape, first, last, gamma, mean, var, epsilon, False, dx, dgamma, dbeta)


@threads.serial
def _gradients(dout, relu, x, shape, first, last, gamma, mean, var, epsilon, frozen, dx, dgamma, dbeta):
    """Write dx, dgamma and dbeta of channels `first` to `last`; dx may be dout."""
    N, C, S = shape
    dtype, count = x.dtype.type, max(1, N * S)
    sums, factors = np.zeros((2, last - first)), np.zeros((3, last - first), x.dtype)
    if S < POSITIONS:
        add_products(dout, relu, x, shape, first, last, mean[first:last], sums)
    else:
        for c in range(first, last):
            for n in range(N):
                total, product = norm_sums.products(dout, relu, x, (n * C + c) * S, S, mean[c])
                sums[0, c - first] += total
                sums[1, c - first] += product
    for c in range(last - first):
        inv = 1.0 / math.sqrt(np.float64(var[first + c]) + epsilon)
        dbeta[first + c], dgamma[first + c] = dtype(sums[0, c]), dtype(sums[1, c] * inv)
        factors[0, c] = dtype(np.float64(gamma[first + c]) * inv)
        if not frozen:
            factors[1, c] = dtype(sums[0, c] / count)
            factors[2, c] = dtype(inv * inv * sums[1, c] / count)
    if S < POSITIONS or frozen:
        write_dx(dout, relu, x, shape, first, last, mean[first:last], factors, frozen, dx)
        return
    for n in range(N):
        for c in range(first, last):
            offset, scale = (n * C + c) * S * x.itemsize, factors[0, c - first]
            norm_vectors.write_plane(
                dtype(0),
                dx.ctypes.data + offset,
                dout.ctypes.data + offset,
                relu.ctypes.data + offset,
                relu.size > 0,
                x.ctypes.data + offset,
                mean[c],
                scale,
                scale * factors[1, c - first],
                scale * factors[2, c - first],
                S,
            )

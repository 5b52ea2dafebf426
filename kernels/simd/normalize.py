"""The engine of batch norm: every channel of x (N, C, S) in one visit, ReLU and pooling fused in.

A task is a block of neighbouring channels, read as rows of columns (c, s): N rows, one for each image, C*S apart. So
loops run over columns whatever S is, and a vector is never shorter than a block; what a channel has for all its columns
is spread out once for a block. All passes over a block follow one another while it lies in the cache, and no bit
depends on the threads.

Sums: 16 rows in the dtype of the arrays, from there on in float64. Statistics are those of x - center, the center being
the mean of the first eighth of the images: then the variance loses no more than three bits to cancellation whatever
follows (Chan, Golub & LeVeque, Algorithms for computing the sample variance, 1983, section 3), in one pass less.
"""

import math

import numpy as np

from .. import threads
from .rows import pool, unpool

TILE = 512  # columns whose sums stay in the first-level cache
ROWS = 16  # summed in the dtype of the arrays
COLUMNS, ELEMENTS = 128, 1 << 14  # of a task at least
NO_INDEX = np.empty((0, 0, 0, 0), np.uint8)

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


def backward(dout, x, gamma, mean, var, epsilon, frozen=False, relu=None, index=None, size=(0, 0), stride=(0, 0)):
    """dx, dgamma and dbeta; `relu` is the output of a ReLU that followed, `index` that of a pooling behind it.

    frozen: mean and var are constants, not the statistics of x.
    """
    dx, dgamma, dbeta = np.empty_like(x), np.empty_like(gamma), np.empty_like(gamma)
    pooled, index = (dout[:0].reshape(0, 0, 0, 0), NO_INDEX) if index is None else (dout, index)
    mask = dout[:0] if relu is None else relu
    width = x.shape[3] if x.ndim == 4 else 0
    _backward(
        *_tasks(x), dout.reshape(-1), mask.reshape(-1), pooled, index, size, stride, width, x.reshape(-1), gamma,
        mean, var, epsilon, frozen, dx.reshape(-1), dgamma, dbeta,
    )  # fmt: skip
    return dx, dgamma, dbeta


def _floor(x, relu):
    return x.dtype.type(0 if relu else -np.inf)


def _tasks(x):
    """The number of tasks, the channels of each, and the shape of x as (N, C, S)."""
    N, C, S = *x.shape[:2], math.prod(x.shape[2:])
    channels = max(1, -(-COLUMNS // max(1, S)), ELEMENTS // max(1, N * S))
    return -(-C // channels), channels, (N, C, S)


@threads.parallel(grain=1)
def _forward(start, stop, channels, shape, x, gamma, beta, epsilon, floor, out, mean, var):
    for task in range(start, stop):
        first, last = task * channels, min(task * channels + channels, shape[1])
        center, scale, shift = _statistics(x, shape, first, last, gamma, beta, epsilon, mean, var)
        _normalise(x, shape, first, last, center, scale, shift, floor, out)


@threads.parallel(grain=1)
def _inference(start, stop, channels, shape, x, mean, scale, shift, out):
    floor = x.dtype.type(-np.inf)
    for task in range(start, stop):
        first, last = task * channels, min(task * channels + channels, shape[1])
        _normalise(x, shape, first, last, mean[first:last], scale[first:last], shift[first:last], floor, out)


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
            _spread(values, S, 0, columns[row])
        for n in range(N):
            _normalise_row(x, (n * C + first) * S, columns[0], columns[1], columns[2], floor, scratch, 0)
            for c in range(first, last):
                pool(scratch, (c - first) * S, W, size, stride, out[n, c], index[n, c])


@threads.serial
def _statistics(x, shape, first, last, gamma, beta, epsilon, mean, var):
    """mean and var of channels `first` to `last`; also what normalises them: out = (x - center) * scale + shift."""
    N, _, S = shape
    dtype = x.dtype.type
    center, scale, shift = (
        np.zeros(last - first, x.dtype),
        np.empty(last - first, x.dtype),
        np.empty(last - first, x.dtype),
    )
    sums = np.zeros((2, last - first))
    _add_moments(x, shape, first, last, (N + 7) // 8, center, sums)
    for c in range(last - first):
        middle = dtype(sums[0, c] / ((N + 7) // 8 * S))
        center[c] = middle if np.isfinite(middle) else dtype(0)
    sums[:] = 0.0
    _add_moments(x, shape, first, last, N, center, sums)
    for c in range(last - first):
        offset = sums[0, c] / (N * S)
        variance = sums[1, c] / (N * S) - offset * offset
        variance = 0.0 if variance < 0.0 else variance
        factor = np.float64(gamma[first + c]) / math.sqrt(variance + epsilon)
        mean[first + c], var[first + c] = dtype(np.float64(center[c]) + offset), dtype(variance)
        scale[c], shift[c] = dtype(factor), dtype(np.float64(beta[first + c]) - offset * factor)
    return center, scale, shift


@threads.serial
def _spread(values, S, at, columns):
    """columns[j] = values[c] with c the channel of column at + j."""
    for c in range(at // S, (at + columns.size + S - 1) // S):
        columns[max(c * S - at, 0) : min((c + 1) * S - at, columns.size)] = values[c]


@threads.serial
def _fold(columns, S, at, sums):
    """sums[c] += columns[j] over the columns at + j of channel c."""
    for c in range(at // S, (at + columns.size + S - 1) // S):
        total = 0.0
        for j in range(max(c * S - at, 0), min((c + 1) * S - at, columns.size)):
            total += columns[U(j)]
        sums[c] += total


@threads.serial
def _add_moments(x, shape, first, last, rows, center, sums):
    """sums += the sums of x - center and of its square, over the first `rows` images."""
    _, C, S = shape
    partial, total, centers = np.zeros(2 * TILE, x.dtype), np.empty(2 * TILE), np.empty(TILE, x.dtype)
    for at in range(0, (last - first) * S, TILE):
        width = min(TILE, (last - first) * S - at)
        _spread(center, S, at, centers[:width])
        total[:] = 0.0
        for block in range(0, rows, ROWS):
            end = min(block + ROWS, rows)
            single = end - (end - block) % 4
            for n in range(block, single, 4):
                _add_four_moments(x, (n * C + first) * S + at, C * S, centers, width, partial)
            for n in range(single, end):
                _add_row_moments(x, (n * C + first) * S + at, centers, width, partial)
            _move(partial, total)
        _fold(total[:width], S, at, sums[0])
        _fold(total[TILE : TILE + width], S, at, sums[1])


@threads.serial
def _add_four_moments(x, at, step, center, width, sums):
    """One array of sums, in halves, and no more arrays than LLVM compares for overlap at run time: so it vectorises."""
    first, second, third, fourth = U(at), U(at + step), U(at + 2 * step), U(at + 3 * step)
    for j in range(U(width)):
        a, b = x[first + j] - center[j], x[second + j] - center[j]
        c, d = x[third + j] - center[j], x[fourth + j] - center[j]
        sums[j] += (a + b) + (c + d)
        sums[j + U(TILE)] += (a * a + b * b) + (c * c + d * d)


@threads.serial
def _add_row_moments(x, at, center, width, sums):
    start = U(at)
    for j in range(U(width)):
        a = x[start + j] - center[j]
        sums[j] += a
        sums[j + U(TILE)] += a * a


@threads.serial
def _move(partial, total):
    """What was summed so far into float64."""
    for j in range(partial.size):
        total[j] += np.float64(partial[j])
        partial[j] = 0


@threads.serial
def _normalise(x, shape, first, last, center, scale, shift, floor, out):
    N, C, S = shape
    columns = np.empty((3, TILE), x.dtype)
    for at in range(0, (last - first) * S, TILE):
        width = min(TILE, (last - first) * S - at)
        for row, values in enumerate((center, scale, shift)):
            _spread(values, S, at, columns[row, :width])
        for n in range(N):
            start = (n * C + first) * S + at
            _normalise_row(x, start, columns[0, :width], columns[1], columns[2], floor, out, start)


@threads.serial
def _normalise_row(x, at, center, scale, shift, floor, out, out_at):
    source, target = U(at), U(out_at)
    for j in range(U(center.size)):
        value = (x[source + j] - center[j]) * scale[j] + shift[j]
        out[target + j] = floor if value <= floor else value


@threads.parallel(grain=1)
def _backward(
    start, stop, channels, shape, dout, mask, pooled, index, size, stride, W, x, gamma, mean, var, epsilon, frozen, dx,
    dgamma, dbeta,
):  # fmt: skip
    N, C, S = shape
    dtype = x.dtype.type
    for task in range(start, stop):
        first, last = task * channels, min(task * channels + channels, C)
        _fill(dout, mask, pooled, index, size, stride, W, shape, first, last, dx)
        sums = np.zeros((2, last - first))
        _add_products(dx, x, shape, first, last, mean[first:last], sums)
        factors = np.zeros((3, last - first), x.dtype)
        for c in range(last - first):
            inv = 1.0 / math.sqrt(np.float64(var[first + c]) + epsilon)
            scale = np.float64(gamma[first + c]) * inv
            dbeta[first + c], dgamma[first + c] = dtype(sums[0, c]), dtype(sums[1, c] * inv)
            factors[0, c] = dtype(scale)
            if not frozen:
                factors[1, c] = dtype(sums[0, c] / (N * S))
                factors[2, c] = dtype(inv * inv * sums[1, c] / (N * S))
        _write_dx(x, shape, first, last, mean[first:last], factors, frozen, dx)


@threads.serial
def _fill(dout, mask, pooled, index, size, stride, W, shape, first, last, dx):
    """dx becomes the gradient with respect to the output: dout, or what ReLU or pooling let through of it."""
    N, C, S = shape
    zero = dx.dtype.type(0)
    for n in range(N):
        start, end = (n * C + first) * S, (n * C + last) * S
        if index.size:
            dx[start:end] = zero
            for c in range(first, last):
                unpool(pooled[n, c], index[n, c], size, stride, dx, (n * C + c) * S, W, S)
        elif mask.size:
            for i in range(U(start), U(end)):
                dx[i] = dout[i] if mask[i] > zero else zero
        else:
            dx[start:end] = dout[start:end]


@threads.serial
def _add_products(g, x, shape, first, last, center, sums):
    """sums += the sums of g and of g * (x - center)."""
    N, C, S = shape
    partial, total, centers = np.zeros(2 * TILE, x.dtype), np.empty(2 * TILE), np.empty(TILE, x.dtype)
    for at in range(0, (last - first) * S, TILE):
        width = min(TILE, (last - first) * S - at)
        _spread(center, S, at, centers[:width])
        total[:] = 0.0
        for block in range(0, N, ROWS):
            end = min(block + ROWS, N)
            for n in range(block, end - 1, 2):
                _add_two_products(g, x, (n * C + first) * S + at, C * S, centers, width, partial)
            if (end - block) % 2:
                _add_row_products(g, x, ((end - 1) * C + first) * S + at, centers, width, partial)
            _move(partial, total)
        _fold(total[:width], S, at, sums[0])
        _fold(total[TILE : TILE + width], S, at, sums[1])


@threads.serial
def _add_two_products(g, x, at, step, center, width, sums):
    first, second = U(at), U(at + step)
    for j in range(U(width)):
        a, b = g[first + j], g[second + j]
        sums[j] += a + b
        sums[j + U(TILE)] += a * (x[first + j] - center[j]) + b * (x[second + j] - center[j])


@threads.serial
def _add_row_products(g, x, at, center, width, sums):
    start = U(at)
    for j in range(U(width)):
        sums[j] += g[start + j]
        sums[j + U(TILE)] += g[start + j] * (x[start + j] - center[j])


@threads.serial
def _write_dx(x, shape, first, last, center, factors, frozen, dx):
    """dx = factors[0] * (dx - factors[1] - factors[2] * (x - center)), the last two where statistics are not frozen."""
    N, C, S = shape
    columns = np.empty((4, TILE), x.dtype)
    for at in range(0, (last - first) * S, TILE):
        width = min(TILE, (last - first) * S - at)
        _spread(center, S, at, columns[3, :width])
        for row in range(3):
            _spread(factors[row], S, at, columns[row, :width])
        for n in range(N):
            start = (n * C + first) * S + at
            if frozen:
                _scale_row(columns[0, :width], dx, start)
            else:
                _write_row(x, columns[0, :width], columns[1], columns[2], columns[3], dx, start)


@threads.serial
def _scale_row(scale, dx, at):
    start = U(at)
    for j in range(U(scale.size)):
        dx[start + j] *= scale[j]


@threads.serial
def _write_row(x, scale, shift, slope, center, dx, at):
    start = U(at)
    for j in range(U(scale.size)):
        dx[start + j] = scale[j] * (dx[start + j] - shift[j] - slope[j] * (x[start + j] - center[j]))

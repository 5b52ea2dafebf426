"""Loops of batch norm over the columns (c, s) of a block of channels of x (N, C, S), one row for each image.

A loop handles a tile of columns, row by row, for any S; values of a channel are first spread over its columns. 16 rows
are summed in the dtype of the arrays, larger sums in float64: the plain sums of a tile are in the first TILE elements,
sums of squares or products in the next TILE. `shape` is (N, C, S); functions work on channels `first` to `last`. `relu`
is the output of the ReLU after it, or empty.
"""

import numpy as np

from .. import threads
from . import norm_vectors

TILE = 512  # columns, whose sums fit in the first-level cache
ROWS = 16  # rows that are summed in the dtype of the arrays

U = np.uintp  # unsigned indices need no wrap-around of negative ones, so loops vectorise


@threads.serial
def spread(values, S, at, columns):
    """columns[j] = values[c], where c is the channel of column at + j."""
    if S == 1:
        for j in range(U(columns.size)):
            columns[j] = values[U(at) + U(j)]
        return
    for c in range(at // S, (at + columns.size + S - 1) // S):
        value = values[c]
        for j in range(U(max(c * S - at, 0)), U(min((c + 1) * S - at, columns.size))):
            columns[j] = value


@threads.serial
def _fold(columns, S, at, sums):
    """sums[c] += columns[j] over the columns at + j of channel c."""
    if S == 1:
        for j in range(U(columns.size)):
            sums[U(at) + U(j)] += columns[j]
        return
    for c in range(at // S, (at + columns.size + S - 1) // S):
        total = 0.0
        for j in range(U(max(c * S - at, 0)), U(min((c + 1) * S - at, columns.size))):
            total += columns[j]
        sums[c] += total


@threads.serial
def add_moments(x, shape, first, last, rows, center, sums):
    """sums += the sums of x - center and of its square, over the first `rows` images."""
    _, C, S = shape
    total, centers, zero = np.empty(2 * TILE), np.empty(TILE, x.dtype), x.dtype.type(0)
    for at in range(0, (last - first) * S, TILE):
        width = min(TILE, (last - first) * S - at)
        spread(center, S, at, centers[:width])
        total[:] = 0.0
        for n in range(0, rows, ROWS):
            norm_vectors.add_moments(
                zero, total.ctypes.data, total.ctypes.data + TILE * total.itemsize,
                x.ctypes.data + ((n * C + first) * S + at) * x.itemsize, C * S, centers.ctypes.data,
                min(ROWS, rows - n), width,
            )  # fmt: skip
        _fold(total[:width], S, at, sums[0])
        _fold(total[TILE : TILE + width], S, at, sums[1])


@threads.serial
def add_products(g, relu, x, shape, first, last, center, sums):
    """sums += the sums of g and of g * (x - center)."""
    N, C, S = shape
    total, centers, zero = np.empty(2 * TILE), np.empty(TILE, x.dtype), x.dtype.type(0)
    mask, step = (relu, C * S) if relu.size else (np.ones(TILE, x.dtype), 0)
    for at in range(0, (last - first) * S, TILE):
        width = min(TILE, (last - first) * S - at)
        spread(center, S, at, centers[:width])
        total[:] = 0.0
        for n in range(0, N, ROWS):
            offset = ((n * C + first) * S + at) * x.itemsize
            norm_vectors.add_products(
                zero, total.ctypes.data, total.ctypes.data + TILE * total.itemsize, g.ctypes.data + offset,
                mask.ctypes.data + (offset if step else 0), step, x.ctypes.data + offset, C * S, centers.ctypes.data,
                min(ROWS, N - n), width,
            )  # fmt: skip
        _fold(total[:width], S, at, sums[0])
        _fold(total[TILE : TILE + width], S, at, sums[1])


@threads.serial
def normalise(x, shape, first, last, center, scale, shift, floor, out):
    N, C, S = shape
    columns = np.empty((3, TILE), x.dtype)
    for at in range(0, (last - first) * S, TILE):
        width = min(TILE, (last - first) * S - at)
        for row, values in enumerate((center, scale, shift)):
            spread(values, S, at, columns[row, :width])
        for n in range(N):
            start = (n * C + first) * S + at
            normalise_row(x, start, columns, floor, out, start, width)


@threads.serial
def normalise_row(x, at, columns, floor, out, out_at, width):
    """out = (x - center) * scale + shift for the rows center, scale and shift of `columns`."""
    size, row = x.itemsize, columns.shape[1] * x.itemsize
    norm_vectors.normalise_row(
        x.dtype.type(0), out.ctypes.data + out_at * size, x.ctypes.data + at * size, columns.ctypes.data,
        columns.ctypes.data + row, columns.ctypes.data + 2 * row, floor, width,
    )  # fmt: skip


@threads.serial
def write_dx(g, relu, x, shape, first, last, center, factors, frozen, dx):
    """dx = factors[0] * (g - factors[1] - factors[2] * (x - center)); if frozen, dx = factors[0] * g."""
    N, C, S = shape
    zero, size, columns = x.dtype.type(0), x.itemsize, np.empty((4, TILE), x.dtype)
    mask = relu if relu.size else np.ones(TILE, x.dtype)
    address, row = columns.ctypes.data, TILE * size
    for at in range(0, (last - first) * S, TILE):
        width = min(TILE, (last - first) * S - at)
        for number in range(3):
            spread(factors[number], S, at, columns[number, :width])
        spread(center, S, at, columns[3, :width])
        for n in range(N):
            offset = ((n * C + first) * S + at) * size
            mask_row = mask.ctypes.data + (offset if relu.size else 0)
            if frozen:
                norm_vectors.scale_row(zero, dx.ctypes.data + offset, g.ctypes.data + offset, mask_row, address, width)
            else:
                norm_vectors.write_row(
                    zero, dx.ctypes.data + offset, g.ctypes.data + offset, mask_row, x.ctypes.data + offset,
                    address + 3 * row, address, address + row, address + 2 * row, width,
                )  # fmt: skip

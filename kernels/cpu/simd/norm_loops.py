"""Loops of batch norm over the columns (c, s) of a block of channels of x (N, C, S), one row for each image.

A pass runs over a tile of columns, row after row, whatever S is; what a channel has for all its columns is spread out
once for a tile. Sums of 16 rows are made in the dtype of the arrays, from there on in float64: first the plain sums of
a tile, TILE places behind them the sums of squares or products. `shape` is (N, C, S), and channels `first` to `last`
are meant. `relu` is the output of a ReLU that followed, or empty.
"""

import numpy as np

from .. import threads
from . import norm_vectors

TILE = 512  # columns whose sums stay in the first-level cache
ROWS = 16  # summed in the dtype of the arrays

U = np.uintp  # an unsigned index cannot be negative: no wrap-around is compiled in, and the loop vectorises


@threads.serial
def spread(values, S, at, columns):
    """columns[j] = values[c] with c the channel of column at + j."""
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
            place = ((n * C + first) * S + at) * x.itemsize
            norm_vectors.add_products(
                zero, total.ctypes.data, total.ctypes.data + TILE * total.itemsize, g.ctypes.data + place,
                mask.ctypes.data + (place if step else 0), step, x.ctypes.data + place, C * S, centers.ctypes.data,
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
    """dx = factors[0] * (g - factors[1] - factors[2] * (x - center)), the last two where statistics are not frozen."""
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
            place = ((n * C + first) * S + at) * size
            passing = mask.ctypes.data + (place if relu.size else 0)
            if frozen:
                norm_vectors.scale_row(zero, dx.ctypes.data + place, g.ctypes.data + place, passing, address, width)
            else:
                norm_vectors.write_row(
                    zero, dx.ctypes.data + place, g.ctypes.data + place, passing, x.ctypes.data + place,
                    address + 3 * row, address, address + row, address + 2 * row, width,
                )  # fmt: skip

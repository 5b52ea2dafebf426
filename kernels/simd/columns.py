"""Loops of batch norm over the columns (c, s) of a block of channels of x (N, C, S), one row for each image.

A loop runs over a tile of columns, row after row, whatever S is; what a channel has for all its columns is spread out
once for a tile. Sums of 16 rows are made in the dtype of the arrays, from there on in float64: first the plain sums of
a tile, TILE places behind them the sums of squares or products. `shape` is (N, C, S), and channels `first` to `last`
are meant.
"""

import numpy as np

from .. import threads

TILE = 512  # columns whose sums stay in the first-level cache
ROWS = 16  # summed in the dtype of the arrays

U = np.uintp  # an unsigned index cannot be negative: no wrap-around is compiled in, and the loop vectorises


@threads.serial
def spread(values, S, at, columns):
    """columns[j] = values[c] with c the channel of column at + j."""
    for c in range(at // S, (at + columns.size + S - 1) // S):
        value = values[c]
        for j in range(U(max(c * S - at, 0)), U(min((c + 1) * S - at, columns.size))):
            columns[j] = value


@threads.serial
def _fold(columns, S, at, sums):
    """sums[c] += columns[j] over the columns at + j of channel c."""
    for c in range(at // S, (at + columns.size + S - 1) // S):
        total = 0.0
        for j in range(U(max(c * S - at, 0)), U(min((c + 1) * S - at, columns.size))):
            total += columns[j]
        sums[c] += total


@threads.serial
def add_moments(x, shape, first, last, rows, center, sums):
    """sums += the sums of x - center and of its square, over the first `rows` images."""
    _, C, S = shape
    partial, total, centers = np.zeros(2 * TILE, x.dtype), np.empty(2 * TILE), np.empty(TILE, x.dtype)
    for at in range(0, (last - first) * S, TILE):
        width = min(TILE, (last - first) * S - at)
        spread(center, S, at, centers[:width])
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
    first, second = x[at : at + width], x[at + step : at + step + width]
    third, fourth = x[at + 2 * step : at + 2 * step + width], x[at + 3 * step : at + 3 * step + width]
    for j in range(width):
        a, b, c, d = first[j] - center[j], second[j] - center[j], third[j] - center[j], fourth[j] - center[j]
        sums[j] += (a + b) + (c + d)
        sums[j + TILE] += (a * a + b * b) + (c * c + d * d)


@threads.serial
def _add_row_moments(x, at, center, width, sums):
    row = x[at : at + width]
    for j in range(width):
        deviation = row[j] - center[j]
        sums[j] += deviation
        sums[j + TILE] += deviation * deviation


@threads.serial
def add_products(g, x, shape, first, last, center, sums):
    """sums += the sums of g and of g * (x - center)."""
    N, C, S = shape
    partial, total, centers = np.zeros(2 * TILE, x.dtype), np.empty(2 * TILE), np.empty(TILE, x.dtype)
    for at in range(0, (last - first) * S, TILE):
        width = min(TILE, (last - first) * S - at)
        spread(center, S, at, centers[:width])
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
    a, b = g[at : at + width], g[at + step : at + step + width]
    first, second = x[at : at + width], x[at + step : at + step + width]
    for j in range(width):
        sums[j] += a[j] + b[j]
        sums[j + TILE] += a[j] * (first[j] - center[j]) + b[j] * (second[j] - center[j])


@threads.serial
def _add_row_products(g, x, at, center, width, sums):
    gradient, row = g[at : at + width], x[at : at + width]
    for j in range(width):
        sums[j] += gradient[j]
        sums[j + TILE] += gradient[j] * (row[j] - center[j])


@threads.serial
def _move(partial, total):
    """What was summed so far into float64."""
    for j in range(partial.size):
        total[j] += np.float64(partial[j])
        partial[j] = 0


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
            normalise_row(x, start, columns[0, :width], columns[1], columns[2], floor, out, start)


@threads.serial
def normalise_row(x, at, center, scale, shift, floor, out, out_at):
    width = center.size
    row, target = x[at : at + width], out[out_at : out_at + width]
    for j in range(width):
        value = (row[j] - center[j]) * scale[j] + shift[j]
        target[j] = floor if value <= floor else value


@threads.serial
def write_dx(x, shape, first, last, center, factors, frozen, dx):
    """dx = factors[0] * (dx - factors[1] - factors[2] * (x - center)), the last two where statistics are not frozen."""
    N, C, S = shape
    columns = np.empty((4, TILE), x.dtype)
    for at in range(0, (last - first) * S, TILE):
        width = min(TILE, (last - first) * S - at)
        spread(center, S, at, columns[3, :width])
        for row in range(3):
            spread(factors[row], S, at, columns[row, :width])
        for n in range(N):
            start = (n * C + first) * S + at
            if frozen:
                _scale_row(columns[0, :width], dx, start)
            else:
                _write_row(x, columns[0, :width], columns[1], columns[2], columns[3], dx, start)


@threads.serial
def _scale_row(scale, dx, at):
    row = dx[at : at + scale.size]
    for j in range(row.size):
        row[j] *= scale[j]


@threads.serial
def _write_row(x, scale, shift, slope, center, dx, at):
    source, row = x[at : at + scale.size], dx[at : at + scale.size]
    for j in range(row.size):
        row[j] = scale[j] * (row[j] - shift[j] - slope[j] * (source[j] - center[j]))

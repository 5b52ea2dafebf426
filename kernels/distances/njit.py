"""`distances` on register tiles: see `simd.matmul`.

`nearest_neighbors` takes blocks of rows of x and of y. Both are centred, which leaves distances as they are but makes
rounding errors small, and rounded to float32; a matrix product gives distances whose error has a bound. For each row of
x, only distances of the block that, less this bound, do not exceed the k-th smallest are computed in float64. So
float64 takes the time of float32 products, and ties are exact. In memory are, next to the result, a block of distances
and the rows of both blocks in float32.
"""

import math

import numpy as np

from ..cpu import threads
from ..cpu.simd import matmul
from ..dispatch import signatures

ROWS, COLUMNS = 1024, 4096  # rows of x and of y whose distances are in memory at a time
SAMPLE = 256  # rows of y whose mean is the center
SHARE = 1 / 16  # of |x|^2 + |y|^2: smaller distances are summed directly
ROUNDING, TINY = 2.0**-24, 2.0**-120  # relative error of a float32; bound of what underflow changes in a product
LARGEST = 2.0**127  # below it, no product overflows float32

U = np.uintp  # unsigned indices need no wrap-around of negative ones, so loops vectorise


def squared_distances(x, y):
    out = matmul.multiply_transposed(x, y)
    x_squares, y_squares = np.empty(len(x), x.dtype), np.empty(len(y), x.dtype)
    _sum_squares(len(x), x, x_squares)
    _sum_squares(len(y), y, y_squares)
    _finish(len(x), x, y, x_squares, y_squares, x.dtype.type(SHARE), out)
    return out


def nearest_neighbors(x, y, k):
    (N, D), M = x.shape, len(y)
    index, distances = np.empty((N, k), np.int64), np.empty((N, k))
    center, bound, tiny = _center(y), _bound(D), TINY * (D + 1)
    for row in range(0, N, ROWS):
        rows, x_squares = _centred(x[row : row + ROWS], center)
        for column in range(0, M, COLUMNS):
            columns, y_squares = _centred(y[column : column + COLUMNS], center)
            products, first = matmul.multiply_transposed(rows, columns), (row, column)
            _select(len(rows), first, x, y, products, x_squares, y_squares, bound, tiny, index, distances)
            del columns, products  # before the next ones take memory
    return index


@signatures.quiet
def _center(y):
    """Return a point in the middle of y: the mean of some rows. Any point gives the same indices."""
    center = y[:: -(-len(y) // SAMPLE)].mean(axis=0, dtype=np.float64)
    center[~np.isfinite(center)] = 0
    return center


def _bound(D):
    """Return the error of a distance from float32 products of rounded rows, relative to |x|^2 + |y|^2."""
    error = (D + 16) * ROUNDING  # of D products and additions, and of rounding x and y
    return error / (1 - error) if error < 1 else math.inf


def _centred(rows, center):
    """Return rows - center in float32, and their sums of squares in float64."""
    out, squares = np.empty(rows.shape, np.float32), np.empty(len(rows))
    _subtract(len(rows), rows, center, out, squares)
    return out, squares


@threads.parallel(grain=16)
def _subtract(start, stop, rows, center, out, squares):
    for n in range(start, stop):
        total = 0.0
        for d in range(U(center.size)):
            value = np.float32(np.float64(rows[U(n), d]) - center[d])
            out[U(n), d] = value
            total += np.float64(value) * np.float64(value)
        squares[n] = total


@threads.parallel(grain=16)
def _sum_squares(start, stop, rows, squares):
    for n in range(start, stop):
        total = 0.0
        for d in range(U(rows.shape[1])):
            total += np.float64(rows[U(n), d]) * np.float64(rows[U(n), d])
        squares[n] = total


@threads.parallel(grain=4)
def _finish(start, stop, x, y, x_squares, y_squares, share, out):
    """Turn products into distances: out = |x|^2 + |y|^2 - 2 * out, or the sum of squares where that is inaccurate."""
    two = x.dtype.type(2)
    for n in range(start, stop):
        square, line = x_squares[n], out[n]
        for m in range(U(line.size)):
            line[m] = (square + y_squares[m]) - two * line[m]
        for m in range(line.size):
            if not (line[m] > share * (square + y_squares[m]) and line[m] < np.inf):
                line[m] = _distance(x, n, y, m, x.dtype.type(0))


@threads.serial
def _distance(x, n, y, m, zero):
    """Return sum_d (x[n, d] - y[m, d])^2, in the dtype of `zero`."""
    total = zero
    for d in range(U(x.shape[1])):
        difference = type(zero)(x[U(n), d]) - type(zero)(y[U(m), d])
        total += difference * difference
    return total


@threads.parallel(grain=4)
def _select(start, stop, first, x, y, products, x_squares, y_squares, bound, tiny, index, distances):
    """Insert the distances of a block into the k smallest of each row, which are sorted.

    first: row and column of the block; the columns before it were inserted earlier
    """
    (row, column), k = first, index.shape[1]
    least, most = np.empty(y_squares.size), np.empty(y_squares.size)
    for i in range(start, stop):
        line, square = products[i], x_squares[i]
        for j in range(U(least.size)):
            total = square + y_squares[j]
            distance = total - 2.0 * np.float64(line[j])
            error = bound * total + tiny if total < LARGEST else np.inf
            least[j], most[j] = distance - error, distance + error
        limit = np.partition(most, k - 1)[k - 1] if k < most.size else np.inf
        known = min(column, k)
        for j in range(least.size):
            if least[j] > limit or (known == k and least[j] > distances[row + i, k - 1]):
                continue  # not for NaN
            distance = _distance(x, row + i, y, column + j, 0.0)
            known = _insert(distance, column + j, known, distances[row + i], index[row + i])


@threads.serial
def _insert(distance, m, known, distances, index):
    """Insert m and its distance into the `known` smallest ones; return how many there are then."""
    if known < distances.size:
        known += 1
    elif not _is_before(distance, distances[known - 1]):
        return known
    at = known - 1
    while at > 0 and _is_before(distance, distances[at - 1]):
        distances[at], index[at] = distances[at - 1], index[at - 1]
        at -= 1
    distances[at], index[at] = distance, m
    return known


@threads.serial
def _is_before(distance, other):
    """Whether a distance comes before another one; NaN comes last."""
    return distance < other or (other != other and distance == distance)

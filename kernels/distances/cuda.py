"""`distances` on a GPU: matrix products on tiles, see `gpu.products`, and a warp for each row.

As in `njit`, `nearest_neighbors` computes in float64 what float32 products of centred rows cannot exclude. The lanes
of a warp look at 32 columns at once; a sum of powers of two tells all of them which columns are left, and they compute
the distance of each of these together. Lane 0 keeps the sorted list of the nearest rows.
"""

import math

import numpy as np
from numba import cuda, float32, float64, uint32

from ..gpu import products
from ..gpu.availability import SIMULATED
from ..gpu.launch import device, kernel, split
from ..gpu.memory import on_device, xp
from ..gpu.reduce import warp_sum
from ..gpu.warp import WARP

ROWS, COLUMNS = (3, 40) if SIMULATED else (4096, 4096)  # rows of x and of y whose distances are in memory at a time
SAMPLE = 256  # rows of y whose mean is the center
SHARE = 1 / 16  # of |x|^2 + |y|^2: smaller distances are summed directly
ROUNDING, TINY = 2.0**-24, 2.0**-120  # relative error of a float32; bound of what underflow changes in a product
LARGEST = 2.0**127  # below it, no product overflows float32
TF32_ROUNDING = 2.0**-10  # of a product of two TF32 numbers


@on_device
def squared_distances(x, y):
    (N, D), M = x.shape, len(y)
    out, x_squares, y_squares = xp.empty((N, M), x.dtype), xp.empty(N), xp.empty(M)
    products.multiply(products.rows_of(x, N, D), products.rows_of(y, M, D), products.rows_of(out, N, M))
    _sum_squares(N * WARP, N, D, x, x_squares)
    _sum_squares(M * WARP, M, D, y, y_squares)
    share = math.inf if x.dtype == np.float32 and products.uses_tf32() else SHARE
    _finish(N * M, N * M, M, D, x, y, x_squares, y_squares, np.float64(share), x.dtype.type(0), out)
    return out


@on_device
def nearest_neighbors(x, y, k):
    (N, D), M = x.shape, len(y)
    index, distances = xp.empty((N, k), np.int64), xp.empty((N, k))
    center, bound, tiny = xp.empty(D), np.float64(_bound(D)), np.float64(TINY * (D + 1))
    step = -(-M // SAMPLE)
    _average(D, D, -(-M // step), step, y, center)
    for row in range(0, N, ROWS):
        rows, x_squares = _centred(x[row : row + ROWS], center)
        for column in range(0, M, COLUMNS):
            columns, y_squares = _centred(y[column : column + COLUMNS], center)
            height, width = len(rows), len(columns)
            out = xp.empty((height, width), np.float32)
            left, right = products.rows_of(rows, height, D), products.rows_of(columns, width, D)
            products.multiply(left, right, products.rows_of(out, height, width))
            _select(
                height * WARP, height, width, row, column, D, k, x, y, out, x_squares, y_squares, bound, tiny, index,
                distances,
            )  # fmt: skip
    return index


def _bound(D):
    """Return the error of a distance from float32 products of rounded rows, relative to |x|^2 + |y|^2."""
    error = (D + 16) * ROUNDING + (TF32_ROUNDING if products.uses_tf32() else 0)
    return error / (1 - error) if error < 1 else math.inf


def _centred(rows, center):
    """Return rows - center in float32, and their sums of squares in float64."""
    (N, D), out, squares = rows.shape, xp.empty(rows.shape, np.float32), xp.empty(len(rows))
    _subtract(N * D, N * D, D, rows, center, out)
    _sum_squares(N * WARP, N, D, out, squares)
    return out, squares


@kernel
def _average(D, count, step, y, center):
    """center[d] = the mean of y[i * step, d] over i < count; 0 if it is not finite"""
    d = cuda.grid(1)
    if d < D:
        total = float64(0)
        for i in range(count):
            total += y[i * step * D + d]
        total /= count
        center[d] = total if math.isfinite(total) else 0.0


@kernel
def _subtract(count, D, rows, center, out):
    i = cuda.grid(1)
    if i < count:
        out[i] = float32(float64(rows[i]) - center[split(i, D)[1]])


@kernel
def _sum_squares(N, D, rows, squares):
    n, lane = split(cuda.grid(1), WARP)
    if n < N:
        total = float64(0)
        for d in range(lane, D, WARP):
            total += float64(rows[n * D + d]) * float64(rows[n * D + d])
        total = warp_sum(total)
        if lane == 0:
            squares[n] = total


@kernel
def _finish(count, M, D, x, y, x_squares, y_squares, share, zero, out):
    """Turn products into distances: out = |x|^2 + |y|^2 - 2 * out, or the sum of squares where that is inaccurate."""
    i = cuda.grid(1)
    if i < count:
        n, m = split(i, M)
        total = x_squares[n] + y_squares[m]
        distance = total - 2.0 * float64(out[i])
        if distance > share * total and distance < math.inf:
            out[i] = distance
        else:
            direct = zero
            for d in range(D):
                difference = x[n * D + d] - y[m * D + d]
                direct += difference * difference
            out[i] = direct


@kernel
def _select(
    height, width, row, column, D, k, x, y, out, x_squares, y_squares, bound, tiny, index, distances
):  # fmt: skip
    """Insert the distances of a block into the k smallest of each row, which are sorted."""
    i, lane = split(cuda.grid(1), WARP)
    if i < height:
        n, known, limit = row + i, min(column, k), math.inf
        if known == k:
            limit = distances[n * k + k - 1]
        for first in range(0, width, WARP):
            j, left = first + lane, 0.0
            if j < width:
                total = x_squares[i] + y_squares[j]
                least = total - 2.0 * float64(out[i * width + j]) - (bound * total + tiny)
                if known < k or not (least > limit and total < LARGEST):  # NaN is computed too
                    left = float64(1 << lane)
            columns, m = uint32(warp_sum(left)), column + first
            while columns:
                if columns & uint32(1):
                    distance = warp_sum(_part_of_distance(x, n * D, y, m * D, lane, D))
                    if known < k or _is_before(distance, limit):
                        known = min(known + 1, k)
                        last = 0.0
                        if lane == 0:
                            _insert(distance, m, n * k, known, distances, index)
                            last = distances[n * k + known - 1]
                        limit = warp_sum(last)  # the other lanes add 0
                columns, m = columns >> uint32(1), m + 1


@device
def _part_of_distance(x, x_start, y, y_start, lane, D):
    """Return this lane's part of the squared distance of two rows."""
    total, d = float64(0), lane
    while d < D:
        difference = float64(x[x_start + d]) - float64(y[y_start + d])
        total += difference * difference
        d += WARP
    return total


@device
def _insert(distance, m, start, known, distances, index):
    """Insert m and its distance into a sorted list of which the last entry is free."""
    at = start + known - 1
    while at > start and _is_before(distance, distances[at - 1]):
        distances[at], index[at] = distances[at - 1], index[at - 1]
        at -= 1
    distances[at], index[at] = distance, m


@device
def _is_before(distance, other):
    """Whether a distance comes before another one; NaN comes last."""
    return distance < other or (other != other and distance == distance)

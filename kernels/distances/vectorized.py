"""`distances` as matrix products (BLAS), for a block of rows of x at a time.

Inputs of `nearest_neighbors` are converted to float64 as a whole.
"""

import numpy as np

_ROWS = 256  # of x in a block
_SHARE = 1 / 16  # of |x|^2 + |y|^2: smaller distances are summed directly


def squared_distances(x, y):
    out = np.empty((len(x), len(y)), x.dtype)
    squares = _squares(y).astype(y.dtype)
    for first in range(0, len(x), _ROWS):
        rows, distances = x[first : first + _ROWS], out[first : first + _ROWS]
        total = _squares(rows).astype(x.dtype)[:, None] + squares
        np.matmul(rows, y.T, out=distances)
        distances *= -2
        distances += total
        total *= x.dtype.type(_SHARE)
        direct = ~((distances > total) & (distances < np.inf))
        for n in np.flatnonzero(direct.any(axis=1)):
            distances[n, direct[n]] = np.sum((rows[n] - y[direct[n]]) ** 2, axis=1)
    return out


def nearest_neighbors(x, y, k):
    x, y = x.astype(np.float64, copy=False), y.astype(np.float64, copy=False)
    index, squares = np.empty((len(x), k), np.int64), _squares(y)
    info, terms = np.finfo(np.float64), x.shape[1] + 16
    for first in range(0, len(x), _ROWS):
        rows = x[first : first + _ROWS]
        total = _squares(rows)[:, None] + squares
        distances, error = total - 2 * (rows @ y.T), terms * (info.eps * total + 16 * info.tiny)
        limit = np.partition(distances + error, k - 1, axis=1)[:, k - 1 : k]
        may_be_near = ~(distances - error > limit)
        for n, row in enumerate(rows):
            found = np.flatnonzero(may_be_near[n])
            order = np.argsort(np.sum((row - y[found]) ** 2, axis=1), kind="stable")
            index[first + n] = found[order[:k]]
    return index


def _squares(rows):
    """Return the sum of squares of each row, in float64."""
    return np.einsum("nd,nd->n", rows, rows, dtype=np.float64)

"""Inputs and checks of `distances`, for every backend and for the simulated GPU."""

import numpy as np

from fastnn.kernels import use_backend
from fastnn.kernels.distances import nearest_neighbors, squared_distances
from fastnn.testing import against_naive


def draw(N, D, M, dtype, seed=0, whole=False):
    """Draw x and y: normal numbers, or small integers, whose distances are exact and often equal."""
    generator = np.random.default_rng(seed)
    one = (lambda shape: generator.integers(-1, 2, shape)) if whole else generator.standard_normal
    return tuple(one(shape).astype(dtype) for shape in ((N, D), (M, D)))


def check(x, y):
    """Compare both functions on the active backend with the naive loops."""
    M, D = y.shape
    out = against_naive(squared_distances, x, y, terms=4 * D)
    assert out.shape == (len(x), M) and out.flags.c_contiguous
    assert not (out < 0).any()
    for k in {min(1, M), (M + 1) // 2, M} - {0}:
        index = against_naive(nearest_neighbors, x, y, k)
        assert index.shape == (len(x), k) and index.dtype == np.int64


def check_cancellation(dtype):
    """Rows far from the origin and near one another: the relative error stays small, and equal rows have distance 0."""
    x, y = draw(5, 7, 9, dtype, seed=3)
    x, y = x + dtype(1000), y + dtype(1000)
    y[4] = y[6] = x[2]
    exact = ((x.astype(np.float64)[:, None] - y.astype(np.float64)) ** 2).sum(axis=2)
    actual = squared_distances(x, y)
    np.testing.assert_allclose(actual, exact, rtol=100 * np.finfo(dtype).eps)
    assert actual[2, 4] == actual[2, 6] == 0
    assert nearest_neighbors(x, y, 9).tolist() == np.argsort(exact, axis=1, kind="stable").tolist()
    assert nearest_neighbors(x, y, 2)[2].tolist() == [4, 6]


def check_special_values(dtype):
    """NaN and infinity in either argument, squares that overflow, and squares that underflow."""
    for value in (np.nan, np.inf, -np.inf):
        for place in ((0, 1), (3, 0)):
            x, y = draw(4, 3, 6, dtype, seed=1)
            x[place] = value
            check(x, y)
            y[place] = value
            check(x, y)
            check(draw(4, 3, 6, dtype, seed=1)[0], y)
    largest, smallest = np.finfo(dtype).max, np.finfo(dtype).tiny
    for scale in (largest / 4, np.sqrt(largest) / 2, np.sqrt(smallest), smallest):
        x, y = (part * dtype(scale) for part in draw(4, 3, 6, dtype, seed=2, whole=True))
        actual = squared_distances(x, y)
        with use_backend("naive"):
            expected = squared_distances(x, y)  # in this dtype, since float64 would not overflow
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=smallest)
        against_naive(nearest_neighbors, x, y, 4)

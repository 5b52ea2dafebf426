"""Inputs and checks of `pool2d`, for every backend and for the simulated GPU."""

import numpy as np

from fastnn.kernels.pool2d import max_pool2d_backward, max_pool2d_forward

RNG = np.random.default_rng(0)


def draw(shape, dtype, kind="normal"):
    """Draw normal numbers; or few integers ("whole"), for ties and exact sums; or also NaN and infinity ("special")."""
    if kind == "normal":
        return RNG.standard_normal(shape).astype(dtype)
    values = [-2.0, -0.0, 0.0, 1.0, 2.0] + ([np.nan, np.inf, -np.inf] if kind == "special" else [])
    return RNG.choice(values, size=shape).astype(dtype)


def check_overlapping_padded_max_worked_by_hand():
    x = np.array([[[[-1.0, -5, -2], [-3, -4, -1]]]])
    out, index = max_pool2d_forward(x, 2, 1, 1)
    np.testing.assert_array_equal(out, [[[[-1, -1, -2, -2], [-1, -1, -1, -1], [-3, -3, -1, -1]]]])
    np.testing.assert_array_equal(index, [[[[3, 2, 3, 2], [1, 0, 3, 2], [1, 0, 1, 0]]]])
    dx = max_pool2d_backward(np.arange(1.0, 13).reshape(1, 1, 3, 4), index, x.shape, 2, 1, 1)
    np.testing.assert_array_equal(dx, [[[[1 + 2 + 5 + 6, 0, 3 + 4], [9 + 10, 0, 7 + 8 + 11 + 12]]]])


def check_the_first_nan_wins(dtype):
    x = np.array([[[[1, np.nan, np.inf, 3], [np.nan, 2, -np.inf, np.nan]]]], dtype)
    out, index = max_pool2d_forward(x, 2, 2)
    assert np.isnan(out).all()
    np.testing.assert_array_equal(index, [[[[1, 3]]]])
    dx = max_pool2d_backward(np.ones((1, 1, 1, 2), dtype), index, x.shape, 2, 2)
    np.testing.assert_array_equal(dx, [[[[0, 1, 0, 0], [0, 0, 0, 1]]]])

"""Checks of `dropout`, for every backend and for the simulated GPU."""

import numpy as np

from fastnn.kernels import dropout
from fastnn.testing import against_naive


def check_layouts_and_integers(shape, dtype):
    x = np.random.default_rng(1).standard_normal(shape).astype(dtype)
    for seen in (x[::2, ::-3], np.asfortranarray(x), x.T):
        out, mask = against_naive(dropout.dropout_forward, seen, 0.5, 3)
        assert out.flags.c_contiguous
        against_naive(dropout.dropout_backward, seen, np.asfortranarray(mask), 0.5)
    out, _ = dropout.dropout_forward([[1, 2], [3, 4]], 0.5, 3)
    assert out.dtype == np.float64


def check_dropped_elements(dtype):
    """Dropped elements are 0, even if they were NaN or infinite."""
    _, mask = dropout.dropout_forward(np.ones(64, dtype), 0.5, 0)
    for odd in (np.nan, np.inf, -np.inf):
        x = np.full(64, odd, dtype)
        out, again = dropout.dropout_forward(x, 0.5, 0)
        np.testing.assert_array_equal(again, mask)
        for result in (out, dropout.dropout_backward(x, mask, 0.5)):
            np.testing.assert_array_equal(result, np.where(mask, x, dtype(0)))


def check_keeping_everything(size):
    """Keeping everything returns bitwise equal arrays."""
    x = np.random.default_rng(2).standard_normal(size).astype(np.float32)
    x[:2] = -0.0, np.nan
    out, mask = dropout.dropout_forward(x, 1, 9)
    assert mask.all()
    assert out.tobytes() == dropout.dropout_backward(x, mask, 1).tobytes() == x.tobytes()

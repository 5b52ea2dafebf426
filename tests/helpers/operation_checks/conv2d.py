"""Inputs and checks of `conv2d`, with and without dilation."""

import numpy as np
import pytest
from conftest import AVAILABLE

DTYPES = [np.float32, np.float64]
compared = pytest.mark.parametrize("backend", [name for name in AVAILABLE if name != "naive"], indirect=True)


def draw(rng, shape, dtype, whole=False):
    """Draw normal numbers, or small integers whose sums are exact."""
    return (rng.integers(-4, 5, shape) if whole else rng.normal(size=shape)).astype(dtype)


def numeric_gradient(loss, x, h=1e-6):
    gradient = np.empty_like(x)
    for index in np.ndindex(x.shape):
        moved = x.copy()
        moved[index] += h
        high = loss(moved)
        moved[index] -= 2 * h
        gradient[index] = (high - loss(moved)) / (2 * h)
    return gradient

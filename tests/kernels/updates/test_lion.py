"""Tests of `lion` against algorithm 2 of its paper in NumPy, since PyTorch has no such optimizer."""

import numpy as np
import pytest

from fastnn import optim
from fastnn.kernels import updates
from fastnn.kernels.updates import rules
from fastnn.testing import assert_same


def algorithm_2(w, dw, m, learning_rate, beta1, beta2, weight_decay):
    """Return the new weights and the new m."""
    c = beta1 * m + (1 - beta1) * dw
    return w - learning_rate * (np.sign(c) + weight_decay * w), beta2 * m + (1 - beta2) * dw


@pytest.mark.parametrize("weight_decay", [0, 0.5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ten_steps_of_the_paper(backend, dtype, weight_decay):
    """With multiples of 1/16 and these betas c has at most 20 bits, so that no sign depends on rounding."""
    generator = np.random.default_rng(0)
    w = np.round(16 * generator.standard_normal((7, 5))) / 16
    numbers = {"learning_rate": 2.0**-6, "beta1": 0.875, "beta2": 0.5, "weight_decay": weight_decay}
    expected, m = w, np.zeros_like(w)
    actual, config = w.astype(dtype), dict(numbers)
    for _ in range(10):
        dw = np.round(16 * generator.standard_normal(w.shape)) / 16
        expected, m = algorithm_2(expected, dw, m, **numbers)
        actual, config = optim.lion(actual, dw.astype(dtype), config)
    assert_same(actual, expected.astype(dtype))
    assert_same(config["m"], m.astype(dtype))


def test_numbers_worked_by_hand(backend):
    w, dw, m, out = np.array([1.0, -2.0]), np.array([4.0, -1.0]), np.array([0.0, 1.0]), np.empty(2)
    updates.lion_update(w, dw, m, out, 0.25, 0.75, 0.5, 0.5)  # c = 1, 0.5
    assert_same(out, np.array([1 - 0.25 * (1 + 0.5), -2 - 0.25 * (1 - 1)]))
    assert_same(m, np.array([2.0, 0.0]))


def test_the_sign_of_zero_is_zero_and_that_of_nan_is_nan(backend):
    dw = np.array([0.0, -0.0, 1.0, np.nan, np.inf, -np.inf, 3.0])
    m = np.array([0.0, -0.0, -1.0, 0.0, 0.0, 0.0, np.nan])
    w, out = np.arange(7.0), np.empty(7)
    with np.errstate(invalid="ignore"):
        updates.lion_update(w, dw, m, out, 0.25, 0.5, 0.5)
    assert_same(out, np.array([0.0, 1.0, 2.0, np.nan, 3.75, 5.25, np.nan]))


def test_the_defaults_are_those_of_the_paper():
    assert optim.DEFAULTS["lion"] == {"learning_rate": 1e-4, "beta1": 0.9, "beta2": 0.99, "weight_decay": 0.0}
    assert rules.RULES["lion"].decoupled
    assert not hasattr(pytest.importorskip("torch", reason="PyTorch may have the optimizer by now").optim, "Lion")

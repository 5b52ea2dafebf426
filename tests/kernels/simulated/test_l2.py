"""`l2` on the simulated GPU."""

import math

import numpy as np
import pytest
from operation_checks.l2 import (
    check_a_shared_gradient,
    check_against_the_loops,
    check_many_at_once,
    check_numbers_worked_by_hand,
    check_the_gradient,
)

from fastnn.kernels import l2
from fastnn.kernels.gpu.launch import BLOCK

DTYPES = [np.float32, np.float64]
SHAPES = [(3, 4), (), (0, 2), (1,), (37, 5), (16 * BLOCK + 3,)]
ignored = pytest.mark.filterwarnings("ignore:(invalid value|overflow):RuntimeWarning")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_against_the_loops(shape, dtype):
    check_against_the_loops(shape, dtype)


def test_many_at_once_equal_one_by_one():
    check_many_at_once(SHAPES[:5], DTYPES)


def test_numbers_worked_by_hand():
    check_numbers_worked_by_hand()


def test_the_gradient_is_that_of_the_penalty():
    check_the_gradient((3, 2))


def test_squares_too_large_for_float32_are_summed():
    w, dw = np.full(3, 1e30, np.float32), np.zeros(3, np.float32)
    assert l2.global_norm(w) == pytest.approx(math.sqrt(3) * 1e30, rel=1e-6)
    assert l2.weight_penalty(w, dw, 2.0) == pytest.approx(3e60, rel=1e-6)
    np.testing.assert_array_equal(dw, 2 * w)


@ignored
@pytest.mark.parametrize(("value", "expected"), [(np.nan, np.nan), (np.inf, np.inf), (-1e200, np.inf)])
def test_nan_and_infinity_propagate(value, expected):
    w, dw = np.array([1.0, value, 2.0]), np.zeros(3)
    np.testing.assert_equal(l2.global_norm(w), expected)
    np.testing.assert_equal(l2.weight_penalty(w, dw, 0.5), expected)
    np.testing.assert_array_equal(dw, 0.5 * w)


def test_a_shared_gradient_gets_every_penalty():
    check_a_shared_gradient(50)

"""`squares` on the simulated GPU."""

import math

import numpy as np
import pytest

from fastnn.gradient_check import eval_numerical_gradient
from fastnn.kernels import squares
from fastnn.kernels.gpu.launch import BLOCK
from fastnn.testing import against_naive, assert_same

DTYPES = [np.float32, np.float64]
SHAPES = [(3, 4), (), (0, 2), (1,), (37, 5), (16 * BLOCK + 3,)]
ignored = pytest.mark.filterwarnings("ignore:(invalid value|overflow):RuntimeWarning")


def draw(shapes, dtype=np.float64, seed=0):
    generator = np.random.default_rng(seed)
    return [np.asarray(generator.standard_normal(shape), dtype) for shape in shapes]


def penalised(w, dw, reg):
    """`weight_penalty` as a function that leaves its arguments alone and returns the new gradient too."""
    dw = dw.copy(order="C")
    return squares.weight_penalty(w, dw, reg), dw


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_against_the_loops(shape, dtype):
    w, dw = draw([shape, shape], dtype)
    loss, _ = against_naive(penalised, w, dw, 0.3, terms=w.size)
    assert isinstance(loss, float)
    assert loss == pytest.approx(0.15 * np.sum(w.astype(np.float64) ** 2), rel=1e-13)  # summed in float64
    norm = against_naive(squares.gradient_norm, dw, terms=w.size)
    assert isinstance(norm, float)
    assert norm == pytest.approx(math.sqrt(np.sum(dw.astype(np.float64) ** 2)), rel=1e-13)


def test_many_at_once_are_one_after_the_other():
    def some(seed):
        return [array.astype(DTYPES[place % 2]) for place, array in enumerate(draw(SHAPES[:5], seed=seed))]

    w, dw = some(0), some(1)
    each = [penalised(*pair, 0.7) for pair in zip(w, dw, strict=True)]
    assert squares.gradient_norm(dw) == pytest.approx(math.hypot(*map(squares.gradient_norm, dw)), rel=1e-13)
    assert squares.weight_penalty(w, dw, 0.7) == pytest.approx(sum(loss for loss, _ in each), rel=1e-13)
    for actual, (_, expected) in zip(dw, each, strict=True):
        np.testing.assert_array_equal(actual, expected, strict=True)


def test_numbers_worked_by_hand():
    w, dw = [np.array([[1.0, -2.0]]), np.array([3.0])], [np.array([[0.5, 0.5]]), np.array([-1.0])]
    assert squares.weight_penalty(w, dw, 0.5) == 0.25 * (1 + 4 + 9)
    assert_same(dw, [np.array([[1.0, -0.5]]), np.array([0.5])])
    assert squares.gradient_norm([np.array([3.0, 0.0]), np.array(4)]) == 5
    assert squares.gradient_norm([]) == squares.weight_penalty([], [], 1.0) == 0


def test_the_gradient_is_that_of_the_penalty():
    (w,), dw = draw([(3, 2)]), np.zeros((3, 2))
    squares.weight_penalty(w, dw, 0.8)
    expected = eval_numerical_gradient(lambda w: squares.weight_penalty(w, np.zeros_like(w), 0.8), w, verbose=False)
    np.testing.assert_allclose(dw, expected, rtol=1e-7, atol=1e-9)


def test_squares_too_large_for_float32_are_summed():
    w, dw = np.full(3, 1e30, np.float32), np.zeros(3, np.float32)
    assert squares.gradient_norm(w) == pytest.approx(math.sqrt(3) * 1e30, rel=1e-6)
    assert squares.weight_penalty(w, dw, 2.0) == pytest.approx(3e60, rel=1e-6)
    np.testing.assert_array_equal(dw, 2 * w)


@ignored
@pytest.mark.parametrize(("value", "expected"), [(np.nan, np.nan), (np.inf, np.inf), (-1e200, np.inf)])
def test_what_is_not_finite_spreads(value, expected):
    w, dw = np.array([1.0, value, 2.0]), np.zeros(3)
    np.testing.assert_equal(squares.gradient_norm(w), expected)
    np.testing.assert_equal(squares.weight_penalty(w, dw, 0.5), expected)
    np.testing.assert_array_equal(dw, 0.5 * w)


def test_a_gradient_that_weights_share_gets_every_penalty():
    w, dw = draw([(50,), (50,)]), np.zeros(50)
    squares.weight_penalty(w, [dw, dw], 1.0)
    np.testing.assert_allclose(dw, w[0] + w[1], rtol=1e-15, atol=1e-15)

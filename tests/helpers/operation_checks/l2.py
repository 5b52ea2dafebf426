"""Inputs and checks of `l2`, for every backend and for the simulated GPU."""

import math

import numpy as np
import pytest

from fastnn.gradient_check import eval_numerical_gradient
from fastnn.kernels import l2
from fastnn.testing import against_naive, assert_same


def draw(shapes, dtype=np.float64, seed=0):
    generator = np.random.default_rng(seed)
    return [np.asarray(generator.standard_normal(shape), dtype) for shape in shapes]


def penalised(w, dw, reg):
    """Call `weight_penalty` on a copy of dw. Returns the loss and the new gradient."""
    dw = dw.copy(order="C")
    return l2.weight_penalty(w, dw, reg), dw


def check_against_the_loops(shape, dtype):
    w, dw = draw([shape, shape], dtype)
    loss, _ = against_naive(penalised, w, dw, 0.3, terms=w.size)
    assert isinstance(loss, float)
    assert loss == pytest.approx(0.15 * np.sum(w.astype(np.float64) ** 2), rel=1e-13)  # summed in float64
    norm = against_naive(l2.global_norm, dw, terms=w.size)
    assert isinstance(norm, float)
    assert norm == pytest.approx(math.sqrt(np.sum(dw.astype(np.float64) ** 2)), rel=1e-13)


def check_many_at_once(shapes, dtypes, seed=0):
    """Lists of arrays give the same results as one array at a time."""

    def some(seed):
        return [array.astype(dtypes[position % len(dtypes)]) for position, array in enumerate(draw(shapes, seed=seed))]

    w, dw = some(seed), some(seed + 1)
    each = [penalised(*pair, 0.7) for pair in zip(w, dw, strict=True)]
    norm = l2.global_norm(dw)
    assert norm == pytest.approx(math.hypot(*map(l2.global_norm, dw)), rel=1e-13)
    assert l2.global_norm(tuple(dw)) == norm
    assert l2.weight_penalty(w, dw, 0.7) == pytest.approx(sum(loss for loss, _ in each), rel=1e-13)
    for actual, (_, expected) in zip(dw, each, strict=True):
        np.testing.assert_array_equal(actual, expected, strict=True)


def check_numbers_worked_by_hand():
    w, dw = [np.array([[1.0, -2.0]]), np.array([3.0])], [np.array([[0.5, 0.5]]), np.array([-1.0])]
    assert l2.weight_penalty(w, dw, 0.5) == 0.25 * (1 + 4 + 9)
    assert_same(dw, [np.array([[1.0, -0.5]]), np.array([0.5])])
    assert l2.global_norm([np.array([3.0, 0.0]), np.array(4)]) == 5
    assert l2.global_norm([]) == l2.weight_penalty([], [], 1.0) == 0


def check_the_gradient(shape):
    """The gradient equals the numeric gradient of the penalty."""
    (w,), dw = draw([shape]), np.zeros(shape)
    l2.weight_penalty(w, dw, 0.8)
    expected = eval_numerical_gradient(lambda w: l2.weight_penalty(w, np.zeros_like(w), 0.8), w, verbose=False)
    np.testing.assert_allclose(dw, expected, rtol=1e-7, atol=1e-9)


def check_a_shared_gradient(size):
    """The penalties of weights that share a gradient are added."""
    w, dw = draw([(size,), (size,)]), np.zeros(size)
    l2.weight_penalty(w, [dw, dw], 1.0)
    np.testing.assert_allclose(dw, w[0] + w[1], rtol=1e-15, atol=1e-15)

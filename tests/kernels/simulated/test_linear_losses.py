"""`linear_losses` on the simulated GPU."""

import numpy as np
import pytest
from operation_checks.linear_losses import LOSSES, check_the_gradient, check_the_kink, draw, rounded

from fastnn.kernels import linear_losses
from fastnn.testing import against_naive

DTYPES = [np.float32, np.float64]
SHAPES = [(1, 1, 1), (3, 5, 4), (0, 3, 2), (7, 1, 11), (37, 2, 3), (2, 0, 3), (5, 3, 1)]


@pytest.mark.parametrize("function", LOSSES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_against_the_loops(shape, dtype, function):
    N, D, K = shape
    W, X, y = draw(*shape, dtype)
    for reg in (0, 0.25):
        against_naive(rounded(function), W, X, y, reg, terms=max(1, N * (D + K)))
    W += np.random.default_rng(1).standard_normal(W.shape).astype(dtype)
    against_naive(rounded(linear_losses.linear_softmax_loss), W, X, y, 1e3, terms=max(1, N * (D + K)))


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("function", LOSSES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_propagates_as_in_the_formula(dtype, function):
    W, X, y = draw(6, 5, 4, dtype)
    for value in (np.nan, np.inf, -np.inf):
        X_bad, W_bad = X.copy(), W.copy()
        X_bad[3, 2] = W_bad[2, 1] = value
        for arrays in ((W, X_bad), (W_bad, X)):
            against_naive(rounded(function), *arrays, y, 0, terms=100)
            against_naive(rounded(function), *arrays, y, 1, terms=100)
    W_bad[:] = np.inf
    loss, dW = function(W_bad, X[:0], y[:0], 0)  # not 0 * infinity
    assert (loss, np.abs(dW).max()) == (0.0, 0.0)


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_of_finite_scores_is_finite(dtype):
    largest = float(np.finfo(dtype).max)
    W = np.array([[largest, 0], [-largest, largest]], dtype)
    loss, dW = linear_losses.linear_softmax_loss(W, np.eye(2, dtype=dtype), [0, 0], 0)
    assert loss == pytest.approx(min(2 * largest, 1e308) / 2, rel=1e-7)
    assert dW.tolist() == [[0, 0], [-0.5, 0.5]]


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_many_large_losses_have_a_finite_mean():
    W, X = np.array([[-1.7e308, 1.7e308]]), np.ones((5, 1))
    loss, dW = against_naive(linear_losses.linear_softmax_loss, W, X, np.zeros(5, int), 0)
    assert (loss, dW.tolist()) == (pytest.approx(1e308), [[-1, 1]])


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_label_of_score_minus_infinity_has_an_infinite_loss(dtype):
    W, X = np.array([[-np.inf, 0, 1]], dtype), np.ones((2, 1), dtype)
    for y in ([0, 1], [2, 1]):
        loss, _ = against_naive(linear_losses.linear_softmax_loss, W, X, np.array(y), 0)
        assert (loss == np.inf) == (0 in y)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_hinge_has_gradient_0_at_its_kink(dtype):
    check_the_kink(dtype)


@pytest.mark.parametrize("function", LOSSES)
def test_gradients_are_the_numeric_ones(function):
    check_the_gradient(function)

"""Inputs and checks of `linear_losses`, for every backend and for the simulated GPU."""

import numpy as np

from fastnn.gradient_check import eval_numerical_gradient, rel_error
from fastnn.kernels import linear_losses

LOSSES = [linear_losses.linear_svm_loss, linear_losses.linear_softmax_loss]


def draw(N, D, K, dtype, seed=0):
    """Draw integers, so that scores are exact in any order of summation, with ties and hinges exactly at 0."""
    generator = np.random.default_rng(seed)
    W, X = generator.integers(-2, 3, (D, K)), generator.integers(-1, 2, (N, D))
    return W.astype(dtype), X.astype(dtype), generator.integers(K, size=N)


def rounded(function):
    """Return the function with its loss rounded to the dtype of dW, the precision of the scores."""

    def call(W, X, y, reg):
        loss, dW = function(W, X, y, reg)
        assert type(loss) is float
        assert dW.shape == W.shape and dW.flags.c_contiguous
        return dW.dtype.type(loss), dW

    return call


def check_the_kink(dtype):
    """The gradient of the hinge is 0 at its kink."""
    one = np.ones((1, 1), dtype)
    assert linear_losses.linear_svm_loss(np.array([[2, 3, 1]], dtype), one, [1], 0)[1].tolist() == [[0, 0, 0]]
    nearly = np.array([[0.5, np.nextafter(dtype(1.5), dtype(0)), 1.5]], dtype)
    assert linear_losses.linear_svm_loss(nearly, one, [1], 0)[1].tolist() == [[1, -2, 1]]
    assert linear_losses.linear_svm_loss(nearly, one, [2], 0)[1].tolist() == [[0, 1, -1]]


def check_the_gradient(function):
    """The gradient equals the numeric one."""
    generator = np.random.default_rng(3)
    W, X, y = generator.standard_normal((4, 3)), generator.standard_normal((5, 4)), generator.integers(3, size=5)
    expected = eval_numerical_gradient(lambda W: function(W, X, y, 0.7)[0], W, verbose=False)
    assert rel_error(function(W, X, y, 0.7)[1], expected) < 1e-7

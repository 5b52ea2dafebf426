"""`losses` on the simulated GPU."""

import numpy as np
import pytest

from fastnn.kernels import linear_losses, losses, to_device, to_numpy
from fastnn.testing import against_naive

AWKWARD = {
    "NaN": [[np.nan, 1, 2], [0, np.nan, 1]],
    "infinite": [[np.inf, 1, 2], [0, -np.inf, 1]],
    "all minus infinity": [[-np.inf] * 3, [0, 1, 2]],
    "huge": [[1e38, -1e38, 0], [3e38, 0, 1]],
    "ties": [[1, 1, 1], [2, 1, 2]],
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (3, 4), (0, 3), (37, 2), (5, 11)])
def test_against_the_loops(shape, dtype):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(shape).astype(dtype), rng.integers(0, shape[1], shape[0])
    against_naive(losses.softmax_loss, x, y, terms=x.size)
    against_naive(losses.softmax_loss, x, y, terms=x.size, label_smoothing=0.1)
    against_naive(losses.svm_loss, x, y, terms=x.size)
    against_naive(losses.mse_loss, x, rng.standard_normal(shape).astype(dtype), terms=x.size)


@pytest.mark.filterwarnings("ignore:.*overflow:RuntimeWarning")
def test_finite_scores_of_many_rows_give_a_finite_loss():
    x = np.full((5, 2), [-1.7e308, 1.7e308])
    loss, _ = against_naive(losses.softmax_loss, x, np.zeros(5, int))
    assert np.isfinite(loss)
    loss, _ = against_naive(losses.mse_loss, np.full((5, 1), 1.3e154), np.zeros((5, 1)))
    assert np.isfinite(loss)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("scores", AWKWARD.values(), ids=AWKWARD)
def test_awkward_scores(scores):
    x, y = np.array(scores, np.float64), np.array([0, 2])
    against_naive(losses.softmax_loss, x, y)
    against_naive(losses.softmax_loss, x, y, label_smoothing=0.2)
    against_naive(losses.svm_loss, x, y)


@pytest.mark.parametrize("label", [-1, 3, 2**40])
def test_device_labels_out_of_range_make_the_loss_nan(label):
    """Values of device arrays are not checked; the kernel does not write out of bounds."""
    x, y = np.zeros((2, 3)), to_device(np.array([1, label]))
    W = np.zeros((3, 3))
    for loss, _ in (
        losses.softmax_loss(x, y),
        losses.svm_loss(x, y),
        linear_losses.linear_svm_loss(W, x, y, 0.0),
        linear_losses.linear_softmax_loss(W, x, y, 0.0),
    ):
        assert np.isnan(to_numpy(loss))

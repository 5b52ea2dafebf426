"""`normalization` on the simulated GPU."""

import numpy as np
import pytest
from operation_checks.normalization import BATCH_BACKWARD, LARGE, check_batch, check_gradients, check_groups, draw

from fastnn.kernels import normalization
from fastnn.testing import against_naive

DTYPES = [np.float32, np.float64]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shape", [(1, 1), (7, 5), (3, 0), (1, 3, 7), (2, 3, 1, 1), (37, 1), (3, 2, 5, 2), (5, 2, 1, 3, 2)]
)
def test_batch_norm_against_the_loops(shape, dtype):
    check_batch(*draw(shape, dtype, offset=3))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 6), (5, 6), (0, 6, 2), (2, 6, 1, 1), (3, 6, 5), (2, 6, 3, 2)])
def test_group_norm_against_the_loops(shape, dtype):
    for groups in (1, 2, 3, 6):
        check_groups(*draw(shape, dtype, offset=3), groups)


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_images(dtype):
    x, dout, gamma, beta = draw((0, 4, 3), dtype)
    mean, var = np.zeros(4, dtype), np.ones(4, dtype)
    against_naive(normalization.batchnorm_inference, x, gamma, beta, mean, var, LARGE)
    for backward in BATCH_BACKWARD:
        against_naive(backward, dout, x, gamma, mean, var, LARGE)


def test_a_large_mean_costs_no_accuracy():
    x, dout, gamma, beta = draw((11, 2, 3), np.float32, offset=3e7)
    check_batch(x, dout, gamma, beta)
    check_groups(x[:3], dout[:3], gamma, beta, 1)


def test_numbers_beyond_the_range_of_float32_in_between():
    x, dout, gamma, beta = draw((37, 2), np.float32)
    check_batch(np.float32(3e18) * x, dout, gamma, beta)
    check_groups(np.float32(3e18) * x[:3], dout[:3], gamma, beta, 1)
    x = np.float32([[3e38, -3e38], [1e38, 2e38]])
    mean, var = -x[0], np.full(2, 1e38, np.float32)
    against_naive(normalization.batchnorm_inference, x, gamma, beta, mean, var, LARGE)
    for backward in BATCH_BACKWARD[1:]:
        against_naive(backward, dout[:2], x, gamma, mean, var, LARGE)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_affect_all_with_the_same_statistics(dtype, special):
    x, dout, gamma, beta = draw((5, 4, 3), dtype)
    x[4, 1, 2] = special
    check_batch(x, dout, gamma, beta)
    check_groups(x, dout, gamma, beta, 2)
    dx, dgamma, _ = normalization.batchnorm_inference_backward(dout, x, gamma, beta, np.ones(4, dtype), LARGE)
    assert np.isfinite(dx).all()
    np.testing.assert_array_equal(np.isfinite(dgamma), [True, False, True, True])


@pytest.mark.parametrize("dtype", DTYPES)
def test_constant_channels_give_beta(dtype):
    gamma, beta = np.array([2, 3], dtype), np.array([5, -7], dtype)
    x = np.full((4, 2, 3), 0.1, dtype)
    for forward, groups in ((normalization.batchnorm_forward, ()), (normalization.groupnorm_forward, (2,))):
        out, _, var = forward(x, gamma, beta, *groups, 1e-5)
        np.testing.assert_allclose(out, np.broadcast_to(beta[:, None], x.shape), rtol=1e-6)
        np.testing.assert_allclose(var, 0, atol=1e-12)


def test_gradients_are_the_numeric_ones():
    check_gradients((2, 4, 2), 2, LARGE)

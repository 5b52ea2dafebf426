"""`fastnn.kernels.normalization`: every backend against the loops, these against hand-computed numbers and torch."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from operation_checks.normalization import BATCH_BACKWARD, check_batch, check_gradients, check_groups, draw

from fastnn import use_backend
from fastnn.kernels import normalization
from fastnn.testing import assert_same

DTYPES = [np.float32, np.float64]
EPSILON = 1e-5
uncompiled = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")
# uncompiled kernels compute with NumPy scalars, which warn, unlike compiled code
pytestmark = pytest.mark.filterwarnings(*(["ignore:invalid value", "ignore:overflow"] if uncompiled else []))
by_hypothesis = settings(max_examples=25)
SHAPES = [
    (7, 5),
    (1, 3, 7),
    (2, 3, 1, 1),
    (33, 130),
    (19, 3, 4, 4),
    (9, 5, 5, 7),
    (2, 3, 40, 31),
    (5, 2, 3, 2, 3),
    (64, 1),
]


@by_hypothesis
@given(
    N=st.integers(1, 40),
    C=st.integers(0, 20),
    trailing=st.lists(st.integers(1, 9), max_size=3),
    offset=st.sampled_from([0, 3]),
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from(DTYPES),
)
def test_batch_norm_of_any_shape(backend, N, C, trailing, offset, seed, dtype):
    check_batch(*draw((N, C, *trailing), dtype, seed, offset))


@by_hypothesis
@given(
    N=st.integers(0, 20),
    groups=st.integers(1, 4),
    channels=st.integers(1, 9),
    trailing=st.lists(st.integers(1, 9), max_size=3),
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from(DTYPES),
)
def test_group_norm_of_any_shape(backend, N, groups, channels, trailing, seed, dtype):
    check_groups(*draw((N, groups * channels, *trailing), dtype, seed), groups)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_awkward_shapes(backend, shape, dtype):
    arrays = draw(shape, dtype, offset=3)
    check_batch(*arrays)
    check_groups(*arrays, 1)
    check_groups(*arrays, shape[1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_channels_longer_than_a_tile_and_many_blocks(backend, dtype):
    for shape in ((37, 2, 23, 25), (3, 1, 1201), (300, 140), (70, 9, 7, 7)):
        arrays = draw(shape, dtype, offset=-3)
        with use_backend("vectorized"):
            expected = everything(*arrays)
        assert_same(everything(*arrays), expected, terms=arrays[0].size)


def everything(x, dout, gamma, beta):
    """The results of every function."""
    out, mean, var = normalization.batchnorm_forward(x, gamma, beta, EPSILON)
    results = [out, mean, var, normalization.batchnorm_inference(x, gamma, beta, mean, var, EPSILON)]
    for backward in BATCH_BACKWARD:
        results += backward(dout, x, gamma, mean, var, EPSILON)
    out, mean, var = normalization.groupnorm_forward(x, gamma, beta, 1, EPSILON)
    return [*results, out, mean, var, *normalization.groupnorm_backward(dout, x, gamma, 1, mean, var, EPSILON)]


def test_results_do_not_depend_on_the_number_of_threads():
    threads = pytest.importorskip("fastnn.kernels.cpu.threads", reason="the backend njit needs numba")
    for shape in ((41, 500), (35, 20, 9, 9)):
        arrays, results = draw(shape, np.float32), []
        for count in (1, 4):
            with use_backend("njit"), threads.use_num_threads(count):
                results.append(everything(*arrays))
        for actual, expected in zip(*results, strict=True):
            np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_layout_and_integers(backend, dtype):
    x, dout, gamma, beta = draw((6, 8, 5, 4), dtype)
    expected = everything(x, dout, gamma, beta)
    for change in (np.asfortranarray, lambda v: v[::-1].copy()[::-1], lambda v: v.astype(v.dtype.newbyteorder(">"))):
        for actual, wanted in zip(everything(*map(change, (x, dout, gamma, beta))), expected, strict=True):
            np.testing.assert_array_equal(actual, wanted, strict=True)
    whole = np.arange(12).reshape(4, 3) ** 2
    out, mean, var = normalization.batchnorm_forward(whole, [1, 1, 1], [0, 0, 0], EPSILON)
    assert out.dtype == mean.dtype == var.dtype == np.float64
    assert_same((mean, var), (whole.mean(axis=0), whole.var(axis=0)), terms=4)


def test_a_large_mean_costs_no_accuracy(backend):
    """Variances of deviations: E[x*x] - E[x]**2 would be noise here."""
    x, _, gamma, beta = draw((50, 6, 3, 3), np.float32, offset=3e5)
    x[20:] -= np.float32(1e3)  # the first images are unlike the others
    channels = x.astype(np.float64).transpose(1, 0, 2, 3).reshape(6, -1)
    expected = standardised(channels).reshape(6, 50, 3, 3).transpose(1, 0, 2, 3)
    out, mean, var = normalization.batchnorm_forward(x, gamma, beta, EPSILON)
    assert_same(out, expected * gamma[:, None, None] + beta[:, None, None])
    np.testing.assert_allclose(mean, channels.mean(axis=1), rtol=1e-7)
    np.testing.assert_allclose(var, channels.var(axis=1), rtol=2e-6)
    groups = x[:3].reshape(3 * 2, -1).astype(np.float64)
    out, mean, var = normalization.groupnorm_forward(x[:3], gamma, beta, 2, EPSILON)
    assert_same(out, standardised(groups).reshape(3, 6, 3, 3) * gamma[:, None, None] + beta[:, None, None])
    np.testing.assert_allclose(mean.ravel(), groups.mean(axis=1), rtol=1e-7)
    np.testing.assert_allclose(var.ravel(), groups.var(axis=1), rtol=2e-6)


@pytest.mark.parametrize("shape", [(40, 3), (9, 3, 4, 4), (5, 3, 12, 12)])
def test_sums_of_squares_beyond_the_range_of_float32(backend, shape):
    x, _, gamma, beta = draw(shape, np.float32)
    x *= np.float32(3e18)
    for forward, groups in ((normalization.batchnorm_forward, ()), (normalization.groupnorm_forward, (1,))):
        expected = forward(x.astype(np.float64), gamma, beta, *groups, EPSILON)
        assert_same(forward(x, gamma, beta, *groups, EPSILON), expected, terms=x.size)


def standardised(rows):
    return (rows - rows.mean(axis=1, keepdims=True)) / np.sqrt(rows.var(axis=1, keepdims=True) + EPSILON)


def test_numbers_worked_by_hand(backend):
    x, dout = np.array([[1.0, 4], [3, 4]]), np.array([[1.0, 2], [0, 1]])
    gamma, beta = np.array([2.0, 3]), np.array([1.0, -1])
    out, mean, var = normalization.batchnorm_forward(x, gamma, beta, 3)  # deviations -1 and 1, 1 / sqrt(1 + 3) = 1/2
    assert (out.tolist(), mean.tolist(), var.tolist()) == ([[0, -1], [2, -1]], [2, 4], [1, 0])
    expected = [[0.375, math.sqrt(3) / 2], [-0.375, -math.sqrt(3) / 2]]  # 1 - 1/2 - (-1/2)(-1/2)/2 = 3/8
    for backward in BATCH_BACKWARD[:2]:
        dx, dgamma, dbeta = backward(dout, x, gamma, mean, var, 3)
        np.testing.assert_allclose(dx, expected, rtol=1e-14)
        assert (dgamma.tolist(), dbeta.tolist()) == ([-0.5, 0], [1, 3])
    dx, dgamma, dbeta = normalization.batchnorm_inference_backward(dout, x, gamma, [2, 4], [1, 6], 3)
    assert (dx.tolist(), dgamma.tolist(), dbeta.tolist()) == ([[1, 2], [0, 1]], [-0.5, 0], [1, 3])
    assert normalization.batchnorm_inference(x, gamma, beta, [0, 3], [1, 6], 3).tolist() == [[2, 0], [4, 0]]
    out, mean, var = normalization.groupnorm_forward([[1.0, 3, 8, 8]], [2, 2, 1, 1], [0, 1, 0, 5], 2, 3)
    assert (out.tolist(), mean.tolist(), var.tolist()) == ([[-1, 2, 0, 5]], [[2, 8]], [[1, 0]])


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_two_backward_forms_agree(backend, dtype):
    x, dout, gamma, beta = draw((100, 500), dtype)
    _, mean, var = normalization.batchnorm_forward(x, gamma, beta, EPSILON)
    results = [backward(dout, x, gamma, mean, var, EPSILON) for backward in BATCH_BACKWARD[:2]]
    for actual, expected in zip(*results, strict=True):
        assert np.abs(actual - expected).max() < 1e-12 * np.finfo(dtype).eps / np.finfo(np.float64).eps


def test_gradients_are_the_numeric_ones(backend):
    check_gradients((4, 6, 3), 3, EPSILON)


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_images(backend, dtype):
    x, dout, gamma, beta = draw((0, 4, 3), dtype)
    mean, var = np.zeros(4, dtype), np.ones(4, dtype)
    assert normalization.batchnorm_inference(x, gamma, beta, mean, var, EPSILON).shape == (0, 4, 3)
    assert normalization.groupnorm_forward(x, gamma, beta, 2, EPSILON)[1].shape == (0, 2)
    empty = np.empty((0, 2), dtype)
    results = [backward(dout, x, gamma, mean, var, EPSILON) for backward in BATCH_BACKWARD]
    for dx, dgamma, dbeta in [*results, normalization.groupnorm_backward(dout, x, gamma, 2, empty, empty, EPSILON)]:
        assert dx.shape == (0, 4, 3)
        assert dgamma.tolist() == dbeta.tolist() == [0] * 4
        assert dx.dtype == dgamma.dtype == dbeta.dtype == dtype


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_element_and_constant_channels_give_beta(backend, dtype):
    gamma, beta = np.array([2, 3], dtype), np.array([5, -7], dtype)
    for x in (np.array([[1e4, -3]], dtype), np.full((40, 2, 3), 0.1, dtype)):
        out, _, var = normalization.batchnorm_forward(x, gamma, beta, EPSILON)
        np.testing.assert_allclose(out, np.broadcast_to(beta.reshape(2, *[1] * (x.ndim - 2)), x.shape), rtol=1e-5)
        np.testing.assert_allclose(var, 0, atol=1e-12)
    dx, *_ = normalization.batchnorm_backward(x[:1, :, 0], x[:1, :, 0], gamma, x[0, :, 0], var, EPSILON)
    np.testing.assert_allclose(dx, 0, atol=1e-4)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_affect_all_with_the_same_statistics(backend, dtype, special):
    for place in (0, 9):
        x, dout, gamma, beta = draw((10, 4, 6), dtype)
        x[place, 1, 2] = special
        out, mean, var = normalization.batchnorm_forward(x, gamma, beta, EPSILON)
        assert_same(mean[1], special)
        assert np.isnan(var[1]) and np.isnan(out[:, 1]).all()
        assert np.isfinite(out[:, [0, 2, 3]]).all()
        out, mean, var = normalization.groupnorm_forward(x, gamma, beta, 2, EPSILON)
        assert_same(mean[place, 0], special)
        assert np.isnan(var[place, 0]) and np.isnan(out[place, :2]).all()
        assert np.isfinite(out[place, 2:]).all() and np.isfinite(np.delete(out, place, axis=0)).all()
    x[9, 1, 2], statistics = np.nan, np.ones((2, 4), dtype)
    dx, dgamma, dbeta = normalization.batchnorm_inference_backward(dout, x, gamma, *statistics, EPSILON)
    assert np.isfinite(dx).all() and np.isfinite(dbeta).all()
    np.testing.assert_array_equal(np.isnan(dgamma), [False, True, False, False])


@pytest.mark.parametrize("dtype", DTYPES)
def test_agrees_with_torch(backend, dtype):
    torch = pytest.importorskip("torch", reason="parity with PyTorch needs torch (the extra `peers`)")
    functional = torch.nn.functional
    x, dout, gamma, beta = draw((9, 6, 5, 4), dtype)

    def check(peer, out, gradients):
        tensors = [torch.tensor(value, requires_grad=True) for value in (x, gamma, beta)]
        expected = peer(*tensors)
        expected.backward(torch.tensor(dout))
        assert_same(out, expected.detach().numpy(), terms=x.size)
        assert_same(gradients, tuple(tensor.grad.numpy() for tensor in tensors), terms=x.size)

    out, mean, var = normalization.batchnorm_forward(x, gamma, beta, EPSILON)
    for backward in BATCH_BACKWARD[:2]:
        gradients = backward(dout, x, gamma, mean, var, EPSILON)
        check(lambda x, g, b: functional.batch_norm(x, None, None, g, b, True, 0, EPSILON), out, gradients)
    statistics = [torch.tensor(value) for value in (mean, var)]
    out = normalization.batchnorm_inference(x, gamma, beta, mean, var, EPSILON)
    gradients = normalization.batchnorm_inference_backward(dout, x, gamma, mean, var, EPSILON)
    check(lambda x, g, b: functional.batch_norm(x, *statistics, g, b, False, 0, EPSILON), out, gradients)
    for groups in (1, 2, 6):
        out, mean, var = normalization.groupnorm_forward(x, gamma, beta, groups, EPSILON)
        gradients = normalization.groupnorm_backward(dout, x, gamma, groups, mean, var, EPSILON)
        check(lambda x, g, b, groups=groups: functional.group_norm(x, groups, g, b, EPSILON), out, gradients)


ROWS, ONES = np.ones((2, 4)), np.ones(4)
FORWARD, INFERENCE, GROUPS = (
    normalization.batchnorm_forward,
    normalization.batchnorm_inference,
    normalization.groupnorm_forward,
)
ERRORS = [
    (FORWARD, (ROWS[:0], ONES, ONES, 1), r"x.shape = \(0, 4\) has no elements in a channel"),
    (FORWARD, (ROWS[:, :, None][:, :, :0], ONES, ONES, 1), r"x.shape = \(2, 4, 0\) has no elements in a channel"),
    (FORWARD, (ONES, ONES, ONES, 1), r"x.shape = \(4,\) has 1 axes"),
    (FORWARD, (ROWS, ONES[:3], ONES, 1), r"gamma.shape = \(3,\) has length 3 on axis 0"),
    (FORWARD, (ROWS, ONES, ONES, 0), "epsilon=0 is out of range; expected more than 0"),
    (INFERENCE, (ROWS, ONES, ONES, ONES, -ONES, 1), r"var contains -1\.0; expected no number below 0"),
    (
        normalization.batchnorm_backward,
        (ROWS, ROWS, ONES, ONES, -ONES, 1),
        r"var contains -1\.0; expected no number below 0",
    ),
    (
        normalization.batchnorm_backward_alt,
        (ROWS[:1], ROWS, ONES, ONES, ONES, 1),
        r"x.shape = \(2, 4\) has length 2 on",
    ),
    (
        normalization.batchnorm_backward,
        (ROWS[..., None], ROWS, ONES, ONES, ONES, 1),
        r"dout.shape = \(2, 4, 1\) does",
    ),
    (GROUPS, (ROWS, ONES, ONES, 3, 1), "groups=3 does not divide the channels C = 4; expected equal groups"),
    (GROUPS, (ROWS, ONES, ONES, 0, 1), "groups=0 is out of range"),
    (GROUPS, (ROWS[:, :0], [], [], 1, 1), r"x.shape = \(2, 0\) has no elements in a group"),
    (normalization.groupnorm_backward, (ROWS, ROWS, ONES, 2, ROWS, ROWS, 1), r"mean.shape = \(2, 4\) does not fit"),
    (
        normalization.groupnorm_backward,
        (ROWS, ROWS, ONES, 4, ROWS, -ROWS, 1),
        r"var contains -1\.0; expected no number below 0",
    ),
]


def test_numpy_reference_with_compilation_disabled():
    code = """
import numpy as np
from operation_checks.normalization import check_batch, check_groups, draw
for dtype in (np.float32, np.float64):
    for shape in ((7, 4), (3, 4, 2, 2), (2, 4, 12, 11)):
        check_batch(*draw(shape, dtype, 0, 3))
        check_groups(*draw(shape, dtype, 0, 3), 2)
"""
    environment = {
        **os.environ,
        "NUMBA_DISABLE_JIT": "1",
        "FASTNN_BACKEND": "njit",
        "PYTHONPATH": str(Path(__file__).parents[2] / "helpers"),
    }
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("function", "arguments", "message"), ERRORS)
def test_errors(backend, function, arguments, message):
    with pytest.raises(ValueError, match=f"^{function.__name__}: {message}"):
        function(*arguments)

"""`fastnn.kernels.linear_losses`: every backend against the loops, these against hand-computed numbers and torch."""

import math
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from operation_checks.linear_losses import LOSSES, check_the_gradient, check_the_kink, draw, rounded

from fastnn import use_backend
from fastnn.classifiers.linear_svm import svm_loss_naive, svm_loss_vectorized
from fastnn.classifiers.softmax import softmax_loss_naive, softmax_loss_vectorized
from fastnn.gradient_check import grad_check_sparse
from fastnn.kernels import get_backend, linear_losses, losses
from fastnn.testing import against_naive, assert_same

DTYPES = [np.float32, np.float64]
anything = settings(max_examples=25)
uncompiled = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")
# uncompiled kernels compute with NumPy scalars, which warn, unlike compiled code
pytestmark = pytest.mark.filterwarnings(*(["ignore:overflow", "ignore:invalid value"] if uncompiled else []))


@anything
@given(
    N=st.integers(0, 40),
    D=st.integers(0, 70),
    K=st.integers(1, 13),
    reg=st.sampled_from([0, 0.25, 1e3]),
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from(DTYPES),
)
def test_every_backend_agrees_with_the_loops(backend, N, D, K, reg, seed, dtype):
    W, X, y = draw(N, D, K, dtype, seed)
    for function in LOSSES:
        against_naive(rounded(function), W, X, y, reg, terms=max(1, N * (D + K)))
    W = W + np.random.default_rng(seed).standard_normal(W.shape).astype(dtype)
    against_naive(rounded(linear_losses.linear_softmax_loss), W, X, y, reg, terms=max(1, N * (D + K)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(33, 517, 10), (517, 67, 3), (33, 64, 4), (31, 15, 11), (2, 1, 2)])
def test_sizes_around_those_of_blocks_and_tiles(backend, shape, dtype):
    N, D, K = shape
    generator = np.random.default_rng(4)
    W, X = generator.standard_normal((D, K)).astype(dtype) / 16, generator.standard_normal((N, D)).astype(dtype)
    for function in LOSSES:
        against_naive(rounded(function), W, X, generator.integers(K, size=N), 0.5, terms=D)


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_layout_and_integers(backend, dtype):
    W, X, y = draw(40, 30, 6, dtype)
    for function in LOSSES:
        against_naive(rounded(function), np.asfortranarray(W)[::-2], X[::2, ::-2], y[::-2], 0.1, terms=300)
        against_naive(rounded(function), W, np.asfortranarray(X), y.astype(np.uint8), 0.1, terms=300)
        loss, dW = function(W, X.astype(np.int8), y, 0.5)
        assert dW.dtype == dtype
        assert_same((loss, dW), function(W, X, y, 0.5))
        assert function(W.astype(int), X.astype(bool), y, 1)[1].dtype == np.float64
        assert function(W, X.astype(np.float64), y, 1)[1].dtype == np.float64


def test_results_do_not_depend_on_the_number_of_threads():
    threads = pytest.importorskip("fastnn.kernels.cpu.threads", reason="the backend njit needs numba")
    generator = np.random.default_rng(0)
    W, X = (generator.standard_normal(shape).astype(np.float32) for shape in ((700, 5), (203, 700)))
    y = generator.integers(5, size=203)
    results = []
    with use_backend("njit"):
        for count in (1, 4):
            with threads.use_num_threads(count):
                results.append([function(W, X, y, 0.1) for function in LOSSES])
    for actual, expected in zip(results[1], results[0], strict=True):
        assert actual[0] == expected[0]
        np.testing.assert_array_equal(actual[1], expected[1])


def test_the_parts_are_the_losses_of_scores(backend):
    """The loss of X @ W, and its gradient by the chain rule, from `losses`."""
    W, X, y = draw(30, 20, 7, np.float64)
    for function, part in zip(LOSSES, (losses.svm_loss, losses.softmax_loss), strict=True):
        loss, dscores = part(X @ W, y)
        assert_same(function(W, X, y, 0), (loss, X.T @ dscores), terms=600)
        assert_same(function(W, X, y, 0.5), (loss + np.sum(W * W) / 2, X.T @ dscores + W), terms=600)


def test_numbers_worked_by_hand(backend):
    W, X = np.array([[1.0, 2.0, 0.5], [0.0, 1.0, -1.0]]), np.array([[1.0, 0.0], [2.0, 1.0]])
    # scores (1, 2, 0.5) and (2, 5, 0); margins of the labels 0, 1: (-, 2, 0.5) and (-2, -, -4)
    loss, dW = linear_losses.linear_svm_loss(W, X, [0, 1], 0)
    assert loss == 1.25
    assert dW.tolist() == [[-1, 0.5, 0.5], [0, 0, 0]]
    loss, dW = linear_losses.linear_svm_loss(W, X, [0, 1], 2)
    assert loss == 1.25 + 2 * 7.25
    assert dW.tolist() == [[3, 8.5, 2.5], [0, 4, -4]]
    log2 = math.log(2)
    loss, dW = linear_losses.linear_softmax_loss([[0.0, log2, 0.0]], [[1.0], [-1.0]], [1, 0], 0)
    # p = (1, 2, 1)/4 and (2, 1, 2)/5
    assert loss == pytest.approx((log2 + math.log(2.5)) / 2, rel=1e-15)
    np.testing.assert_allclose(dW, [[0.125 + 0.3, -0.25 - 0.1, 0.125 - 0.2]], rtol=1e-14)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_hinge_has_gradient_0_at_its_kink(backend, dtype):
    check_the_kink(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_of_finite_scores_is_finite(backend, dtype):
    for big in (1e4, 1e30, float(np.finfo(dtype).max)):
        W = np.array([[big, 0], [-big, big]], dtype)
        loss, dW = linear_losses.linear_softmax_loss(W, np.eye(2, dtype=dtype), [0, 0], 0)
        assert loss == pytest.approx(min(2 * float(W[0, 0]), 1e308) / 2, rel=1e-7)
        assert dW.tolist() == [[0, 0], [-0.5, 0.5]]


def test_nan_propagates_as_in_the_formula(backend):
    for dtype in DTYPES:
        W, X, y = draw(40, 100, 4, dtype)
        for value in (np.nan, np.inf, -np.inf):
            for place in ((0, 99), (35, 3)):
                X_bad, W_bad = X.copy(), W.copy()
                X_bad[place] = W_bad[place[1], 1] = value
                for function in LOSSES:
                    actual = against_naive(rounded(function), W, X_bad, y, 0.5, terms=4000)
                    assert np.isnan(actual[1][place[1]]).all()
                    against_naive(rounded(function), W_bad, X, y, 0, terms=4000)
                    against_naive(rounded(function), W_bad, X, y, 1, terms=4000)
                    if np.isnan(value):
                        assert math.isnan(actual[0])


def test_no_images_no_features_and_one_class(backend):
    W = np.array([[1.0, -2.0], [3.0, 0.0], [0.0, 1.0]], np.float32)
    for function in LOSSES:
        loss, dW = function(W, np.empty((0, 3), np.float32), [], 0.5)
        assert (loss, dW.dtype) == (7.5, np.float32)
        np.testing.assert_array_equal(dW, W)
        assert function(W, np.empty((0, 3)), [], 0)[0] == 0.0
        loss, dW = function(np.empty((0, 2)), np.empty((3, 0)), [0, 1, 1], 1.0)
        assert loss == pytest.approx(1.0 if function is LOSSES[0] else math.log(2), rel=1e-15)
        assert dW.shape == (0, 2)
        loss, dW = function(W[:, :1], np.ones((2, 3), np.float32), [0, 0], 0)
        assert (loss, dW.tolist()) == (0.0, [[0], [0], [0]])
    assert linear_losses.linear_svm_loss([[np.inf]], np.empty((0, 1)), [], 0)[0] == 0.0  # not 0 * infinity


def test_gradients_of_the_loops_are_the_numeric_ones():
    with use_backend("naive"):
        for function in LOSSES:
            check_the_gradient(function)


def test_results_agree_with_torch(backend):
    torch = pytest.importorskip("torch", reason="parity with PyTorch needs torch (the extra `peers`)")
    generator = np.random.default_rng(5)
    W, X, y = generator.standard_normal((30, 10)), generator.standard_normal((50, 30)), generator.integers(10, size=50)
    peers = (torch.nn.functional.multi_margin_loss, 10), (torch.nn.functional.cross_entropy, 1)  # SVM: over classes too
    for function, (peer, factor) in zip(LOSSES, peers, strict=True):
        weights = torch.tensor(W, requires_grad=True)
        expected = factor * peer(torch.tensor(X) @ weights, torch.tensor(y)) + 0.3 * (weights * weights).sum()
        expected.backward()
        assert_same(function(W, X, y, 0.3), (expected.item(), weights.grad.numpy()), terms=1500)


# ---- under the course's names ----


PAIRS = [(svm_loss_naive, svm_loss_vectorized, 9.0), (softmax_loss_naive, softmax_loss_vectorized, math.log(10))]


@pytest.mark.parametrize(("loops", "fast", "first"), PAIRS)
def test_cells_of_the_notebooks(backend, capsys, loops, fast, first):
    """Small random weights: the SVM's loss is near 9, the softmax's near -log(0.1); sparse gradient checks."""
    np.random.seed(231)
    W, X, y = np.random.randn(33, 10) * 1e-4, np.random.randn(50, 33), np.random.randint(10, size=50)
    for reg in (0.0, 1e3):
        loss, dW = loops(W, X, y, reg)
        assert_same(fast(W, X, y, reg), (loss, dW), terms=2000)
        assert loss == pytest.approx(first + reg * np.sum(W * W), abs=0.1)
        grad_check_sparse(lambda W, reg=reg: fast(W, X, y, reg)[0], W, dW)
    errors = [float(line.rpartition(" ")[2]) for line in capsys.readouterr().out.splitlines()]
    assert len(errors) == 20
    assert max(errors) < 1e-4


@pytest.mark.parametrize(("loops", "fast", "first"), PAIRS)
def test_the_names_say_on_which_backend_they_run(backend, monkeypatch, loops, fast, first):
    ran = []
    monkeypatch.setattr(linear_losses, "_variant", lambda: ran.append(get_backend()) or _Nothing)
    for function in (loops, fast):
        function(np.ones((2, 2)), np.ones((1, 2)), [0], 0.0)
    assert ran == ["naive", "njit" if backend == "naive" else backend]
    assert loops.__name__.endswith("_loss_naive")
    assert fast.__name__.endswith("_loss_vectorized")


class _Nothing:
    linear_svm_loss = linear_softmax_loss = staticmethod(lambda W, X, y, reg: None)


ERRORS = [
    ((np.ones(3), np.ones((2, 3)), [0, 0], 0), ValueError, r"W.shape = \(3,\) has 1 axes; expected \(D, K\)"),
    ((np.ones((3, 2)), np.ones((2, 4)), [0, 0], 0), ValueError, r"X.shape = \(2, 4\) has length 4 on axis 1"),
    ((np.ones((3, 0)), np.ones((2, 3)), [0, 0], 0), ValueError, r"there are no classes: W.shape = \(3, 0\)"),
    ((np.ones((3, 2)), np.ones((2, 3)), [0], 0), ValueError, r"y.shape = \(1,\) does not fit"),
    ((np.ones((3, 2)), np.ones((2, 3)), [0, 2], 0), ValueError, "y contains the label 2 at index 1; expected 0 to 1"),
    ((np.ones((3, 2)), np.ones((2, 3)), [0.0, 1.0], 0), TypeError, "y.dtype = float64 does not hold labels"),
    ((np.ones((3, 2)), np.ones((2, 3), complex), [0, 1], 0), TypeError, "X.dtype = complex128"),
    ((np.ones((3, 2)), np.ones((2, 3)), [0, 1], -1), ValueError, "reg=-1 is out of range; expected at least 0"),
]


@pytest.mark.parametrize("function", LOSSES)
@pytest.mark.parametrize(("arguments", "error", "message"), ERRORS)
def test_errors_are_the_same_on_every_backend(backend, function, arguments, error, message):
    with pytest.raises(error, match=f"^{function.__name__}: .*{message}"):
        function(*arguments)

"""`fastnn.kernels.losses`: every backend against the naive loops, these against hand-computed numbers and torch."""

import math
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from fastnn import use_backend
from fastnn.gradient_check import rel_error
from fastnn.kernels import losses
from fastnn.testing import against_naive, assert_same

DTYPES = [np.float32, np.float64]
LABELLED = [losses.softmax_loss, losses.svm_loss]
anything = settings(max_examples=25)
uncompiled = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")
# uncompiled kernels compute with NumPy scalars, which warn, unlike compiled code
pytestmark = pytest.mark.filterwarnings(*(["ignore:overflow", "ignore:invalid value"] if uncompiled else []))


def draw(N, K, dtype, seed=0):
    """Scores with ties and hinges exactly at their kink, and labels."""
    generator = np.random.default_rng(seed)
    whole = generator.integers(-3, 4, (N, K))
    x = np.where(generator.random((N, K)) < 0.5, whole, 3 * generator.standard_normal((N, K)))
    return x.astype(dtype), generator.integers(K, size=N)


@anything
@given(
    N=st.integers(0, 40),
    K=st.integers(1, 40),
    scale=st.sampled_from([1e-3, 1, 1e4, 1e30]),
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from(DTYPES),
)
def test_every_backend_agrees_with_the_loops(backend, N, K, scale, seed, dtype):
    x, y = draw(N, K, dtype, seed)
    for function in LABELLED:
        loss, dx = against_naive(function, x * dtype(scale), y, terms=N * K)
        assert type(loss) is float
        assert dx.shape == (N, K)


@anything
@given(shape=array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=7), seed=st.integers(0, 2**32 - 1))
def test_mse_of_any_shape(backend, shape, seed):
    for dtype in DTYPES:
        x, target = np.random.default_rng(seed).standard_normal((2, *shape)).astype(dtype)
        loss, dx = against_naive(losses.mse_loss, x, target, terms=x.size)
        assert type(loss) is float
        assert dx.shape == shape


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_layout_and_integers(backend, dtype):
    x, y = draw(22, 21, dtype)
    for function in LABELLED:
        for seen in (x[::2, ::-3], np.asfortranarray(x[::2, ::-3])):
            against_naive(function, seen, y[::2] % 7, terms=x.size)
        against_naive(function, x, y.astype(np.uint8), terms=x.size)
        loss, dx = function(x.astype(np.int64), y)
        assert dx.dtype == np.float64
        assert_same((loss, dx), function(np.trunc(x).astype(np.float64), y))
    against_naive(losses.mse_loss, x.T, np.asfortranarray(x.T[::-1]), terms=x.size)


@pytest.mark.parametrize("dtype", DTYPES)
def test_large_arrays_are_split_over_the_cores(backend, dtype):
    x, y = draw(1009, 13, dtype)
    for function in LABELLED:
        against_naive(function, x, y, terms=x.size)
    against_naive(losses.mse_loss, x, x[::-1], terms=x.size)


def test_results_do_not_depend_on_the_number_of_threads():
    threads = pytest.importorskip("fastnn.kernels.cpu.threads", reason="the backend njit needs numba")
    x, y = draw(501, 33, np.float32)
    results = []
    with use_backend("njit"):
        for count in (1, 4):
            with threads.use_num_threads(count):
                results.append([*(function(x, y) for function in LABELLED), losses.mse_loss(x, x[::-1])])
    for actual, expected in zip(results[-1], results[0], strict=True):
        assert actual[0] == expected[0]
        np.testing.assert_array_equal(actual[1], expected[1])


def test_the_figures_of_the_course(backend):
    state = np.random.get_state()
    np.random.seed(231)
    x, y = 0.001 * np.random.randn(50, 10), np.random.randint(10, size=50)
    np.random.set_state(state)
    # the notebook's gradient errors, 1.4e-9 and 9.4e-9, are the last bit of the loss, which the order of sums decides
    figures = {losses.svm_loss: (8.999602749096233, 5e-9), losses.softmax_loss: (2.302545844500738, 2e-8)}
    for function, (expected, error) in figures.items():
        loss, dx = function(x, y)
        assert loss == pytest.approx(expected, rel=1e-14)
        numeric = numeric_gradient(lambda rows, f=function: f(np.concatenate([rows, x[4:]]), y)[0], x[:4], h=1e-5)
        assert rel_error(dx[:4], numeric) <= error


def numeric_gradient(function, x, h):
    gradient = np.empty_like(x)
    for i in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[i] += h
        below[i] -= h
        gradient[i] = (function(above) - function(below)) / (2 * h)
    return gradient


def test_numbers_worked_by_hand(backend):
    log2, log3 = math.log(2), math.log(3)
    loss, dx = losses.softmax_loss([[0.0, log2, 0.0], [log3, 0.0, 0.0]], [1, 2])  # p = (1, 2, 1)/4 and (3, 1, 1)/5
    assert loss == pytest.approx((math.log(2) + math.log(5)) / 2, rel=1e-15)
    np.testing.assert_allclose(dx, [[0.125, -0.25, 0.125], [0.3, 0.1, -0.4]], rtol=1e-15)
    loss, dx = losses.svm_loss([[1.0, 2.0, 0.5], [3.0, 1.0, 0.0]], [0, 0])  # margins (-, 2, 0.5) and (-, -1, -2)
    assert loss == 1.25
    assert dx.tolist() == [[-1, 0.5, 0.5], [0, 0, 0]]
    loss, dx = losses.mse_loss([[1.0, 2.0], [3.0, 5.0]], [[0.0, 2.0], [5.0, 4.0]])
    assert loss == 1.5
    assert dx.tolist() == [[0.5, 0], [-1, 0.5]]


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_hinge_has_gradient_0_at_its_kink(backend, dtype):
    loss, dx = losses.svm_loss(np.array([[1, 2, 3]], dtype), [1])
    assert (loss, dx.tolist()) == (2.0, [[0, -1, 1]])
    loss, dx = losses.svm_loss(np.array([[2, 3, 1]], dtype), [1])
    assert (loss, dx.tolist()) == (0.0, [[0, 0, 0]])
    nearly = np.array([[0.5, np.nextafter(dtype(1.5), dtype(0)), 1.5]], dtype)
    assert losses.svm_loss(nearly, [1])[1].tolist() == [[1, -2, 1]]
    assert losses.svm_loss(nearly, [2])[1].tolist() == [[0, 1, -1]]


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_of_finite_scores_is_finite(backend, dtype):
    largest = np.finfo(dtype).max
    for big in (1e4, 1e30, float(largest)):
        loss, dx = losses.softmax_loss(np.array([[big, 0], [big, 0], [big, big], [-big, big]], dtype), [0, 1, 0, 0])
        assert math.isfinite(loss)
        np.testing.assert_array_equal(dx, np.array([[0, 0], [0.25, -0.25], [-0.125, 0.125], [-0.25, 0.25]]))
        gaps = [0, min(big, 1e308), math.log(2), min(2 * big, 1e308)]  # 1e308: as the contract says
        assert loss == pytest.approx(sum(gap / 4 for gap in gaps), rel=1e-7)
    loss, _ = losses.softmax_loss(np.array([[-largest, largest]] * 7, dtype), [0] * 7)
    assert loss == pytest.approx(min(2 * float(largest), 1e308))


def test_not_a_number_in_the_scores_gives_a_loss_that_is_not_a_number(backend):
    for column in range(3):
        x = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
        x[1, column] = np.nan
        for y in ([0, 0], [2, 1]):
            for function in LABELLED:
                loss, dx = against_naive(function, x, np.array(y))
                assert math.isnan(loss)
                assert np.isfinite(dx[0]).all()
        assert math.isnan(losses.mse_loss(x, x)[0])
    loss, dx = losses.softmax_loss([[np.inf, 0.0], [0.0, -np.inf]], [0, 0])
    assert math.isnan(loss)
    assert_same(dx, np.array([[np.nan, np.nan], [0, 0]]))
    assert losses.softmax_loss([[0.0, -np.inf]], [1])[0] == np.inf
    assert losses.svm_loss([[0.0, np.inf]], [1])[0] == 0.0


@anything
@given(
    N=st.integers(0, 20),
    K=st.integers(1, 40),
    smoothing=st.one_of(st.sampled_from([1e-300, 0.1, np.nextafter(1, 0)]), st.floats(0, 1, exclude_max=True)),
    scale=st.sampled_from([1e-3, 1, 1e4, 1e30]),
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from(DTYPES),
)
def test_every_backend_smooths_as_the_loops_do(backend, N, K, smoothing, scale, seed, dtype):
    x, y = draw(N, K, dtype, seed)
    loss, dx = against_naive(losses.softmax_loss, x * dtype(scale), y, smoothing, terms=N * K)
    assert type(loss) is float
    assert dx.sum() == pytest.approx(0, abs=1e-6 if dtype == np.float32 else 1e-14)


def test_smoothed_labels_worked_by_hand(backend):
    # p = (1, 2, 1)/4 and targets (0.1, 0.8, 0.1)
    loss, dx = losses.softmax_loss([[0.0, math.log(2), 0.0]], [1], label_smoothing=0.3)
    assert loss == pytest.approx(0.2 * math.log(4) + 0.8 * math.log(2), rel=1e-15)
    np.testing.assert_allclose(dx, [[0.15, -0.3, 0.15]], rtol=1e-15)
    x, y = draw(9, 5, np.float64)
    expected = losses.softmax_loss(x, y)
    actual = losses.softmax_loss(x, y, 0)
    assert actual[0] == expected[0]
    np.testing.assert_array_equal(actual[1], expected[1])
    one_class = losses.softmax_loss([[5.0], [7.0]], [0, 0], 0.25)
    assert one_class[0] == 0
    np.testing.assert_allclose(one_class[1], [[0], [0]], atol=1e-16)


@pytest.mark.parametrize("dtype", DTYPES)
def test_smoothing_of_large_scores_is_finite(backend, dtype):
    largest = float(np.finfo(dtype).max)
    for big in (1e4, min(1e300, largest), largest):
        loss, dx = losses.softmax_loss(
            np.array([[big, 0], [big, 0], [big, big], [-big, big]], dtype), [0, 1, 0, 0], 0.5
        )
        gaps = [0.25 * min(big, 1e308), 0.75 * min(big, 1e308), math.log(2), 0.75 * min(2 * big, 1e308)]
        assert loss == pytest.approx(sum(gap / 4 for gap in gaps), rel=1e-7)
        np.testing.assert_array_equal(dx, np.array([[1, -1], [3, -3], [-1, 1], [-3, 3]]) / 16)
    many = np.full((5, 7), -largest, dtype)
    many[:, 0] = largest
    loss, dx = losses.softmax_loss(many, [1] * 5, 0.9)
    assert math.isfinite(loss)
    assert np.isfinite(dx).all()


def test_smoothing_of_scores_that_are_not_finite(backend):
    for x in ([[np.nan, 0.0]], [[0.0, np.nan]], [[np.inf, 0.0]]):
        loss, _ = against_naive(losses.softmax_loss, np.array(x), np.array([0]), 0.1)
        assert math.isnan(loss)
    loss, dx = losses.softmax_loss([[0.0, -np.inf]], [0], 0.5)
    assert loss == np.inf
    np.testing.assert_array_equal(dx, [[0.25, -0.25]])
    assert losses.softmax_loss([[0.0, -np.inf]], [0])[0] == 0


def test_no_rows_and_one_class(backend):
    for function in LABELLED:
        loss, dx = function(np.empty((0, 3), np.float32), [])
        assert (loss, dx.shape, dx.dtype) == (0.0, (0, 3), np.float32)
        loss, dx = function([[5.0], [7.0]], [0, 0])
        assert (loss, dx.tolist()) == (0.0, [[0], [0]])
    loss, dx = losses.mse_loss(np.empty((0, 2)), np.empty((0, 2)))
    assert (loss, dx.shape) == (0.0, (0, 2))
    assert losses.mse_loss(np.empty((3, 0)), np.empty((3, 0)))[0] == 0.0


def test_gradients_of_the_loops_are_the_numeric_ones():
    x, y = draw(5, 4, np.float64, seed=3)
    x += np.random.default_rng(1).uniform(0.01, 0.1, x.shape)  # away from the kinks
    with use_backend("naive"):
        for function, *others in [
            (losses.softmax_loss, y),
            (losses.softmax_loss, y, 0.2),
            (losses.svm_loss, y),
            (losses.mse_loss, x[::-1].copy()),
        ]:
            expected = numeric_gradient(lambda x, f=function, others=others: f(x, *others)[0], x, h=1e-6)
            np.testing.assert_allclose(function(x, *others)[1], expected, rtol=1e-7, atol=1e-9)


def test_results_agree_with_torch(backend):
    torch = pytest.importorskip("torch", reason="parity with PyTorch needs torch (the extra `peers`)")
    x, y = draw(50, 10, np.float64)
    target = x[::-1].copy()
    peers = {
        losses.softmax_loss: (torch.nn.functional.cross_entropy, y, 1),
        losses.svm_loss: (torch.nn.functional.multi_margin_loss, y, 10),  # torch divides by the classes too
        losses.mse_loss: (torch.nn.functional.mse_loss, target, 5),  # torch: the mean over all elements, no half
    }
    for function, (peer, other, factor) in peers.items():
        tensor = torch.tensor(x + 1e-3 * np.arange(500).reshape(50, 10), requires_grad=True)
        expected = factor * peer(tensor, torch.tensor(other))
        expected.backward()
        actual = function(tensor.detach().numpy(), other)
        assert_same(actual, (expected.item(), tensor.grad.numpy()), terms=x.size)
    for smoothing in (0.1, 0.75):
        tensor = torch.tensor(x, requires_grad=True)
        expected = torch.nn.functional.cross_entropy(tensor, torch.tensor(y), label_smoothing=smoothing)
        expected.backward()
        assert_same(losses.softmax_loss(x, y, smoothing), (expected.item(), tensor.grad.numpy()), terms=x.size)


ERRORS = [
    (lambda f: f(np.ones(3), [0]), ValueError, r"x.shape = \(3,\) has 1 axes; expected \(N, K\)"),
    (lambda f: f(np.ones((2, 3), complex), [0, 0]), TypeError, "x.dtype = complex128"),
    (lambda f: f(np.ones((2, 0)), [0, 0]), ValueError, r"there are no classes: x.shape = \(2, 0\)"),
    (lambda f: f(np.ones((2, 3)), [0, 1, 2]), ValueError, r"y.shape = \(3,\) does not fit"),
    (lambda f: f(np.ones((2, 3)), [[0, 1, 0], [1, 0, 0]]), ValueError, "not one-hot rows"),
    (lambda f: f(np.ones((2, 3)), [0.0, 1.0]), TypeError, "y.dtype = float64 does not hold labels"),
    (lambda f: f(np.ones((2, 3)), [0, 3]), ValueError, "y contains the label 3 at index 1; expected 0 to 2"),
    (lambda f: f(np.ones((2, 3)), [-1, 0]), ValueError, "y contains the label -1"),
]


@pytest.mark.parametrize("function", LABELLED)
@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_errors_are_the_same_on_every_backend(backend, function, call, error, message):
    with pytest.raises(error, match=f"^{function.__name__}: .*{message}"):
        call(function)


@pytest.mark.parametrize("smoothing", [-0.1, 1, 1.5])
def test_smoothing_out_of_range(backend, smoothing):
    for rows in (0, 2):
        with pytest.raises(
            ValueError, match=f"^softmax_loss: label_smoothing={smoothing} is out of range; .*less than 1"
        ):
            losses.softmax_loss(np.ones((rows, 3)), [0] * rows, smoothing)
    with pytest.raises(TypeError, match=r"^softmax_loss: label_smoothing='0.1' is not a number"):
        losses.softmax_loss(np.ones((2, 3)), [0, 0], "0.1")


def test_errors_of_mse_loss(backend):
    with pytest.raises(ValueError, match=r"mse_loss: target.shape = \(3, 2\)"):
        losses.mse_loss(np.ones((2, 3)), np.ones((3, 2)))
    with pytest.raises(ValueError, match=r"mse_loss: target.shape = \(2, 3, 1\) does not fit"):
        losses.mse_loss(np.ones((2, 3)), np.ones((2, 3, 1)))
    with pytest.raises(ValueError, match=r"mse_loss: x.shape = \(\) has 0 axes"):
        losses.mse_loss(1.0, 1.0)
    with pytest.raises(TypeError, match=r"mse_loss: target.dtype = <U1"):
        losses.mse_loss(np.ones(2), np.array(["a", "b"]))

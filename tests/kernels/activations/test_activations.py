"""`fastnn.kernels.activations`: every backend against the loops, these against hand-computed numbers and torch."""

import math
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes
from operation_checks.activations import (
    AWKWARD,
    ELEMENTWISE,
    PRELU,
    backward,
    check_maxout,
    check_maxout_of_256_pieces,
    check_maxout_worked_by_hand,
    check_nothing_overflows,
    check_prelu,
    check_prelu_worked_by_hand,
    check_small_results,
    draw,
    forward,
)

from fastnn import use_backend
from fastnn.kernels import activations
from fastnn.testing import against_naive, assert_same

DTYPES = [np.float32, np.float64]
anything = settings(max_examples=25)
uncompiled = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")
# uncompiled kernels compute with NumPy scalars, which warn, unlike compiled code
pytestmark = pytest.mark.filterwarnings(*(["ignore:overflow", "ignore:invalid value"] if uncompiled else []))
ARRAYS = AWKWARD | {
    "primes": lambda dtype: draw((7, 11, 13), dtype),
    "far from it": lambda dtype: np.array([np.inf, 80, -80, 1000, -1000, 1e30, -1e30], dtype),
    "vectors and a rest": lambda dtype: draw((1003,), dtype),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize("make", ARRAYS.values(), ids=ARRAYS)
def test_every_backend_agrees_with_the_loops(backend, name, make, dtype):
    x = make(dtype)
    against_naive(forward(name), x)
    seen = np.tanh(x) if name in ("sigmoid", "tanh") else np.where(np.isfinite(x), x, dtype(-0.5))
    against_naive(backward(name), np.linspace(-1, 2, x.size, dtype=dtype).reshape(x.shape), seen)


@anything
@given(
    shape=array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=6), seed=st.integers(0, 2**32 - 1), data=st.data()
)
def test_every_backend_agrees_on_any_shape(backend, shape, seed, data):
    name, dtype = data.draw(st.sampled_from(ELEMENTWISE)), data.draw(st.sampled_from(DTYPES))
    x = draw(shape, dtype, seed)
    against_naive(forward(name), x)
    against_naive(backward(name), np.flip(x), np.tanh(x) if name in ("sigmoid", "tanh") else x)


@pytest.mark.parametrize("dtype", DTYPES)
def test_large_arrays_are_split_over_the_cores(backend, dtype):
    x = np.random.default_rng(0).standard_normal(100_003).astype(dtype)
    for name in ["relu", "elu", "gelu"]:
        against_naive(forward(name), x)
    against_naive(activations.prelu_backward, x.reshape(1, 1, -1), -x.reshape(1, 1, -1), x[:1], terms=x.size)


def test_integers_are_computed_in_float64(backend):
    for name in ELEMENTWISE:
        actual = forward(name)(np.array([[-1, 0], [2, 3]]))
        assert actual.dtype == np.float64
        assert_same(actual, forward(name)(np.array([[-1.0, 0.0], [2.0, 3.0]])))
    assert forward("relu")([True, False]).tolist() == [1.0, 0.0]


def test_float32_with_float64_gives_float64(backend):
    assert activations.relu_backward(np.ones(2, np.float32), np.ones(2)).dtype == np.float64


def test_numbers_worked_by_hand(backend):
    x, dout = np.array([-2.0, -0.5, 0.0, 3.0]), np.array([1.0, 2.0, 3.0, 4.0])
    e2, e05 = math.exp(-2), math.exp(-0.5)
    P2, P05, P3 = (
        0.02275013195,
        0.30853753873,
        0.00134989803,
    )  # P(X <= -2), P(X <= -0.5), P(X <= -3) for a standard normal X
    p2, p05, p3 = 0.05399096651, 0.35206532676, 0.00443184841  # and its density there
    expected = {
        "relu": ([0, 0, 0, 3], [0, 0, 0, 4]),
        "leaky_relu": ([-0.02, -0.005, 0, 3], [0.01, 0.02, 0.03, 4]),
        "elu": ([e2 - 1, e05 - 1, 0, 3], [e2, 2 * e05, 3, 4]),
        "gelu": ([-2 * P2, -0.5 * P05, 0, 3 - 3 * P3], [P2 - 2 * p2, 2 * P05 - p05, 1.5, 4 * (1 - P3 + 3 * p3)]),
    }
    for name, (out, dx) in expected.items():
        np.testing.assert_allclose(forward(name)(x), out, rtol=1e-9, atol=1e-16)
        np.testing.assert_allclose(backward(name)(dout, x), dx, rtol=1e-8, atol=1e-16)
    np.testing.assert_allclose(activations.sigmoid_forward([0.0, math.log(3), -math.log(3)]), [0.5, 0.75, 0.25])
    np.testing.assert_allclose(activations.sigmoid_backward([1.0, 2.0], [0.5, 0.75]), [0.25, 0.375])
    np.testing.assert_allclose(activations.tanh_forward([0.0, math.log(2), -math.log(2)]), [0, 0.6, -0.6])
    np.testing.assert_allclose(activations.tanh_backward([1.0, 2.0], [0.0, 0.5]), [1, 1.5])
    np.testing.assert_allclose(activations.leaky_relu_forward(x, 0.5), [-1, -0.25, 0, 3])
    np.testing.assert_allclose(activations.elu_backward(dout, x, 2), [2 * e2, 4 * e05, 6, 4])


def test_relu_keeps_nan_and_stops_its_gradient(backend):
    x = np.array([np.nan, np.inf, -np.inf, 0.0])
    out = activations.relu_forward(x)
    np.testing.assert_array_equal(out, [np.nan, np.inf, 0, 0])
    dout = np.array([1.0, 2.0, np.nan, np.inf])
    for seen in (x, out):  # the input of the forward pass, or its output
        np.testing.assert_array_equal(activations.relu_backward(dout, seen), [0, 2, 0, 0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_overflows(backend, dtype):
    check_nothing_overflows(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_small_results_keep_their_relative_accuracy(backend, dtype):
    check_small_results(dtype)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_gradients_of_the_loops_are_the_numeric_ones(name):
    x = np.array([-3.1, -1.0, -0.2, 0.3, 1.7, 4.0])
    dout, h = np.linspace(1, 2, x.size), 1e-6
    with use_backend("naive"):
        expected = dout * (forward(name)(x + h) - forward(name)(x - h)) / (2 * h)
        seen = forward(name)(x) if name in ("sigmoid", "tanh") else x
        np.testing.assert_allclose(backward(name)(dout, seen), expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "slopes"), PRELU)
def test_prelu_on_every_backend(backend, shape, slopes, dtype):
    check_prelu(shape, slopes, dtype)


def test_prelu_numbers_worked_by_hand(backend):
    check_prelu_worked_by_hand()


def test_slope_gradients_do_not_depend_on_the_number_of_threads():
    threads = pytest.importorskip("fastnn.kernels.cpu.threads", reason="the backend njit needs numba")
    dout, x = np.random.default_rng(0).standard_normal((2, 131, 5, 50)).astype(np.float32)
    results = []
    with use_backend("njit"):
        for count in (1, 4):
            with threads.use_num_threads(count):
                results.append(activations.prelu_backward(dout, x, np.ones(5, np.float32))[1])
    np.testing.assert_array_equal(results[-1], results[0])


def test_maxout_numbers_worked_by_hand(backend):
    check_maxout_worked_by_hand()


@anything
@given(
    shape=array_shapes(min_dims=2, max_dims=4, min_side=0, max_side=5),
    pieces=st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from(DTYPES),
)
def test_maxout_on_every_backend(backend, shape, pieces, seed, dtype):
    check_maxout(shape, pieces, dtype, seed)


def test_maxout_of_256_pieces(backend):
    check_maxout_of_256_pieces()


def test_results_agree_with_torch(backend):
    torch = pytest.importorskip("torch", reason="parity with PyTorch needs torch (the extra `peers`)")
    functional = torch.nn.functional
    x, dout = np.random.default_rng(0).standard_normal((2, 4, 6, 5))
    x[0, 0] = 0
    slope = np.linspace(0.1, 0.4, 6)
    peers = {
        "relu": (functional.relu, ()),
        "leaky_relu": (functional.leaky_relu, (0.2,)),
        "elu": (functional.elu, (1.3,)),
        "sigmoid": (torch.sigmoid, ()),
        "tanh": (torch.tanh, ()),
        "gelu": (functional.gelu, ()),
    }
    for name, (peer, numbers) in peers.items():
        tensor = torch.tensor(x, requires_grad=True)
        expected = peer(tensor, *numbers)
        expected.backward(torch.tensor(dout))
        out = forward(name)(x, *numbers)
        assert_same(out, expected.detach().numpy())
        assert_same(backward(name)(dout, out if name in ("sigmoid", "tanh") else x, *numbers), tensor.grad.numpy())
    for slopes in (slope, slope[:1]):
        tensors = torch.tensor(x, requires_grad=True), torch.tensor(slopes, requires_grad=True)
        expected = functional.prelu(*tensors)
        expected.backward(torch.tensor(dout))
        assert_same(activations.prelu_forward(x, slopes), expected.detach().numpy())
        actual = activations.prelu_backward(dout, x, slopes)
        assert_same(actual, tuple(tensor.grad.numpy() for tensor in tensors), terms=x.size)


ERRORS = [
    (lambda: activations.relu_forward(np.ones(2, complex)), TypeError, "relu_forward: x.dtype = complex128"),
    (lambda: activations.gelu_forward([[1], [1, 2]]), TypeError, "gelu_forward: x=.* is not an array"),
    (lambda: activations.relu_backward(np.ones(2), np.ones(3)), ValueError, r"relu_backward: dout.shape = \(2,\)"),
    (lambda: activations.tanh_backward(np.ones(2), np.ones((2, 1))), ValueError, "tanh_backward: dout.shape"),
    (lambda: activations.leaky_relu_forward(np.ones(2), None), TypeError, "leaky_relu_forward: slope=None"),
    (lambda: activations.leaky_relu_backward(np.ones(2), np.ones(2), "a"), TypeError, "leaky_relu_backward: slope='a'"),
    (lambda: activations.elu_forward(np.ones(2), np.nan), ValueError, "elu_forward: alpha=nan is not finite"),
    (lambda: activations.elu_backward(np.ones(2), np.ones(2), True), TypeError, "elu_backward: alpha=True"),
    (
        lambda: activations.prelu_forward(np.ones((2, 3)), np.ones(2)),
        ValueError,
        r"prelu_forward: slope.shape = \(2,\)",
    ),
    (lambda: activations.prelu_forward(np.ones(2), np.ones(2)), ValueError, r"does not fit x.shape = \(2,\)"),
    (lambda: activations.prelu_forward(np.ones(2), 0.1), ValueError, r"prelu_forward: slope.shape = \(\) has 0 axes"),
    (
        lambda: activations.prelu_backward(np.ones((3, 2)), np.ones((2, 3)), np.ones(3)),
        ValueError,
        r"prelu_backward: dout.shape = \(3, 2\)",
    ),
    (
        lambda: activations.maxout_forward(np.ones((2, 7)), 3),
        ValueError,
        r"x.shape\[1\] = 7 is not a multiple of pieces=3; .* use 6 or 9",
    ),
    (lambda: activations.maxout_forward(np.ones(6), 3), ValueError, "maxout_forward: x.shape"),
    (lambda: activations.maxout_forward(np.ones((2, 6)), 0), ValueError, "maxout_forward: pieces=0 is out of range"),
    (lambda: activations.maxout_forward(np.ones((1, 257)), 257), ValueError, "pieces=257 .* at most 256"),
    (lambda: activations.maxout_forward(np.ones((2, 6)), 1.5), ValueError, "pieces=1.5 is not an integer"),
    (
        lambda: activations.maxout_backward(np.ones((2, 3)), np.zeros((2, 3)), 2),
        TypeError,
        "maxout_backward: index.dtype = float64",
    ),
    (
        lambda: activations.maxout_backward(np.ones((2, 3)), np.zeros((3, 2), int), 2),
        ValueError,
        r"maxout_backward: index.shape = \(3, 2\)",
    ),
    (
        lambda: activations.maxout_backward(np.ones((1, 2)), [[0, 2]], 2),
        ValueError,
        "index contains 2; expected 0 to 1",
    ),
    (lambda: activations.maxout_backward(np.ones((1, 2)), [[-1, 0]], 2), ValueError, "index contains -1"),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_errors_are_the_same_on_every_backend(backend, call, error, message):
    with pytest.raises(error, match=message):
        call()

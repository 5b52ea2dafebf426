"""Tests of convolution: the naive loops against known values and identities, every backend against the naive loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from operation_checks.conv2d import DTYPES, compared, draw, numeric_gradient

import fastnn
from fastnn.gradient_check import rel_error
from fastnn.kernels.conv2d import conv2d_backward, conv2d_forward
from fastnn.testing import against_naive, assert_same

by_hypothesis = settings(max_examples=50)


def out_shape(x_shape, w_shape, stride, pad):
    rows, columns = (1 + (x_shape[a] + 2 * pad[a - 2] - w_shape[a]) // stride[a - 2] for a in (2, 3))
    return x_shape[0], w_shape[0], rows, columns


def problem(x_shape, w_shape, stride, pad, dtype=np.float64, whole=False, seed=0):
    rng = np.random.default_rng(seed)
    x, w, b = (draw(rng, shape, dtype, whole) for shape in (x_shape, w_shape, w_shape[:1]))
    return x, w, b, draw(rng, out_shape(x_shape, w_shape, stride, pad), dtype, whole)


def check(x, w, b, dout, stride, pad):
    """Compare forward and backward of the active backend with the naive loops."""
    sums = w[0].size, dout.size // max(1, dout.shape[1]), w[:, 0].size
    out = against_naive(conv2d_forward, x, w, b, stride, pad, terms=sums[0])
    gradients = against_naive(conv2d_backward, dout, x, w, stride, pad, terms=max(sums[1:]))
    assert out.flags.c_contiguous
    dx, *same = conv2d_backward(dout, x, w, stride, pad, need_dx=False)
    assert dx is None
    assert_same(same, gradients[1:], terms=sums[1])
    return out, gradients


@st.composite
def geometries(draw):
    """Draw images, filters, stride and pad with at least one window; small, so that the naive loops are fast."""
    kernel = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    stride = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    pad = draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
    smallest = [max(1, kernel[a] - 2 * pad[a]) for a in (0, 1)]
    size = draw(st.tuples(*[st.integers(least, least + 11) for least in smallest]))
    N, C, F = draw(st.integers(0, 5)), draw(st.integers(1, 9)), draw(st.integers(1, 13))
    return (N, C, *size), (F, C, *kernel), stride, pad


# ---- the naive loops against independent references ----


def test_numbers_worked_by_hand(backend):
    x = np.array([[[[1.0, 2, 3], [4, 5, 6], [7, 8, 9]], [[0, 1, 0], [1, 0, 1], [0, 1, 0]]]])
    w = np.array([[[[1.0, 0], [0, -1]], [[2, 2], [0, 1]]], [[[0, 1], [1, 0]], [[0, 0], [0, 3]]]])
    out = conv2d_forward(x, w, np.array([10.0, -1]), 1, 0)
    # first window, first filter: 10 + (1 - 5) + (0*2 + 1*2 + 0*0 + 0*1) = 8
    np.testing.assert_array_equal(out, [[[[8, 9], [9, 8]], [[5, 10], [14, 13]]]])
    dx, dw, db = conv2d_backward(np.array([[[[1.0, 0], [0, 2]], [[0, 3], [0, 0]]]]), x, w, 1, 0)
    np.testing.assert_array_equal(dx[0, 0], [[1, 0, 3], [0, 4, 0], [0, 0, -2]])
    np.testing.assert_array_equal(dx[0, 1], [[2, 2, 0], [0, 5, 13], [0, 0, 2]])
    np.testing.assert_array_equal(dw[0, 0], [[1 + 10, 2 + 12], [4 + 16, 5 + 18]])
    np.testing.assert_array_equal(dw[1, 0], [[6, 9], [15, 18]])
    np.testing.assert_array_equal(db, [3, 3])


def test_padding_and_stride_worked_by_hand(backend):
    x, w = np.arange(1.0, 5).reshape(1, 1, 2, 2), np.arange(1.0, 10).reshape(1, 1, 3, 3)
    out = conv2d_forward(x, w, np.zeros(1), (2, 1), 1)
    np.testing.assert_array_equal(out, [[[[5 + 12 + 24 + 36, 4 + 10 + 21 + 32]]]])


def test_figures_of_the_course(backend):
    x = np.linspace(-0.1, 0.5, 96).reshape(2, 3, 4, 4)
    w = np.linspace(-0.2, 0.3, 144).reshape(3, 3, 4, 4)
    out = conv2d_forward(x, w, np.linspace(-0.1, 0.2, 3), 2, 1)
    first, last = (
        [[-0.08759809, -0.10987781], [-0.18387192, -0.2109216]],
        [[2.36270298, 2.36904306], [2.38090835, 2.38247847]],
    )
    assert rel_error(out[0, 0], first) < 2.25e-8
    assert rel_error(out[1, 2], last) < 2.25e-8


@pytest.mark.parametrize(
    ("x_shape", "w_shape", "stride", "pad"),
    [
        ((2, 2, 5, 4), (3, 2, 3, 2), (1, 1), (1, 1)),
        ((1, 2, 6, 5), (2, 2, 2, 3), (2, 3), (0, 2)),
        ((1, 1, 5, 5), (2, 1, 2, 2), (3, 3), (0, 0)),
    ],
)
def test_gradients_agree_with_numeric_ones(backend, x_shape, w_shape, stride, pad):
    x, w, b, dout = problem(x_shape, w_shape, stride, pad)
    dx, dw, db = conv2d_backward(dout, x, w, stride, pad)
    for position, actual in ((0, dx), (1, dw), (2, db)):

        def loss(value, position=position):
            return np.sum(dout * conv2d_forward(*(x, w, b)[:position], value, *(x, w, b)[position + 1 :], stride, pad))

        np.testing.assert_allclose(actual, numeric_gradient(loss, (x, w, b)[position]), rtol=1e-6, atol=1e-7)


@given(geometry=geometries(), seed=st.integers(0, 999))
@by_hypothesis
def test_backward_is_the_adjoint_of_forward(backend, geometry, seed):
    x, w, b, dout = problem(*geometry, seed=seed)
    dx, dw, db = conv2d_backward(dout, x, w, *geometry[2:])
    zero = np.zeros_like(b)
    expected = np.vdot(conv2d_forward(x, w, zero, *geometry[2:]), dout)
    scale = 1e-12 * max(1, dout.size * w[0].size)
    assert np.vdot(x, dx) == pytest.approx(expected, abs=scale)
    assert np.vdot(w, dw) == pytest.approx(expected, abs=scale)
    assert np.vdot(b, db) == pytest.approx(np.vdot(conv2d_forward(0 * x, w, b, *geometry[2:]), dout), abs=scale)


def test_forward_is_linear_in_each_argument(backend):
    x, w, b, _ = problem((2, 3, 7, 6), (5, 3, 3, 3), (1, 2), (1, 0), whole=True)
    x2, w2, b2, _ = problem((2, 3, 7, 6), (5, 3, 3, 3), (1, 2), (1, 0), whole=True, seed=1)
    conv = lambda x, w, b: conv2d_forward(x, w, b, (1, 2), (1, 0))  # noqa: E731
    np.testing.assert_array_equal(conv(x + 2 * x2, w, b), conv(x, w, b) + 2 * conv(x2, w, 0 * b))
    np.testing.assert_array_equal(conv(x, w + 2 * w2, b), conv(x, w, b) + 2 * conv(x, w2, 0 * b))
    np.testing.assert_array_equal(conv(x, w, b + b2), conv(x, w, b) + b2[:, None, None])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("x_shape", "w_shape", "stride", "pad"),
    [
        ((3, 3, 9, 8), (4, 3, 3, 3), (1, 1), (1, 1)),
        ((2, 5, 11, 7), (3, 5, 5, 2), (3, 2), (2, 1)),
        ((2, 1, 6, 6), (6, 1, 1, 1), (2, 2), (3, 3)),
    ],
)
def test_agrees_with_torch(backend, x_shape, w_shape, stride, pad, dtype):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    x, w, b, dout = problem(x_shape, w_shape, stride, pad, dtype)
    given_to_torch = [torch.tensor(value, requires_grad=True) for value in (x, w, b)]
    expected = torch.nn.functional.conv2d(*given_to_torch, stride=stride, padding=pad)
    expected.backward(torch.tensor(dout))
    assert_same(conv2d_forward(x, w, b, stride, pad), expected.detach().numpy(), terms=w[0].size)
    expected = tuple(value.grad.numpy() for value in given_to_torch)
    assert_same(conv2d_backward(dout, x, w, stride, pad), expected, terms=dout.size)


# ---- every backend against the naive loops ----


@compared
@given(geometry=geometries(), dtype=st.sampled_from(DTYPES), seed=st.integers(0, 999))
@by_hypothesis
def test_any_geometry(backend, geometry, dtype, seed):
    check(*problem(*geometry, dtype, seed=seed), *geometry[2:])


@compared
@given(geometry=geometries(), dtype=st.sampled_from(DTYPES), seed=st.integers(0, 999))
@by_hypothesis
def test_sums_of_small_integers_are_exact(backend, geometry, dtype, seed):
    x, w, b, dout = problem(*geometry, dtype, whole=True, seed=seed)
    actual = (conv2d_forward(x, w, b, *geometry[2:]), *conv2d_backward(dout, x, w, *geometry[2:]))
    with fastnn.use_backend("naive"):
        expected = (conv2d_forward(x, w, b, *geometry[2:]), *conv2d_backward(dout, x, w, *geometry[2:]))
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


AWKWARD = [
    # x, w, stride, pad
    ((0, 3, 5, 5), (2, 3, 3, 3), 1, 1),
    ((1, 1, 1, 1), (1, 1, 1, 1), 1, 0),
    ((2, 3, 1, 1), (5, 3, 3, 3), 1, 1),
    ((2, 2, 1, 1), (3, 2, 1, 1), 2, 3),
    ((2, 1, 2, 2), (1, 1, 2, 2), 1, 3),
    ((2, 2, 3, 4), (3, 2, 3, 3), (1, 1), (4, 5)),
    ((2, 2, 0, 4), (3, 2, 2, 3), 1, (1, 0)),
    ((7, 5, 13, 11), (3, 5, 3, 5), (1, 1), (1, 2)),
    ((2, 3, 5, 9), (4, 3, 5, 2), 1, 0),
    ((2, 3, 9, 3), (4, 3, 2, 3), 1, 0),
    ((2, 3, 4, 200), (5, 3, 3, 3), 1, 1),
    ((2, 3, 200, 4), (5, 3, 3, 3), 1, 1),
    ((1, 16, 3, 66), (25, 16, 1, 1), 1, 0),
    ((3, 2, 11, 12), (3, 2, 2, 2), 3, 0),
    ((3, 2, 11, 12), (3, 2, 1, 2), (5, 4), (1, 0)),
    ((2, 3, 10, 9), (4, 3, 3, 3), 4, 0),
    ((2, 1, 8, 8), (2, 1, 3, 3), 100, 0),
    ((2, 1, 8, 9), (2, 1, 3, 3), (10**9, 1), 1),
    ((2, 2, 6, 6), (3, 2, 6, 6), 1, 0),
    ((1, 3, 31, 31), (25, 3, 3, 3), 2, 1),
    ((2, 64, 4, 4), (65, 64, 3, 3), 1, 1),
    ((9, 1, 3, 3), (1, 1, 3, 3), 1, 1),
    ((33, 2, 2, 2), (4, 2, 2, 2), 1, 0),
]


@compared
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("x_shape", "w_shape", "stride", "pad"), AWKWARD)
def test_awkward_geometry(backend, x_shape, w_shape, stride, pad, dtype):
    both = [(value, value) if isinstance(value, int) else value for value in (stride, pad)]
    out, (dx, _, _) = check(*problem(x_shape, w_shape, *both, dtype), stride, pad)
    assert out.shape == out_shape(x_shape, w_shape, *both)
    assert dx.shape == x_shape


@compared
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65])
def test_every_remainder_of_a_row(backend, width, dtype):
    """Rows just below, at and above each vector length; filters and channels that do not fill a tile."""
    for F, C, rows, stride in ((1, 3, 1, 1), (3, 1, 4, 1), (4, 5, 3, 2), (5, 16, 2, 1), (25, 1, 2, 1)):
        geometry = (2, C, rows + 2, (width - 1) * stride + 3), (F, C, 3, 3), (1, stride), (0, 0)
        check(*problem(*geometry, dtype), *geometry[2:])


@compared
@pytest.mark.parametrize("dtype", DTYPES)
def test_larger_shapes_against_vectorized(backend, dtype):
    for x_shape, w_shape, stride, pad in [
        ((6, 3, 32, 32), (32, 3, 7, 7), (1, 1), (3, 3)),
        ((5, 16, 16, 16), (33, 16, 3, 3), (1, 1), (1, 1)),
        ((3, 8, 28, 40), (16, 8, 5, 3), (2, 2), (2, 1)),
        ((37, 2, 21, 34), (5, 2, 3, 3), (1, 1), (0, 1)),  # more blocks of images than chunks
    ]:
        x, w, b, dout = problem(x_shape, w_shape, stride, pad, dtype)
        actual = (conv2d_forward(x, w, b, stride, pad), *conv2d_backward(dout, x, w, stride, pad))
        with fastnn.use_backend("vectorized"):
            expected = (conv2d_forward(x, w, b, stride, pad), *conv2d_backward(dout, x, w, stride, pad))
        assert_same(actual, expected, terms=dout.size)


def test_gaps_between_windows_get_no_gradient(backend):
    x, w, _, dout = problem((2, 3, 9, 11), (4, 3, 2, 2), (4, 5), (0, 0))
    dx, _, _ = conv2d_backward(dout, x, w, (4, 5), 0)
    reached = np.zeros((9, 11), bool)
    for oh in range(2):
        for ow in range(2):
            reached[4 * oh : 4 * oh + 2, 5 * ow : 5 * ow + 2] = True
    assert (dx[:, :, reached] != 0).all()
    np.testing.assert_array_equal(dx[:, :, ~reached], 0)


def test_an_empty_batch_gives_zeros(backend):
    x, w, b, dout = problem((0, 3, 5, 5), (2, 3, 3, 3), (1, 1), (0, 0))
    assert conv2d_forward(x, w, b).shape == (0, 2, 3, 3)
    dx, dw, db = conv2d_backward(dout, x, w)
    assert dx.shape == x.shape
    np.testing.assert_array_equal(dw, np.zeros_like(w))
    np.testing.assert_array_equal(db, np.zeros_like(b))

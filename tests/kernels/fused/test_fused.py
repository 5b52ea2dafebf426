"""Tests of fused layers: every backend agrees with the composition of the parts, including ties."""

import numpy as np
import pytest
from conftest import AVAILABLE
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnn
from fastnn.kernels import pool2d
from fastnn.kernels.activations import relu_backward, relu_forward
from fastnn.kernels.affine import affine_backward, affine_forward
from fastnn.kernels.conv2d import conv2d_backward, conv2d_forward
from fastnn.kernels.fused import (
    affine_relu_backward,
    affine_relu_forward,
    conv2d_relu_backward,
    conv2d_relu_forward,
    conv2d_relu_pool_backward,
    conv2d_relu_pool_forward,
)
from fastnn.kernels.pool2d import max_pool2d_backward, max_pool2d_forward
from fastnn.testing import against_naive, assert_same

DTYPES = [np.float32, np.float64]
compared = pytest.mark.parametrize("backend", [name for name in AVAILABLE if name != "naive"], indirect=True)
by_hypothesis = settings(max_examples=40)


def draw(rng, shape, dtype, whole=False):
    """Draw normal numbers; or small integers, for exact sums and many ties and zeros."""
    return (rng.integers(-1, 2, shape) if whole else rng.normal(size=shape)).astype(dtype)


def assert_equal(actual, expected):
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


@st.composite
def geometries(draw):
    """Draw shapes of x and w, stride, pad, pool size and pool stride with at least one window."""
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    pad = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    pool_size = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    pool_stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    if draw(st.booleans()):
        pool_size = pool_stride = (2, 2)
    least = [max(1, kernel[a] + (pool_size[a] - 1) * stride[a] - 2 * pad[a]) for a in (0, 1)]
    size = draw(st.tuples(*[st.integers(length, length + 9) for length in least]))
    N, C, F = draw(st.integers(0, 4)), draw(st.integers(1, 5)), draw(st.integers(1, 9))
    return (N, C, *size), (F, C, *kernel), stride, pad, pool_size, pool_stride


# ---- conv, ReLU, pool ----


def parts_forward(x, w, b, stride, pad, size, pool_stride):
    """Compose the three parts, with index "none" where the maximum is not positive."""
    out, index = max_pool2d_forward(relu_forward(conv2d_forward(x, w, b, stride, pad)), size, pool_stride)
    return out, np.where(out > 0, index, np.prod(size)).astype(index.dtype)


def parts_backward(dout, x, w, b, stride, pad, size, pool_stride):
    before = conv2d_forward(x, w, b, stride, pad)
    _, index = max_pool2d_forward(relu_forward(before), size, pool_stride)
    dpre_pool = max_pool2d_backward(dout, index, before.shape, size, pool_stride)
    return conv2d_backward(relu_backward(dpre_pool, before), x, w, stride, pad)


def pooled_shape(x_shape, w_shape, stride, pad, size, pool_stride):
    rows, columns = (
        1 + (1 + (x_shape[a + 2] + 2 * pad[a] - w_shape[a + 2]) // stride[a] - size[a]) // pool_stride[a]
        for a in (0, 1)
    )
    return x_shape[0], w_shape[0], rows, columns


def pool_problem(geometry, dtype, whole=False, seed=0):
    rng = np.random.default_rng(seed)
    x_shape, w_shape, *_ = geometry
    return tuple(draw(rng, s, dtype, whole) for s in (x_shape, w_shape, w_shape[:1], pooled_shape(*geometry)))


@given(geometry=geometries(), dtype=st.sampled_from(DTYPES), seed=st.integers(0, 999))
@by_hypothesis
def test_conv_relu_pool_equals_its_parts_including_ties(backend, geometry, dtype, seed):
    """On integers every backend must agree exactly."""
    x, w, b, dout = pool_problem(geometry, dtype, whole=True, seed=seed)
    actual = conv2d_relu_pool_forward(x, w, b, *geometry[2:])
    gradients = conv2d_relu_pool_backward(dout, x, w, actual[1], *geometry[2:])
    assert_equal(actual, parts_forward(x, w, b, *geometry[2:]))
    assert_equal(gradients, parts_backward(dout, x, w, b, *geometry[2:]))
    with fastnn.use_backend("naive"):
        assert_equal(actual, parts_forward(x, w, b, *geometry[2:]))
        assert_equal(gradients, parts_backward(dout, x, w, b, *geometry[2:]))


@compared
@given(geometry=geometries(), dtype=st.sampled_from(DTYPES), seed=st.integers(0, 999))
@by_hypothesis
def test_any_conv_relu_pool(backend, geometry, dtype, seed):
    x, w, b, dout = pool_problem(geometry, dtype, seed=seed)
    out, index = conv2d_relu_pool_forward(x, w, b, *geometry[2:])
    with fastnn.use_backend("naive"):
        expected = conv2d_relu_pool_forward(x.astype(float), w.astype(float), b.astype(float), *geometry[2:])[0]
    assert_same(out, expected, terms=w[0].size)
    against_naive(conv2d_relu_pool_backward, dout, x, w, index, *geometry[2:], terms=max(dout.size, w.size))


def test_conv_relu_pool_worked_by_hand(backend):
    x = np.array([[[[1.0, -2, 3, 0, 7], [-1, 0, 2, 3, 7], [-4, -5, 0, 0, 7], [-6, -7, 0, 0, 7], [7, 7, 7, 7, 7]]]])
    w, b = np.array([[[[1.0]]], [[[-1.0]]]]), np.array([0.0, -4])
    out, index = conv2d_relu_pool_forward(x, w, b, 1, 0, 2, 2)
    np.testing.assert_array_equal(out, [[[[1, 3], [0, 0]], [[0, 0], [3, 0]]]])
    np.testing.assert_array_equal(index, np.array([[[[0, 0], [4, 4]], [[4, 4], [3, 4]]]], np.uint8), strict=True)
    dout = np.arange(1.0, 9).reshape(1, 2, 2, 2)
    dx, dw, db = conv2d_relu_pool_backward(dout, x, w, index, 1, 0, 2, 2)
    expected = np.zeros((5, 5))
    expected[0, 0], expected[0, 2], expected[3, 1] = 1, 2, -7
    np.testing.assert_array_equal(dx, [[expected]])
    np.testing.assert_array_equal(dw.ravel(), [1 * 1 + 2 * 3, 7 * -7])
    np.testing.assert_array_equal(db, [3, 7])


AWKWARD = [
    ((0, 3, 6, 6), (2, 3, 3, 3), (1, 1), (1, 1), (2, 2), (2, 2)),
    ((1, 1, 2, 2), (1, 1, 1, 1), (1, 1), (0, 0), (2, 2), (2, 2)),
    ((3, 3, 9, 7), (5, 3, 3, 3), (1, 1), (1, 1), (2, 2), (2, 2)),
    ((2, 3, 8, 70), (5, 3, 3, 3), (1, 1), (1, 1), (2, 2), (2, 2)),
    ((2, 2, 9, 64), (4, 2, 3, 3), (1, 1), (0, 1), (2, 2), (2, 2)),
    ((2, 2, 9, 33), (3, 2, 2, 2), (1, 1), (0, 0), (3, 3), (2, 2)),
    ((2, 2, 11, 13), (4, 2, 3, 3), (2, 2), (1, 1), (2, 2), (1, 1)),
    ((2, 2, 11, 13), (4, 2, 3, 3), (2, 1), (0, 2), (2, 3), (3, 4)),
    ((2, 1, 8, 8), (3, 1, 3, 3), (1, 1), (1, 1), (8, 8), (1, 1)),
    ((2, 1, 18, 18), (3, 1, 3, 3), (1, 1), (1, 1), (16, 16), (1, 2)),
    ((2, 3, 7, 7), (4, 3, 7, 7), (1, 1), (3, 3), (2, 2), (2, 2)),
    ((2, 3, 9, 9), (4, 3, 2, 2), (4, 3), (0, 0), (2, 2), (10**9, 1)),
]


@compared
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("geometry", AWKWARD)
def test_awkward_conv_relu_pool(backend, geometry, dtype):
    x, w, b, dout = pool_problem(geometry, dtype, whole=True)
    actual = conv2d_relu_pool_forward(x, w, b, *geometry[2:])
    with fastnn.use_backend("naive"):
        assert_equal(actual, parts_forward(x, w, b, *geometry[2:]))
    assert actual[1].dtype == pool2d.index_dtype(geometry[4])
    dx, dw, db = against_naive(conv2d_relu_pool_backward, dout, x, w, actual[1], *geometry[2:], terms=dout.size)
    without = conv2d_relu_pool_backward(dout, x, w, actual[1], *geometry[2:], need_dx=False)
    assert without[0] is None
    assert_equal(without[1:], (dw, db))
    assert dx.shape == x.shape


@compared
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [2, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33, 34, 63, 64, 65, 67])
def test_every_remainder_of_a_pooled_row(backend, width, dtype):
    for F, pool in ((1, 2), (3, 2), (5, 2), (4, 3)):
        geometry = (2, 2, 6, max(width, pool) + 2), (F, 2, 3, 3), (1, 1), (0, 0), (pool, pool), (pool, pool)
        x, w, b, dout = pool_problem(geometry, dtype, whole=True)
        out, index = conv2d_relu_pool_forward(x, w, b, *geometry[2:])
        gradients = conv2d_relu_pool_backward(dout, x, w, index, *geometry[2:])
        with fastnn.use_backend("vectorized"):
            assert_equal((out, index), parts_forward(x, w, b, *geometry[2:]))
            assert_equal(gradients, parts_backward(dout, x, w, b, *geometry[2:]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_propagates_forward_and_has_no_gradient(backend, dtype):
    x, w, b = np.ones((1, 1, 4, 4), dtype), np.ones((1, 1, 1, 1), dtype), np.zeros(1, dtype)
    x[0, 0, 1, 1], x[0, 0, 2, 2], x[0, 0, 0, 2:] = np.nan, np.inf, -np.inf
    out, index = conv2d_relu_pool_forward(x, w, b, 1, 0, 2, 2)
    np.testing.assert_array_equal(out, [[[[np.nan, 1], [1, np.inf]]]])
    np.testing.assert_array_equal(index, [[[[4, 2], [0, 0]]]])
    dx, _, db = conv2d_relu_pool_backward(np.ones((1, 1, 2, 2), dtype), np.ones_like(x), w, index, 1, 0, 2, 2)
    np.testing.assert_array_equal(np.argwhere(dx[0, 0]), [[1, 2], [2, 0], [2, 2]])
    np.testing.assert_array_equal(db, [3])


def test_a_stopped_gradient_may_be_nan(backend):
    x, w = np.ones((1, 1, 4, 4)), np.ones((1, 1, 3, 3))
    dout, index = np.array([[[[np.nan]]]]), np.array([[[[4]]]])
    for result in conv2d_relu_pool_backward(dout, x, w, index, 1, 0, 2, 2):
        np.testing.assert_array_equal(result, 0)
    out = np.full((1, 1, 2, 2), 0.0)
    for result in conv2d_relu_backward(np.full_like(out, np.nan), x, w, out, 1, 0):
        np.testing.assert_array_equal(result, 0)
    for result in affine_relu_backward(np.array([[np.inf]]), np.ones((1, 2)), np.ones((2, 1)), np.zeros((1, 1))):
        np.testing.assert_array_equal(result, 0)


# ---- conv, ReLU ----


@compared
@given(geometry=geometries(), dtype=st.sampled_from(DTYPES), whole=st.booleans(), seed=st.integers(0, 999))
@by_hypothesis
def test_any_conv_relu(backend, geometry, dtype, whole, seed):
    x_shape, w_shape, stride, pad, *_ = geometry
    rng = np.random.default_rng(seed)
    x, w, b = (draw(rng, shape, dtype, whole) for shape in (x_shape, w_shape, w_shape[:1]))
    out = against_naive(conv2d_relu_forward, x, w, b, stride, pad, terms=w[0].size)
    dout = draw(rng, out.shape, dtype, whole)
    gradients = against_naive(conv2d_relu_backward, dout, x, w, out, stride, pad, terms=max(dout.size, w.size))
    without = conv2d_relu_backward(dout, x, w, out, stride, pad, need_dx=False)
    assert without[0] is None
    assert_same(without[1:], gradients[1:], terms=dout.size)
    if whole:
        assert_equal([out], [relu_forward(conv2d_forward(x, w, b, stride, pad))])
        assert_equal(gradients, conv2d_backward(relu_backward(dout, out), x, w, stride, pad))


# ---- affine, ReLU ----


@compared
@given(
    sizes=st.tuples(st.integers(0, 20), st.integers(0, 40), st.integers(0, 70)),
    dtype=st.sampled_from(DTYPES),
    whole=st.booleans(),
    seed=st.integers(0, 999),
)
@by_hypothesis
def test_any_affine_relu(backend, sizes, dtype, whole, seed):
    N, D, M = sizes
    rng = np.random.default_rng(seed)
    x, w, b, dout = (draw(rng, shape, dtype, whole) for shape in ((N, D), (D, M), (M,), (N, M)))
    out = against_naive(affine_relu_forward, x, w, b, terms=D)
    gradients = against_naive(affine_relu_backward, dout, x, w, out, terms=max(N, M))
    without = affine_relu_backward(dout, x, w, out, need_dx=False)
    assert without[0] is None
    assert_same(without[1:], gradients[1:], terms=N)
    if whole:
        assert_equal([out], [relu_forward(affine_forward(x, w, b))])
        assert_equal(gradients, affine_backward(relu_backward(dout, out), x, w))


# ---- all of them ----


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_nan_and_infinity_forward(backend, dtype, special):
    rng = np.random.default_rng(0)
    for position in range(3):
        arrays = [draw(rng, shape, dtype) for shape in ((2, 2, 6, 7), (3, 2, 3, 3), (3,))]
        arrays[position].flat[arrays[position].size // 2] = special
        against_naive(conv2d_relu_forward, *arrays, 1, 1, terms=18)
        out, index = against_naive(conv2d_relu_pool_forward, *arrays, 1, 1, 2, 2, terms=18)
        np.testing.assert_array_equal(index == 4, ~(out > 0))
        arrays = [draw(rng, shape, dtype) for shape in ((4, 9), (9, 5), (5,))]
        arrays[position].flat[-1] = special
        against_naive(affine_relu_forward, *arrays, terms=9)


def fortran(value):
    return np.asfortranarray(value)


def reversed_rows(value):
    return value[::-1].copy()[::-1]


def big_endian(value):
    return value.astype(value.dtype.newbyteorder(">"))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", [fortran, reversed_rows, big_endian])
def test_any_layout(backend, layout, dtype):
    geometry = AWKWARD[2]
    x, w, b, dout = pool_problem(geometry, dtype, whole=True)
    out, index = conv2d_relu_pool_forward(x, w, b, *geometry[2:])
    expected = out, index, *conv2d_relu_pool_backward(dout, x, w, index, *geometry[2:])
    x, w, b, dout, index = map(layout, (x, w, b, dout, index))
    actual = (
        *conv2d_relu_pool_forward(x, w, b, *geometry[2:]),
        *conv2d_relu_pool_backward(dout, x, w, index, *geometry[2:]),
    )
    assert_equal(actual, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_agrees_with_torch(backend, dtype):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    x, w, b, dout = pool_problem(AWKWARD[2], dtype)
    given_to_torch = [torch.tensor(value, requires_grad=True) for value in (x, w, b)]
    pre_pool = torch.nn.functional.relu(torch.nn.functional.conv2d(*given_to_torch, padding=1))
    expected = torch.nn.functional.max_pool2d(pre_pool, 2)
    expected.backward(torch.tensor(dout))
    out, index = conv2d_relu_pool_forward(x, w, b, 1, 1, 2, 2)
    assert_same(out, expected.detach().numpy(), terms=27)
    gradients = tuple(value.grad.numpy() for value in given_to_torch)
    assert_same(conv2d_relu_pool_backward(dout, x, w, index, 1, 1, 2, 2), gradients, terms=dout.size)

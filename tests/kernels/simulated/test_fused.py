"""`fused` on the simulated GPU."""

import numpy as np
import pytest

from fastnn.gradient_check import eval_numerical_gradient_array, rel_error
from fastnn.kernels import fused, pool2d
from fastnn.testing import against_naive, assert_same

DTYPES = [np.float32, np.float64]
EPSILON = 0.1  # few elements may have a variance near 0, which costs accuracy


def draw(x_shape, w_shape, dtype):
    """x, w, b, gamma, beta, mean, var."""
    rng = np.random.default_rng(0)
    channels = w_shape[0] if len(w_shape) == 4 else w_shape[1]
    x, w, others = (rng.standard_normal(shape) for shape in (x_shape, w_shape, (5, channels)))
    others[-1] = 0.5 + others[-1] ** 2
    return [value.astype(dtype) for value in (x, w, *others)]


def functions(name):
    return (getattr(fused, f"{name}_{kind}") for kind in ("forward", "backward", "inference", "inference_backward"))


def gradient_like(out):
    return np.random.default_rng(1).standard_normal(out.shape).astype(out.dtype)


def check_backward(backward, *arguments, terms):
    _, *expected = against_naive(backward, *arguments, terms=terms)
    dx, *actual = backward(*arguments, need_dx=False)
    assert dx is None
    assert_same(actual, expected)


def check_with_batchnorm(name, arrays, geometry, mask):
    """Check all four functions. mask: the position of out, or of the pooling index, among the results."""
    forward, backward, inference, inference_backward = functions(name)
    x, w, b, gamma, beta, mean, var = arrays
    terms = 50 * (x.size + w.size)  # db is 0 except for rounding
    if len(x):
        results = against_naive(forward, x, w, b, gamma, beta, EPSILON, *geometry, terms=terms)
        pre_norm, *statistics = results[-3:]
        given = (gradient_like(results[0]), x, w, pre_norm, gamma, *statistics, EPSILON, results[mask], *geometry)
        check_backward(backward, *given, terms=terms)
    results = against_naive(inference, *arrays, EPSILON, *geometry, terms=terms)
    results = results if isinstance(results, tuple) else (results,)
    given = (gradient_like(results[0]), x, w, b, gamma, mean, var, EPSILON, results[mask], *geometry)
    check_backward(inference_backward, *given, terms=terms)


# ---- affine ----


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shapes", [((0, 3), (3, 2)), ((1, 1), (1, 1)), ((7, 3), (3, 5)), ((2, 0), (0, 3))])
def test_affine(shapes, dtype):
    x, w, b, gamma, beta, *_ = arrays = draw(*shapes, dtype)
    terms = 10 * (x.size + w.size) + 1
    out = against_naive(fused.affine_relu_forward, x, w, b, terms=terms)
    check_backward(fused.affine_relu_backward, gradient_like(out), x, w, out, terms=terms)
    check_with_batchnorm("affine_batchnorm_relu", arrays, (), mask=0)
    out, pre_norm, *statistics = against_naive(
        fused.affine_layernorm_relu_forward, x, w, b, gamma, beta, EPSILON, terms=terms
    )
    given = (gradient_like(out), x, w, pre_norm, gamma, *statistics, EPSILON, out)
    check_backward(fused.affine_layernorm_relu_backward, *given, terms=terms)


# ---- convolution ----

GEOMETRIES = {
    # x, w, stride, pad, size and stride of the pooling
    "no images": ((0, 2, 4, 4), (3, 2, 3, 3), 1, 1, 2, 2),
    "one pixel": ((1, 1, 1, 1), (1, 1, 1, 1), 1, 0, 1, 1),
    "the usual": ((2, 2, 4, 6), (3, 2, 3, 3), 1, 1, 2, 2),
    "strides": ((2, 1, 5, 6), (3, 1, 3, 2), (2, 1), (1, 0), (2, 3), (1, 2)),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_convolution(geometry, dtype):
    x_shape, w_shape, stride, pad, *pool = geometry
    x, w, b, *_ = arrays = draw(x_shape, w_shape, dtype)
    terms = 10 * (x.size + w.size)
    out = against_naive(fused.conv2d_relu_forward, x, w, b, stride, pad, terms=terms)
    check_backward(fused.conv2d_relu_backward, gradient_like(out), x, w, out, stride, pad, terms=terms)
    out, index = against_naive(fused.conv2d_relu_pool_forward, x, w, b, stride, pad, *pool, terms=terms)
    given = (gradient_like(out), x, w, index, stride, pad, *pool)
    check_backward(fused.conv2d_relu_pool_backward, *given, terms=terms)
    check_with_batchnorm("conv2d_batchnorm_relu", arrays, (stride, pad), mask=0)
    check_with_batchnorm("conv2d_batchnorm_relu_pool", arrays, (stride, pad, *pool), mask=1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_ties_in_a_pooled_image(dtype):
    """With integers, which give many zeros and ties, and exact sums."""
    rng = np.random.default_rng(0)
    x, w, b = (rng.integers(-1, 2, shape).astype(dtype) for shape in ((3, 2, 5, 5), (2, 2, 2, 2), (2,)))
    out, index = against_naive(fused.conv2d_relu_pool_forward, x, w, b, 1, 0, 2, 2)
    np.testing.assert_array_equal(index == 4, out == 0)
    assert 0 < np.sum(index == 4) < index.size
    check_backward(fused.conv2d_relu_pool_backward, 1 + out, x, w, index, 1, 0, 2, 2, terms=1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_pooled_is_what_would_be_normalized_before(dtype):
    """Exactly, with ties, for a constant channel and one that is not."""
    rng = np.random.default_rng(0)
    x, w, b = (rng.integers(-1, 2, shape).astype(dtype) for shape in ((3, 2, 5, 5), (3, 2, 2, 2), (3,)))
    w[2], gamma, beta = 0, np.array([0.3, -0.7, 1], dtype), np.array([0.1, 0.2, 0.3], dtype)
    out, index, *others = fused.conv2d_batchnorm_relu_pool_forward(x, w, b, gamma, beta, EPSILON, 1, 0, 2, 1)
    pre_norm, *rest = fused.conv2d_batchnorm_relu_forward(x, w, b, gamma, beta, EPSILON, 1, 0)
    expected, winners = pool2d.max_pool2d_forward(pre_norm, 2, 1)
    np.testing.assert_array_equal(out, expected, strict=True)
    np.testing.assert_array_equal(index, np.where(expected > 0, winners, 4).astype(np.uint8), strict=True)
    assert_same(others, rest)
    assert (index[:, 2] == 0).all() and (index == 4).any()


def test_an_index_of_more_than_a_byte():
    x, w, b, *_ = draw((1, 1, 15, 18), (1, 1, 1, 2), np.float32)
    for sign in (1, -1):
        arguments = x, w, sign * np.abs(b) * 100, 1, 0, (15, 17), 1
        out, index = against_naive(fused.conv2d_relu_pool_forward, *arguments, terms=3)
        assert (index.dtype, index.item() == 255) == (np.int32, sign < 0)
        against_naive(fused.conv2d_relu_pool_backward, 1 + out, x, w, index, *arguments[3:])


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_passes_forward_and_stops_backward(dtype):
    x, w, b = np.ones((1, 1, 4, 4), dtype), np.ones((1, 1, 1, 1), dtype), np.zeros(1, dtype)
    x[0, 0, 1, 1], x[0, 0, 2, 2], x[0, 0, 0, 2:] = np.nan, np.inf, -np.inf
    out, index = fused.conv2d_relu_pool_forward(x, w, b, 1, 0, 2, 2)
    np.testing.assert_array_equal(out, np.array([[[[np.nan, 1], [1, np.inf]]]], dtype), strict=True)
    np.testing.assert_array_equal(index, np.array([[[[4, 2], [0, 0]]]], np.uint8), strict=True)
    dx, _, db = fused.conv2d_relu_pool_backward(np.ones_like(out), np.ones_like(x), w, index, 1, 0, 2, 2)
    np.testing.assert_array_equal(np.argwhere(dx[0, 0]), [[1, 2], [2, 0], [2, 2]])
    np.testing.assert_array_equal(db, [3])


def test_gradients_are_the_numeric_ones():
    x, w, b, gamma, beta, *_ = draw((2, 1, 3, 3), (2, 1, 2, 2), np.float64)
    forward, backward, *_ = functions("conv2d_batchnorm_relu_pool")

    def result(_):
        return forward(x, w, b, gamma, beta, EPSILON, 1, 1, 2, 2)[0]

    out, index, pre_norm, *statistics = forward(x, w, b, gamma, beta, EPSILON, 1, 1, 2, 2)
    dout = gradient_like(out)
    dx, dw, _, *others = backward(dout, x, w, pre_norm, gamma, *statistics, EPSILON, index, 1, 1, 2, 2)
    for array, actual in zip((w, gamma, beta), (dw, *others), strict=True):
        assert rel_error(eval_numerical_gradient_array(result, array, dout), actual) < 1e-6
    expected = eval_numerical_gradient_array(result, x[:1, :, :2, 1:], dout)
    assert rel_error(expected, dx[:1, :, :2, 1:]) < 1e-6

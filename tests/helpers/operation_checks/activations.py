"""Inputs and checks of `activations`, for every backend and for the simulated GPU."""

import numpy as np

from fastnn import use_backend
from fastnn.kernels import activations
from fastnn.testing import against_naive, assert_same

ELEMENTWISE = ["relu", "leaky_relu", "elu", "sigmoid", "tanh", "gelu"]


def forward(name):
    return getattr(activations, f"{name}_forward")


def backward(name):
    return getattr(activations, f"{name}_backward")


def draw(shape, dtype, seed=0):
    """Draw normal numbers mixed with zeros, halves, NaN and large numbers."""
    generator = np.random.default_rng(seed)
    special = generator.choice([0.0, -0.0, 0.5, -1.0, np.nan, 40.0, -40.0, 1e4, -1e4], shape)
    return np.where(generator.random(shape) < 0.5, special, 2 * generator.standard_normal(shape)).astype(dtype)


AWKWARD = {
    "empty": lambda dtype: np.zeros((0, 3), dtype),
    "no axes": lambda dtype: np.array(-0.7, dtype),
    "one": lambda dtype: np.array([[1.3]], dtype),
    "strided": lambda dtype: draw((8, 9), dtype)[::2, ::-3],
    "Fortran order": lambda dtype: np.asfortranarray(draw((5, 7), dtype)),
    "around the kink": lambda dtype: np.array([0, -0.0, np.finfo(dtype).tiny, -np.finfo(dtype).tiny], dtype),
    "not numbers": lambda dtype: np.array([np.nan, 1, -1], dtype),
}


def check_nothing_overflows(dtype):
    largest = np.finfo(dtype).max
    x = np.array([largest, -largest, np.inf, -np.inf], dtype)
    assert activations.sigmoid_forward(x).tolist() == [1, 0, 1, 0]
    assert activations.tanh_forward(x).tolist() == [1, -1, 1, -1]
    assert activations.elu_forward(x).tolist() == [largest, -1, np.inf, -1]
    assert activations.elu_backward(np.ones_like(x), x).tolist() == [1, 0, 1, 0]
    assert activations.gelu_forward(x[:2]).tolist() == [largest, 0]
    assert activations.gelu_backward(np.ones(2, dtype), x[:2]).tolist() == [1, 0]


def check_small_results(dtype):
    small = np.geomspace(1e-30, 1e-3, 30).astype(dtype)
    far = -np.linspace(1, 9, 30).astype(dtype)
    for name, x in [("tanh", small), ("tanh", -small), ("elu", -small), ("sigmoid", far), ("gelu", far)]:
        with use_backend("naive"):
            expected = forward(name)(x.astype(np.float64))
        np.testing.assert_allclose(forward(name)(x), expected, rtol=100 * np.finfo(dtype).eps)


PRELU = [
    ((2, 3), 3),
    ((4, 3, 5, 2), 3),
    ((4, 3, 5), 1),
    ((5,), 1),
    ((), 1),
    ((0, 3, 2), 3),
    ((3, 0), 0),
    ((2, 1, 7), 1),
]


def check_prelu(shape, slopes, dtype):
    x = np.where(np.isnan(x := draw(shape, dtype)), 0, x)
    slope = np.linspace(-0.5, 0.7, slopes, dtype=dtype)
    assert against_naive(activations.prelu_forward, x, slope).shape == shape
    dout = np.linspace(-1, 2, x.size, dtype=dtype).reshape(shape)
    dx, dslope = against_naive(activations.prelu_backward, dout, x, slope, terms=x.size)
    assert (dx.shape, dslope.shape) == (shape, (slopes,))


def check_prelu_worked_by_hand():
    x = np.array([[-1.0, -2.0], [3.0, 0.0], [-4.0, np.nan]])
    slope, dout = np.array([0.5, 0.1]), np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    assert_same(activations.prelu_forward(x, slope), np.array([[-0.5, -0.2], [3, 0], [-2, np.nan]]))
    dx, dslope = activations.prelu_backward(dout, x, slope)
    assert_same(dx, np.array([[0.5, 0.2], [3, 0.4], [2.5, 0.6]]))
    assert_same(dslope, np.array([-21, np.nan]))
    assert_same(activations.prelu_backward(dout[:2], x[:2], [0.5])[1], np.array([-5.0]))


def check_maxout(shape, pieces, dtype, seed=0):
    x = draw((shape[0], shape[1] * pieces, *shape[2:]), dtype, seed)
    out, index = against_naive(activations.maxout_forward, x, pieces)
    assert out.shape == index.shape == shape
    assert index.dtype == np.uint8
    against_naive(activations.maxout_backward, out, index, pieces)
    against_naive(activations.maxout_backward, np.asfortranarray(out), index.astype(np.int64), pieces)


def check_maxout_worked_by_hand():
    x = np.array([[1.0, 5.0, 5.0, 2.0, 2.0, 2.0], [np.nan, 7.0, np.nan, -1.0, -3.0, np.nan]])
    out, index = activations.maxout_forward(x, 3)
    np.testing.assert_array_equal(out, [[5, 2], [np.nan, np.nan]])
    assert index.dtype == np.uint8
    assert index.tolist() == [[1, 0], [0, 2]]
    dx = activations.maxout_backward(np.array([[1.0, 2.0], [3.0, 4.0]]), index, 3)
    assert dx.tolist() == [[0, 1, 0, 2, 0, 0], [3, 0, 0, 0, 0, 4]]


def check_maxout_of_256_pieces():
    x = np.eye(256)[[255, 0]]
    out, index = activations.maxout_forward(x, 256)
    assert (out.tolist(), index.tolist()) == ([[1], [1]], [[255], [0]])
    assert_same(activations.maxout_backward(out, index, 256), x)

"""`activations` on the simulated GPU."""

import numpy as np
import pytest
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

from fastnn.gradient_check import eval_numerical_gradient_array, rel_error
from fastnn.kernels import activations
from fastnn.testing import against_naive

DTYPES = [np.float32, np.float64]
# the simulator computes with NumPy scalars, which warn
pytestmark = pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
ARRAYS = AWKWARD | {
    "primes": lambda dtype: draw((3, 5, 7), dtype),
    "far from it": lambda dtype: np.array([np.inf, -np.inf, 80, -80, 1000, -1000, 1e30, -1e30], dtype),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize("make", ARRAYS.values(), ids=ARRAYS)
def test_against_the_loops(name, make, dtype):
    x = make(dtype)
    against_naive(forward(name), x)
    seen = np.tanh(x) if name in ("sigmoid", "tanh") else x
    against_naive(backward(name), np.linspace(-1, 2, x.size, dtype=dtype).reshape(x.shape), seen)


@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_of_their_own(dtype):
    x, dout = draw((6, 7), dtype, seed=1), draw((6, 7), dtype, seed=2)
    for number in (0.3, -2, 0):
        for name in ("leaky_relu", "elu"):
            against_naive(forward(name), x, number)
            against_naive(backward(name), dout, x, number)


@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_overflows(dtype):
    check_nothing_overflows(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_small_results_keep_their_relative_accuracy(dtype):
    check_small_results(dtype)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_gradients_are_the_numeric_ones(name):
    x = np.array([-3.1, -1.0, -0.2, 0.3, 1.7, 4.0])
    dout, seen = np.linspace(1, 2, x.size), forward(name)(x) if name in ("sigmoid", "tanh") else x
    expected = eval_numerical_gradient_array(forward(name), x, dout)
    assert rel_error(backward(name)(dout, seen), expected) < 1e-8


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "slopes"), [*PRELU, ((2, 37), 37)])
def test_prelu_against_the_loops(shape, slopes, dtype):
    check_prelu(shape, slopes, dtype)


def test_prelu_of_nan():
    check_prelu_worked_by_hand()


def test_gradients_of_slopes_are_summed_in_float64():
    x = np.full((3, 1), -1, np.float32)
    dout = np.array([[1e8], [1], [-1e8]], np.float32)
    assert activations.prelu_backward(dout, x, np.ones(1, np.float32))[1] == -1


def test_gradients_of_prelu_are_the_numeric_ones():
    x, slope = np.array([[-3.1, -1.0, 0.3], [0.7, -0.2, 4.0]]), np.array([0.2, -0.3, 0.5])
    dout = np.linspace(1, 2, x.size).reshape(x.shape)
    dx, dslope = activations.prelu_backward(dout, x, slope)
    assert rel_error(dx, eval_numerical_gradient_array(lambda x: activations.prelu_forward(x, slope), x, dout)) < 1e-8
    expected = eval_numerical_gradient_array(lambda slope: activations.prelu_forward(x, slope), slope, dout)
    assert rel_error(dslope, expected) < 1e-8


MAXOUT = [((3, 2), 1), ((2, 5), 3), ((2, 3, 5), 2), ((1, 2, 3, 2), 5), ((0, 3), 2), ((2, 0, 3), 2), ((2, 3, 0), 2)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "pieces"), MAXOUT)
def test_maxout_against_the_loops(shape, pieces, dtype):
    check_maxout(shape, pieces, dtype)


def test_maxout_of_ties_and_nan():
    check_maxout_worked_by_hand()


def test_maxout_of_256_pieces():
    check_maxout_of_256_pieces()

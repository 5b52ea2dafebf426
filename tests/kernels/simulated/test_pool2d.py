"""`pool2d` on the simulated GPU."""

import numpy as np
import pytest
from operation_checks.pool2d import RNG, check_overlapping_padded_max_worked_by_hand, check_the_first_nan_wins, draw

import fastnn
from fastnn.gradient_check import eval_numerical_gradient_array
from fastnn.kernels.pool2d import (
    avg_pool2d_backward,
    avg_pool2d_forward,
    global_avg_pool2d_backward,
    global_avg_pool2d_forward,
    max_pool2d_backward,
    max_pool2d_forward,
)
from fastnn.testing import against_naive

DTYPES = [np.float32, np.float64]
GEOMETRIES = [
    ((1, 1, 1, 1), 1, 1, 0),
    ((0, 3, 4, 4), 2, 2, 0),
    ((2, 0, 4, 4), 2, 2, 0),
    ((2, 3, 6, 4), 2, 2, 0),
    ((1, 2, 7, 5), 3, 2, 1),
    ((2, 2, 5, 7), (2, 3), (1, 2), (1, 0)),
    ((1, 2, 7, 11), (3, 4), (2, 3), (0, 2)),  # rows at the end that no window reaches
    ((1, 1, 7, 8), 2, 3, 0),  # elements between windows
    ((2, 1, 5, 5), 5, 1, 2),
    ((1, 3, 5, 5), (2, 1), (3, 4), (1, 0)),
    ((1, 1, 4, 4), 2, 2**40, 1),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "size", "stride", "pad"), GEOMETRIES, ids=str)
def test_max(shape, size, stride, pad, dtype):
    for kind in ("normal", "whole", "special"):
        x = draw(shape, dtype, kind)
        out, index = max_pool2d_forward(x, size, stride, pad)
        with fastnn.use_backend("naive"):
            expected = max_pool2d_forward(x, size, stride, pad)
        np.testing.assert_array_equal(out, expected[0], strict=True)
        np.testing.assert_array_equal(np.signbit(out), np.signbit(expected[0]))
        np.testing.assert_array_equal(index, expected[1], strict=True)
    dout = draw(out.shape, dtype)
    against_naive(max_pool2d_backward, dout, index, shape, size, stride, pad, terms=9)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "size", "stride", "pad"), GEOMETRIES, ids=str)
def test_avg(shape, size, stride, pad, dtype):
    out = against_naive(avg_pool2d_forward, draw(shape, dtype), size, stride, pad, terms=25)
    against_naive(avg_pool2d_backward, draw(out.shape, dtype), shape, size, stride, pad, terms=25)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (0, 3, 4, 5), (2, 0, 4, 5), (3, 2, 1, 7), (2, 3, 5, 3)], ids=str)
def test_global_avg(shape, dtype):
    out = against_naive(global_avg_pool2d_forward, draw(shape, dtype), terms=15)
    against_naive(global_avg_pool2d_backward, out, shape)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_avg_propagates_nan_and_infinity(special):
    x = draw((1, 1, 5, 7), np.float32)
    x[0, 0, [0, 3], [6, 2]] = special, -special
    for window in ((2, 2, 0), (3, 1, 1)):
        out = against_naive(avg_pool2d_forward, x, *window, terms=9)
        against_naive(avg_pool2d_backward, out, x.shape, *window, terms=9)
    against_naive(global_avg_pool2d_backward, against_naive(global_avg_pool2d_forward, x), x.shape)


def test_overlapping_padded_max_worked_by_hand():
    check_overlapping_padded_max_worked_by_hand()


def test_the_first_of_equal_elements_and_the_first_nan_win():
    _, index = max_pool2d_forward(np.full((1, 1, 2, 2), -np.inf), 2, 1, 1)
    np.testing.assert_array_equal(index, [[[[3, 2, 2], [1, 0, 0], [1, 0, 0]]]])
    check_the_first_nan_wins(np.float32)


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_index_of_32_bits(dtype):
    x = draw((1, 1, 16, 17), dtype)
    out, index = max_pool2d_forward(x, (15, 17), 1)
    assert index.dtype == np.int32
    np.testing.assert_array_equal(index, [[[[np.argmax(x[0, 0, :15])], [np.argmax(x[0, 0, 1:])]]]])
    against_naive(max_pool2d_backward, out, index, x.shape, (15, 17), 1)


@pytest.mark.parametrize(("size", "stride", "pad"), [((2, 2), (2, 2), (1, 1)), ((4, 3), (1, 2), (2, 1))], ids=str)
def test_none_and_positions_outside_the_image_pass_no_gradient(size, stride, pad):
    shape = (1, 2, 4, 5)
    out = max_pool2d_forward(draw(shape, np.float64), size, stride, pad)[0]
    for place in range(size[0] * size[1] + 1):
        dout = np.full(out.shape, np.nan) if place == size[0] * size[1] else draw(out.shape, np.float64)
        against_naive(max_pool2d_backward, dout, np.full(out.shape, place), shape, size, stride, pad, terms=4)


def test_overlapping_gradients_are_added_in_the_order_of_the_loops():
    index = RNG.integers(0, 9, (1, 2, 5, 5)).astype(np.uint8)
    dout = draw(index.shape, np.float32)
    actual = max_pool2d_backward(dout, index, (1, 2, 5, 5), 3, 1, 1), avg_pool2d_backward(dout, (1, 2, 5, 5), 3, 1, 1)
    with fastnn.use_backend("naive"):
        expected = (
            max_pool2d_backward(dout, index, (1, 2, 5, 5), 3, 1, 1),
            avg_pool2d_backward(dout, (1, 2, 5, 5), 3, 1, 1),
        )
    np.testing.assert_array_equal(actual, expected)


def test_gradients_are_those_of_the_forward_passes():
    x = RNG.permutation(40).reshape(1, 2, 4, 5) / 4.0  # no two elements are so close that h changes their order
    out, index = max_pool2d_forward(x, 3, 2, 1)
    dout = draw(out.shape, np.float64)
    for forward, actual in (
        (lambda x: max_pool2d_forward(x, 3, 2, 1)[0], max_pool2d_backward(dout, index, x.shape, 3, 2, 1)),
        (lambda x: avg_pool2d_forward(x, 3, 2, 1), avg_pool2d_backward(dout, x.shape, 3, 2, 1)),
    ):
        expected = eval_numerical_gradient_array(forward, x, dout)
        np.testing.assert_allclose(actual, expected, rtol=1e-8, atol=1e-9)
    dout = draw((1, 2), np.float64)
    expected = eval_numerical_gradient_array(global_avg_pool2d_forward, x, dout)
    np.testing.assert_allclose(global_avg_pool2d_backward(dout, x.shape), expected, rtol=1e-8, atol=1e-9)

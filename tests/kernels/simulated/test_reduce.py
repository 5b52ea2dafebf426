"""Block reductions of any shape and length, in one part or several."""

import numpy as np
import pytest

from fastnn.kernels.gpu import normalize, reduce
from fastnn.kernels.gpu.launch import Kernel, cuda
from fastnn.kernels.gpu.memory import on_device, writing
from fastnn.kernels.gpu.reduce import MEMBERS, SHORTEST, THREADS, warp_max, warp_sum
from fastnn.kernels.gpu.warp import WARP, exchange

from .launching import launch

add_up = writing("out")(reduce.add_up)
total, total_of_squares = on_device(reduce.total), on_device(reduce.total_of_squares)
batch_statistics = on_device(normalize.batch_statistics)

DTYPES = [np.float32, np.float64]
LONG = THREADS * SHORTEST
SHAPES = [
    *((1, 1, length) for length in (0, 1, WARP - 1, WARP, WARP + 1, THREADS - 1, THREADS, THREADS + 1, LONG, 3 * LONG)),
    *((1, 1, 5 * LONG + 7), (3, 1, 2 * LONG + 1), (2, 2, 2 * LONG), (67, 3, 11)),  # in parts, of one sum and of several
    *((0, 3, 1), (1, 5, 1), (7, 31, 1), (7, 32, 1), (7, 33, 1), (5, 2, 7), (2, 3, 0), (4, 0, 2)),
    *((3 * MEMBERS * SHORTEST + 1, 2, 1), (101, 40, 1), (1, 70, 3)),  # where adjacent elements belong to different sums
]


def whole_numbers(shape, dtype):
    return np.random.default_rng(0).integers(-9, 10, shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sums_of_whole_numbers_are_exact(shape, dtype):
    x, out = whole_numbers(shape, dtype), np.full(shape[1], np.nan, dtype)
    add_up(x, shape, out)
    np.testing.assert_array_equal(out, x.sum(axis=(0, 2)))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_element_is_added_once_to_its_own_sum(shape):
    """With powers of two, the sum shows which element is missing, doubled or added elsewhere."""
    x, expected = np.zeros(shape), np.zeros(shape[1])
    for place in range(0, x.size, max(1, x.size // 12)):
        x.flat[place] = 1 + place
        expected[np.unravel_index(place, shape)[1]] += 1 + place
    out = np.full(shape[1], np.nan)
    add_up(x, shape, out)
    np.testing.assert_array_equal(out, expected)


def test_long_sums_are_more_accurate_than_sequential_ones():
    x = np.full(5 * LONG, 0.1, np.float32)
    out, walked = np.empty(1, np.float32), np.float32(0)
    add_up(x, (1, 1, x.size), out)
    for value in x:
        walked += value
    assert abs(out[0] - 0.5 * LONG) < abs(walked - 0.5 * LONG)


def test_totals():
    assert total(np.arange(101.0)) == 5050 and total(np.empty(0)) == 0
    arrays = [whole_numbers(size, dtype) for size in (0, 1, 33, 4 * LONG + 5) for dtype in DTYPES]
    assert total_of_squares(arrays) == sum(np.sum(array.astype(float) ** 2) for array in arrays)
    assert total_of_squares([np.empty(0)]) == 0


def _in_five_exchanges(x, sums, largest):
    i = cuda.threadIdx.x
    value = x[i]
    for step in (16, 8, 4, 2, 1):
        value += exchange(value, step)
    sums[i] = value
    value = x[i]
    for step in (16, 8, 4, 2, 1):
        value = max(value, exchange(value, step))
    largest[i] = value


def _at_once(x, sums, largest):
    i = cuda.threadIdx.x
    sums[i] = warp_sum(x[i])
    largest[i] = warp_max(x[i])


@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_in_step_equal_their_shuffles(dtype):
    x = np.random.default_rng(0).standard_normal(THREADS).astype(dtype)
    expected, actual = np.empty((2, THREADS), dtype), np.empty((2, THREADS), dtype)
    launch(Kernel(_in_five_exchanges, THREADS), 1, x, *expected)
    launch(Kernel(_at_once, THREADS), 1, x, *actual)
    np.testing.assert_array_equal(actual, expected)
    np.testing.assert_array_equal(actual[1], x.reshape(-1, WARP).max(axis=1).repeat(WARP))


@pytest.mark.parametrize("lane", [0, 1, 17, 31])
def test_the_largest_of_a_warp_is_nan_if_there_is_one(lane):
    x, out = np.arange(float(WARP)), np.empty((2, WARP))
    x[lane] = np.nan
    launch(Kernel(_at_once, WARP), 1, x, *out)
    assert np.isnan(out).all()


@pytest.mark.parametrize("shape", [(1, 1, 4 * LONG + 3), (2, 2, LONG), (50, 3, 2)], ids=str)
def test_mean_and_variance_of_parts_are_joined(monkeypatch, shape):
    x = 1e6 + np.random.default_rng(0).standard_normal(shape)
    x[0] += 5
    mean, var = batch_statistics(x)
    np.testing.assert_allclose(mean, x.mean(axis=(0, 2)), rtol=1e-15)
    np.testing.assert_allclose(var, x.var(axis=(0, 2)), rtol=1e-9)
    monkeypatch.setattr(reduce, "BLOCKS", 1)
    whole = batch_statistics(x)
    np.testing.assert_allclose(var, whole[1], rtol=1e-9)

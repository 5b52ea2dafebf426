"""Many arrays in one launch."""

import numpy as np
import pytest

from fastnn.kernels.gpu import multi_tensor
from fastnn.kernels.gpu.launch import BLOCK, Kernel, cuda
from fastnn.kernels.gpu.memory import to_device, to_host
from fastnn.kernels.gpu.multi_tensor import CHUNK, own_chunk, run, update


def _scale(memory, chunks, table, numbers):
    row, begin, end = own_chunk(chunks, table, 2)
    x, y = table[3 * row + 1], table[3 * row + 2]
    for i in range(begin + cuda.threadIdx.x, end, BLOCK):
        memory[y + i] = numbers[2 * row] * memory[x + i] + numbers[2 * row + 1]


class Counted(Kernel):
    """A kernel that counts its launches."""

    launches = 0

    def launch(self, blocks, *arguments):
        self.launches += 1
        super().launch(blocks, *arguments)


@pytest.fixture
def scale():
    return Counted(_scale)


def expected(x, numbers):
    return [factor * values + term for values, (factor, term) in zip(x, numbers, strict=True)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_of_any_size_in_one_launch(scale, dtype):
    sizes = [1, 0, BLOCK - 1, BLOCK + 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7, 0]
    rng = np.random.default_rng(0)
    x = [rng.integers(-9, 10, size).astype(dtype) for size in sizes]
    y, numbers = [np.full_like(values, np.nan) for values in x], [(place, -place) for place in range(len(x))]
    update(scale, (x, y), 1, numbers)
    for one, other in zip(y, expected(x, numbers), strict=True):
        np.testing.assert_array_equal(one, other)
    assert scale.launches == 1


def test_no_elements_at_all(scale):
    update(scale, ([], []), 1, [])
    update(scale, ([np.empty(0)], [np.empty((0, 3))]), 1, [(1, 2)])
    assert list(scale.signatures) == []


def test_arrays_on_either_side_of_the_first(scale):
    memory = to_device(np.array([[9.0] * 5, [1, 2, 3, 4, 5], [0] * 5]))
    run(scale, [(memory[1], memory[0])], [(2, 1)])
    assert to_host(memory).tolist() == [[3, 5, 7, 9, 11], [1, 2, 3, 4, 5], [0] * 5]


def test_in_place(scale):
    x = [np.ones(3), np.ones(4)]
    update(scale, (x, x), 1, [(2, 0), (3, 0)])
    assert [values.tolist() for values in x] == [[2] * 3, [3] * 4] and scale.launches == 1


def test_rows_that_share_memory_are_launched_one_by_one(scale):
    x = np.arange(4.0)
    update(scale, ([x, x[1:]], [x, x[1:]]), 1, [(2, 0), (10, 1)])
    assert x.tolist() == [0, 21, 41, 61] and scale.launches == 2


def test_rows_of_two_dtypes_are_launched_one_by_one(scale):
    x = [np.ones(3, np.float32), np.ones(2)]
    update(scale, (x, x), 1, [(2, 0), (3, 0)])
    assert [values.tolist() for values in x] == [[2] * 3, [3] * 2] and scale.launches == 2


def test_a_replayed_launch_reads_new_numbers(scale, monkeypatch):
    """As in a CUDA graph: the same addresses, with new numbers in the same memory."""
    recorded = []
    monkeypatch.setattr(scale, "launch", lambda *arguments: recorded.append(arguments))
    x, y = to_device(np.ones(3)), to_device(np.zeros(3))
    for numbers in ((2, 0), (5, 1)):
        run(scale, [(x, y)], [numbers])
    (blocks, first, *others), (_, _, *again) = recorded
    assert all(one is other for one, other in zip(others, again, strict=True))
    Kernel.launch(scale, blocks, first, *others)
    assert to_host(y).tolist() == [6, 6, 6]


def test_numbers_too_large_for_the_arrays_are_infinite(scale):
    x, y = np.ones(1, np.float32), np.zeros(1, np.float32)
    update(scale, ([x], [y]), 1, [(1e39, 0)])
    assert y.tolist() == [np.inf]


def test_tables_are_cached(scale):
    x, y = to_device(np.ones(3)), to_device(np.zeros(3))
    multi_tensor._table.cache_clear()
    for _ in range(3):
        run(scale, [(x, y)], [(1, 1)])
    assert multi_tensor._table.cache_info()[:2] == (2, 1)

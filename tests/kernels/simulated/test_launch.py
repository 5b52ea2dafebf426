"""Launching kernels, and index computations in kernels."""

import numpy as np
import pytest
from numba import cuda

from fastnn.kernels.gpu.launch import BLOCK, Kernel, split, windows_over
from fastnn.kernels.gpu.memory import to_device, to_host


def _note(count, length, quotients, rests):
    i = cuda.grid(1)
    if i < count:
        quotients[i], rests[i] = split(i, length)


@pytest.mark.parametrize("count", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK])
def test_every_thread_runs_once_and_splits_its_number(count):
    kernel = Kernel(_note, variant=f"of {count}")
    placed = [to_device(np.full(count + 1, -1, np.int32)) for _ in range(2)]
    kernel(count, count, 7, *placed)
    quotients, rests = map(to_host, placed)
    np.testing.assert_array_equal(quotients[:count] * 7 + rests[:count], np.arange(count))
    assert (rests[:count] < 7).all() and quotients[count] == rests[count] == -1
    assert list(kernel.signatures) == [("i4", "i4", "*i4", "*i4")] * (count > 0)


@pytest.mark.parametrize("number", [1 << 31, -(1 << 31) - 1])
def test_a_number_that_is_too_large(number):
    with pytest.raises(ValueError, match=rf"_note: {number} does not fit 32 bits; expected fewer than 2\*\*31"):
        Kernel(_note, variant="too large")(1, number, 7, np.zeros(1, np.int32), np.zeros(1, np.int32))


@pytest.mark.parametrize(("length", "stride", "count"), [(3, 1, 5), (2, 2, 4), (3, 2, 4), (2, 5, 3), (1, 1, 1)])
def test_windows_over_a_position(length, stride, count):
    for place in range((count - 1) * stride + length + 2):
        first, past = windows_over(place, length, stride, count)
        expected = [i for i in range(count) if i * stride <= place < i * stride + length]
        assert [*range(first, past)] == expected

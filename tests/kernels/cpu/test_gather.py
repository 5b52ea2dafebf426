"""Rows of batches that several threads copy are those that NumPy would copy."""

import os

import numpy as np
import pytest

from fastnn.data_utils import rows as data_rows

gather = pytest.importorskip("fastnn.kernels.cpu.gather", reason="the backend njit needs numba")
import fastnn  # noqa: E402
from fastnn.kernels.cpu import threads  # noqa: E402

compiled = pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="uncompiled kernels copy nothing")


@pytest.fixture
def copied(monkeypatch):
    """The number of launches so far."""
    launches, kernel = [], gather._copy_rows
    monkeypatch.setattr(gather, "_copy_rows", lambda *given: launches.append(1) or kernel(*given))
    return launches


@compiled
@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int16, bool])
def test_rows_in_order_and_repeated(dtype, number, copied):
    rng = np.random.default_rng(0)
    array = rng.integers(0, 2, (50, 3, 32, 32)).astype(dtype)
    rows = rng.integers(-50, 50, 400)
    with threads.use_num_threads(number), fastnn.use_backend("njit"):
        np.testing.assert_array_equal(data_rows.rows(array, rows), array[rows], strict=True)
    assert copied


def unaligned(array):
    """The same numbers at an address that is not a multiple of eight."""
    memory = np.zeros(array.nbytes + 12, np.uint8)
    first = (4 - memory.ctypes.data) % 8
    moved = memory[first : first + array.nbytes].view(array.dtype).reshape(array.shape)
    moved[...] = array
    return moved


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


OTHERS = {
    "few bytes": lambda array, rows: (array, rows[:3]),
    "no whole words": lambda array, rows: (np.ascontiguousarray(array[:, :1023]), rows),
    "strided": lambda array, rows: (array[:, ::2], rows),
    "rows of another type": lambda array, rows: (array, rows.astype(np.int32)),
    "a mask": lambda array, rows: (array, np.isin(np.arange(len(array)), rows)),
    "two axes": lambda array, rows: (array, rows.reshape(2, -1)),
    "a slice": lambda array, rows: (array, slice(3, 90)),
    "unaligned": lambda array, rows: (unaligned(array), rows),
    "read-only": lambda array, rows: (read_only(array), rows),
    "foreign bytes": lambda array, rows: (array.astype(">f4"), rows),
    "complex": lambda array, rows: (array.astype(np.complex64), rows),
    "no rows": lambda array, rows: (array, rows[:0]),
    "empty rows": lambda array, rows: (array[:, :0], rows),
}


@pytest.mark.parametrize("other", OTHERS)
def test_numpy_copies_what_the_kernel_does_not(other, copied):
    array, rows = OTHERS[other](np.arange(100 * 1024, dtype=np.float32).reshape(100, 1024), np.arange(100)[::-1].copy())
    with fastnn.use_backend("njit"):
        np.testing.assert_array_equal(data_rows.rows(array, rows), array[rows], strict=True)
    assert not copied


@pytest.mark.parametrize("row", [100, -101])
def test_a_row_that_does_not_exist_raises_as_in_numpy(row):
    array, rows = np.zeros((100, 1024), np.float32), np.zeros(100, np.int64)
    rows[70] = row
    with fastnn.use_backend("njit"), pytest.raises(IndexError, match=f"index {row} is out of bounds"):
        data_rows.rows(array, rows)

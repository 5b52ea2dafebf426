"""Rows of an array, copied on all threads: the images of a batch."""

import numpy as np

from . import threads

LARGE = 1 << 18  # bytes of rows from which on several threads copy them: NumPy takes less than a launch for fewer
GRAIN = 8  # minimum rows of a part
WORD = np.dtype(np.uint64)  # rows of all dtypes are copied as such words, so that the kernel is compiled once

U = np.uintp


def take(array: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return array[rows] for one axis of integers; small results, and what is not made of whole words, by NumPy."""
    length = array[:1].nbytes
    if rows.ndim != 1 or length * len(rows) < LARGE or length % WORD.itemsize or not _is_plain(array, rows):
        return array[rows]
    out, status = np.empty((len(rows), *array.shape[1:]), array.dtype), np.zeros(1, np.int64)
    _copy_rows(len(rows), length // WORD.itemsize, _words(array), rows, _words(out), status)
    return array[rows] if status[0] else out  # NumPy's error


def _is_plain(array: np.ndarray, rows: np.ndarray) -> bool:
    """Whether the kernel, which is compiled for the usual kinds of arrays, can read these."""
    flags, of_rows = array.flags, rows.flags
    is_usual = flags.c_contiguous and flags.writeable and of_rows.c_contiguous and of_rows.writeable
    return bool(
        threads.IS_COMPILED
        and is_usual
        and type(array) is np.ndarray
        and array.dtype.kind in "fiub"
        and array.dtype.isnative
        and array.ctypes.data % WORD.itemsize == 0
        and rows.dtype == np.int64
        and of_rows.aligned
    )


def _words(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1).view(WORD)


@threads.parallel(GRAIN)
def _copy_rows(start, stop, length, source, rows, out, status):
    """Copy rows of `length` words; a position beyond the rows sets the status."""
    count = source.size // length
    for i in range(start, stop):
        row = rows[i] + count if rows[i] < 0 else rows[i]
        if row < 0 or row >= count:
            status[0] = 1
            continue
        target, origin = U(i * length), U(row * length)
        for j in range(U(length)):
            out[target + j] = source[origin + j]

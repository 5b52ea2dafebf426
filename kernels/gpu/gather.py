"""Gather rows of an array by index, such as the images of a batch; each thread copies one element."""

from numba import cuda

from .launch import kernel, split
from .memory import xp


def take(array, rows):
    """Return array[rows] for device arrays; rows out of range are not checked and give arbitrary values."""
    array, rows = xp.ascontiguousarray(array), xp.ascontiguousarray(rows)
    length = array.size // max(1, len(array))
    out = xp.empty((len(rows), *array.shape[1:]), array.dtype)
    _take(out.size, out.size, array.size, length, array, rows, out)
    return out


@kernel
def _take(count, size, length, array, rows, out):
    i = cuda.grid(1)
    if i < count:
        row, column = split(i, length)
        source = rows[row] * length + column
        if 0 <= source < size:
            out[i] = array[source]

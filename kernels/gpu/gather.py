"""Rows of an array, such as the images of a batch: each thread copies an element."""

from numba import cuda

from .launch import kernel, split
from .memory import xp


def take(array, places):
    """array[places], for integers `places` in the memory of the GPU, which are not checked."""
    length = array.size // max(1, len(array))
    out = xp.empty((len(places), *array.shape[1:]), array.dtype)
    _take(out.size, out.size, array.size, length, array, places, out)
    return out


@kernel
def _take(count, size, length, array, places, out):
    i = cuda.grid(1)
    if i < count:
        row, place = split(i, length)
        source = places[row] * length + place
        if 0 <= source < size:
            out[i] = array[source]

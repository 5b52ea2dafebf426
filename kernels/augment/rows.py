"""Rows of an array in memory, such as the images of a batch, which a fast backend copies on all threads."""

import numpy as np

from . import _variant

_FEW = 1 << 17  # bytes below which NumPy is as quick


def take(array, positions):
    """Return array[positions], a copy, for a NumPy array and an array of integers (count,)."""
    copy = vars(_variant()).get("_take_rows")  # a variant in `_Quiet`, or of another package, has none
    if (
        copy is None
        or type(array) is not np.ndarray
        or type(positions) is not np.ndarray
        or positions.dtype != np.int64
        or positions.ndim != 1
        or array.dtype.kind not in "biuf"
        or array.ndim < 2
        or len(array) == 0
        or len(positions) * array.strides[0] < _FEW
        or not (array.flags.carray and positions.flags.carray)
        or positions.view(np.uint64).max() >= len(array)  # negative ones too
    ):
        return array[positions]
    out = np.empty((len(positions), *array.shape[1:]), array.dtype)
    copy(array.reshape(-1).view(np.uint8), positions, out.reshape(-1).view(np.uint8))
    return out

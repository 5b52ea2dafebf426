"""What an array is: NumPy arrays of float32 or float64. The one place that knows about array types and dtypes."""

from collections.abc import Iterable
from typing import Any

import numpy as np


def asarray(value: Any) -> np.ndarray:
    """`value` as an array, without a copy where it is one already."""
    return np.asarray(value)


def common_dtype(given: Iterable[np.ndarray]) -> np.dtype:
    """The dtype to compute in: that of the floating arrays, float64 where they differ or where there are none."""
    kinds = {array.dtype for array in given if array.dtype.kind == "f"}
    if any(not dtype.isnative for dtype in kinds):
        kinds = {dtype.newbyteorder("=") for dtype in kinds}
    return kinds.pop() if len(kinds) == 1 else np.dtype(np.float64)


def contiguous(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """`array` as C-contiguous memory of `dtype`; itself where it is that already.

    Also aligned and writeable, though nobody writes: for other memory numba would compile every kernel anew.
    """
    if array.dtype == dtype and array.flags.carray:
        return array
    return np.require(array, dtype, ("C", "A", "W"))


def to_numpy(array: Any) -> np.ndarray:
    """`array` in host memory, for pictures, files and comparisons."""
    return np.asarray(array)

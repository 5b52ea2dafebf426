"""Rows of data sets in memory or in files.

Files are read in slices, one for each run of neighbouring rows, since h5py is much slower with a list of rows.
"""

from typing import Any

import numpy as np

from fastnn.kernels.dispatch import arrays, validation


def array_or_file(function: str, name: str, value: Any) -> Any:
    """Convert a list, tensor or table in memory to an array; return a data set in a file unchanged.

    Data sets in files have a NumPy dtype or none, do not support DLPack, and are read by slices.
    """
    dtype = getattr(value, "dtype", None)
    is_foreign = not (dtype is None or isinstance(dtype, np.dtype)) and hasattr(value, "__array__")
    in_memory = is_foreign or hasattr(value, "__dlpack__") or hasattr(value, "iloc")  # iloc: pandas
    if in_memory or is_in_memory(value) or isinstance(value, (list, tuple)):
        return validation.array(function, name, value)
    return value


def rows(array: Any, positions: Any) -> np.ndarray:
    """Return the rows at `positions` (integers, with repetitions, or a slice), in that order.

    Each of these rows is read once from a data set in a file, in ascending order.
    """
    if isinstance(array, np.ndarray):
        return arrays.take(array, positions)
    if isinstance(positions, slice):
        return _read(array, positions)
    if arrays.is_on_device(array):
        return arrays.take(array, positions)
    ascending, inverse = np.unique(positions, return_inverse=True)
    return ascending_rows(array, ascending)[inverse]


def ascending_rows(array: Any, positions: np.ndarray) -> np.ndarray:
    """The rows of a data set at ascending positions."""
    runs = np.split(positions, np.flatnonzero(np.diff(positions) != 1) + 1)
    return np.concatenate([_read(array, slice(int(run[0]), int(run[-1]) + 1)) for run in runs])


def _read(array: Any, part: slice) -> Any:
    """A slice of a data set, as an array."""
    return validation.array("data", f"the slice [{part.start}:{part.stop}]", array[part])


def is_in_memory(array: Any) -> bool:
    """Whether `array` is an array, not a data set in a file."""
    return isinstance(array, np.ndarray) or arrays.is_on_device(array)

"""Arrays in the memory of a GPU, for loops of your own: a Solver moves what it trains with by itself."""

from typing import Any

import numpy as np

from fastnn.kernels import arrays, calls
from fastnn.kernels.arrays import Transfers

from . import arguments

__all__ = ["to_device", "to_numpy", "transfers"]


@calls.checked
def to_device(array: Any) -> Any:
    """The array where the active backend computes: on cuda in a GPU's memory, else as one of NumPy's.

    What is there already is returned as it is. Kernels return arrays of the GPU where they are given one.
    Raises TypeError for what is no array of real numbers.
    """
    return arrays.to_device(arguments.real("to_device", "array", array))


@calls.checked
def to_numpy(array: Any) -> np.ndarray:
    """The array in the host's memory, as one of NumPy's. Raises TypeError for what is no array of real numbers."""
    return arrays.to_numpy(arguments.real("to_numpy", "array", array))


def transfers() -> Transfers:
    """The bytes that fastnn moved to a GPU and from it in this process: (to_device, to_host)."""
    return arrays.transfers()

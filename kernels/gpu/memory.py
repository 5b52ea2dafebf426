"""Arrays for the kernels: CuPy's on a GPU, NumPy's in the simulator."""

import functools
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from .driver import SIMULATED

xp: Any = np if SIMULATED else importlib.import_module("cupy")


def to_device(array: np.ndarray) -> Any:
    """The array in the GPU's memory."""
    return xp.asarray(array)


def to_host(array: Any) -> np.ndarray:
    """The array in the host's memory."""
    return array if SIMULATED or isinstance(array, np.ndarray) else xp.asnumpy(array)


def on_device(function: Callable) -> Callable:
    """A variant's function, which takes and returns arrays of the GPU, as the contracts call it: with NumPy's."""
    if SIMULATED:
        return function

    @functools.wraps(function)
    def moved(*arguments: Any) -> Any:
        return _each(function(*_each(arguments, np.ndarray, to_device)), xp.ndarray, to_host)

    return moved


def _each(values: Any, kind: type, change: Callable) -> Any:
    if isinstance(values, tuple):
        return tuple(_each(value, kind, change) for value in values)
    return change(values) if isinstance(values, kind) else values

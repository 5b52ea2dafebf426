"""Arrays for the kernels: CuPy's on a GPU, NumPy's in the simulator."""

import functools
import importlib
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from .driver import SIMULATED


class _CuPy:
    """CuPy, imported when the first array is asked for: kernels are compiled without it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module("cupy"), name)


xp: Any = np if SIMULATED else _CuPy()


def to_device(array: np.ndarray) -> Any:
    """The array in the GPU's memory."""
    return xp.asarray(array)


def to_host(array: Any) -> np.ndarray:
    """The array in the host's memory."""
    return array if SIMULATED or isinstance(array, np.ndarray) else xp.asnumpy(array)


def on_device(function: Callable) -> Callable:
    """A variant's function, for arrays of the GPU, called with NumPy's as well: then it returns NumPy's.

    One such function that calls another hands on arrays of the GPU, and what comes back has not left it.
    """
    return writing()(function)


def writing(*names: str) -> Callable[[Callable], Callable]:
    """`on_device` for a function that writes into its arguments of these names: NumPy's get what was written."""

    def decorate(function: Callable) -> Callable:
        if SIMULATED:
            return function
        places = [list(inspect.signature(function).parameters).index(name) for name in names]

        @functools.wraps(function)
        def moved(*arguments: Any) -> Any:
            placed = _each(arguments, np.ndarray, to_device)
            results = function(*placed)
            for place in places:
                if isinstance(arguments[place], np.ndarray):
                    arguments[place][...] = to_host(placed[place])
            return results if _holds(arguments, xp.ndarray) else _each(results, xp.ndarray, to_host)

        return moved

    return decorate


def _each(values: Any, kind: type, change: Callable) -> Any:
    if isinstance(values, tuple):
        return tuple(_each(value, kind, change) for value in values)
    return change(values) if isinstance(values, kind) else values


def _holds(values: Any, kind: type) -> bool:
    if isinstance(values, tuple):
        return any(_holds(value, kind) for value in values)
    return isinstance(values, kind)

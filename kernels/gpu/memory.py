"""Arrays for the kernels: CuPy's on a GPU, those of `fake_cupy` in the simulator; and how they get there and back."""

import functools
import importlib
import inspect
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from . import graphs
from .availability import SIMULATED


class _CuPy:
    """CuPy, imported when the first array is asked for: kernels are compiled without it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module("cupy"), name)


def _standin() -> Any:
    from . import fake_cupy

    return fake_cupy


xp: Any = _standin() if SIMULATED else _CuPy()

_moved, _lock = [0, 0], threading.Lock()  # bytes moved to the GPU and from it


def to_device(array: np.ndarray) -> Any:
    """The array in the GPU's memory."""
    _count(0, array.nbytes)
    return xp.asarray(array)


def to_host(array: Any) -> np.ndarray:
    """The array in the host's memory."""
    if isinstance(array, np.ndarray):
        return array
    _count(1, array.nbytes)
    return xp.asnumpy(array)


def transfers() -> tuple[int, int]:
    """The bytes that were moved to the GPU and from it so far."""
    return _moved[0], _moved[1]


def free_memory() -> int:
    """Bytes of the GPU's memory that are free."""
    return sys.maxsize if SIMULATED else xp.cuda.runtime.memGetInfo()[0]


def write(array: Any, values: np.ndarray) -> None:
    """Overwrite an array of the GPU."""
    _count(0, values.nbytes)
    if SIMULATED:
        array.memory[...] = values
    else:
        array.set(values)


def address(array: Any) -> int:
    """Where an array of the GPU, or one of NumPy's, begins in its memory."""
    if isinstance(array, np.ndarray):
        return array.ctypes.data
    return array.memory.ctypes.data if SIMULATED else array.data.ptr


def on_device(function: Callable) -> Callable:
    """A variant's function, for arrays of the GPU, called with NumPy's as well: then it returns NumPy's.

    Called with both, it returns arrays of the GPU. One such function that calls another hands on arrays of the GPU, and
    what comes back has not left it.
    """
    return writing()(function)


def with_loss(function: Callable) -> Callable:
    """`on_device` for a function that returns a loss first: with NumPy's arrays alone that is a number of Python."""
    moved = on_device(function)

    @functools.wraps(function)
    def measured(*arguments: Any) -> Any:
        loss, *others = moved(*arguments)
        return loss.item() if isinstance(loss, np.ndarray) else loss, *others

    return measured


def writing(*names: str) -> Callable[[Callable], Callable]:
    """`on_device` for a function that writes into its arguments of these names: NumPy's get what was written."""

    def decorate(function: Callable) -> Callable:
        places = [list(inspect.signature(function).parameters).index(name) for name in names]

        @functools.wraps(function)
        def moved(*arguments: Any) -> Any:
            if not _holds(arguments, np.ndarray):
                return function(*arguments)
            placed = _each(arguments, np.ndarray, placing())
            results = function(*placed)
            for place in places:
                _write_back(arguments[place], placed[place])
            return results if _holds(arguments, xp.ndarray) else _each(results, xp.ndarray, to_host)

        return moved

    return decorate


def placing() -> Callable[[Any], Any]:
    """`to_device` for the arrays of one call: one that is given twice is one array there too."""
    placed: dict[int, Any] = {}

    def place(array: Any) -> Any:
        if not isinstance(array, np.ndarray):
            return array
        if id(array) not in placed:
            placed[id(array)] = to_device(array)
        return placed[id(array)]

    return place


def _write_back(given: Any, placed: Any) -> None:
    if isinstance(given, (tuple, list)):
        for pair in zip(given, placed, strict=True):
            _write_back(*pair)
    elif isinstance(given, np.ndarray):
        given[...] = to_host(placed)


def _each(values: Any, kind: type, change: Callable) -> Any:
    if type(values) in (tuple, list):  # not a geometry, which holds no arrays
        return type(values)(_each(value, kind, change) for value in values)
    return change(values) if isinstance(values, kind) else values


def _holds(values: Any, kind: type) -> bool:
    if isinstance(values, (tuple, list)):
        return any(_holds(value, kind) for value in values)
    return isinstance(values, kind)


def _count(direction: int, count: int) -> None:
    graphs.note_move(count)
    with _lock:
        _moved[direction] += count

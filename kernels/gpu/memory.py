"""Device arrays, from CuPy or in the simulator from `fake_cupy`, and copies between host and device."""

import functools
import importlib
import inspect
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from . import tracing
from .availability import SIMULATED


class _CuPy:
    """CuPy, imported at first use, since compiling kernels does not need it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module("cupy"), name)


def _fake_cupy() -> Any:
    from . import fake_cupy

    return fake_cupy


xp: Any = _fake_cupy() if SIMULATED else _CuPy()

_MULTIPROCESSORS = 16  # cudaDevAttrMultiProcessorCount
_moved, _lock = [0, 0], threading.Lock()  # bytes copied to the GPU and from it


def cached(maxsize: int) -> Callable[[Callable], Callable]:
    """`functools.lru_cache` for functions that return device arrays, on each device its own.

    A graph that is being captured keeps them, also when the cache no longer does.
    """

    def decorate(function: Callable) -> Callable:
        @functools.lru_cache(maxsize)
        def on_device(device: int, *arguments: Any, **options: Any) -> Any:
            return function(*arguments, **options)

        @functools.wraps(function)
        def called(*arguments: Any, **options: Any) -> Any:
            return tracing.keep(on_device(current_device(), *arguments, **options))

        called.cache_clear, called.cache_info = on_device.cache_clear, on_device.cache_info  # type: ignore[attr-defined]
        return called

    return decorate


def current_device() -> int:
    """Return the number of the current device."""
    return xp.cuda.runtime.getDevice()


@functools.cache
def _multiprocessors(device: int) -> int:
    return xp.cuda.runtime.deviceGetAttribute(_MULTIPROCESSORS, device)


def multiprocessors() -> int:
    """Return the number of multiprocessors of the current device."""
    return _multiprocessors(current_device())


def to_device(array: np.ndarray) -> Any:
    """Copy an array to the GPU, in C order, since kernels see flat memory; CuPy would keep its order."""
    _count(0, array.nbytes)
    return xp.asarray(array, order="C")


def from_dlpack(tensor: Any) -> Any:
    """Return a device array that uses the memory of another package's tensor on this GPU."""
    return xp.from_dlpack(tensor)


def to_host(array: Any) -> np.ndarray:
    """Copy a device array to the host; return a NumPy array as it is."""
    if isinstance(array, np.ndarray):
        return array
    _count(1, array.nbytes)
    return xp.asnumpy(array)


def transfers() -> tuple[int, int]:
    """Return the bytes that were copied to the GPU and from it so far."""
    return _moved[0], _moved[1]


def free_memory() -> int:
    """Return the free bytes of GPU memory."""
    return xp.cuda.runtime.memGetInfo()[0]


def write(array: Any, values: np.ndarray) -> None:
    """Overwrite a device array with values from the host."""
    _count(0, values.nbytes)
    array.set(values)


def address(array: Any) -> int:
    """Return the address of a device array or NumPy array."""
    if isinstance(array, np.ndarray):
        return array.ctypes.data
    return array.data.ptr


def on_device(function: Callable) -> Callable:
    """Decorate a function of device arrays to accept NumPy arrays too, for which it returns NumPy arrays.

    If any argument is a device array, it returns device arrays; so decorated functions that call each other with device
    arrays copy nothing.
    """
    return writing()(function)


def with_loss(function: Callable) -> Callable:
    """`on_device` for a function whose first result is a loss: a Python float if no argument is a device array."""
    moved = on_device(function)

    @functools.wraps(function)
    def measured(*arguments: Any) -> Any:
        loss, *others = moved(*arguments)
        return loss.item() if isinstance(loss, np.ndarray) else loss, *others

    return measured


def writing(*names: str) -> Callable[[Callable], Callable]:
    """`on_device` for a function that writes to the named arguments: NumPy arrays among them are updated."""

    def decorate(function: Callable) -> Callable:
        positions = [list(inspect.signature(function).parameters).index(name) for name in names]

        @functools.wraps(function)
        def moved(*arguments: Any) -> Any:
            if not _holds(arguments, np.ndarray):
                return function(*arguments)
            on_gpu = _each(arguments, np.ndarray, uploader())
            results = function(*on_gpu)
            for position in positions:
                _write_back(arguments[position], on_gpu[position])
            return results if _holds(arguments, xp.ndarray) else _each(results, xp.ndarray, to_host)

        return moved

    return decorate


def uploader() -> Callable[[Any], Any]:
    """Return `to_device` for the arguments of one call: an array that is passed twice is copied once."""
    copies: dict[int, Any] = {}

    def upload(array: Any) -> Any:
        if not isinstance(array, np.ndarray):
            return array
        if id(array) not in copies:
            copies[id(array)] = to_device(array)
        return copies[id(array)]

    return upload


def _write_back(given: Any, on_gpu: Any) -> None:
    """Copy device arrays into the NumPy arrays from which they were made."""
    if isinstance(given, (tuple, list)):
        for pair in zip(given, on_gpu, strict=True):
            _write_back(*pair)
    elif isinstance(given, np.ndarray):
        given[...] = to_host(on_gpu)


def _each(values: Any, kind: type, change: Callable) -> Any:
    if type(values) in (tuple, list):  # not a geometry, which holds no arrays
        return type(values)(_each(value, kind, change) for value in values)
    return change(values) if isinstance(values, kind) else values


def _holds(values: Any, kind: type) -> bool:
    if isinstance(values, (tuple, list)):
        return any(_holds(value, kind) for value in values)
    return isinstance(values, kind)


def _count(direction: int, count: int) -> None:
    tracing.record_copy(count)
    with _lock:
        _moved[direction] += count

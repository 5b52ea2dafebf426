"""What an array is: of float32 or float64, NumPy's or, on the backend cuda, a device array, in the memory of a GPU.

The one place that knows about array types and dtypes. Whoever stands above the kernels asks it for what NumPy would do
to its own arrays alone. Device arrays have NumPy's attributes and operators; they go to NumPy by `to_numpy` only, and
reading their values waits for the GPU, so no check does it.
"""

import functools
import os
import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from . import active

DEVICE_ARRAYS: tuple[type, ...] = ()  # the type of device arrays, once the backend cuda was chosen
_memory: Any = None  # what makes and moves them: `gpu.memory`
_take: Any = None


def register(kind: type, memory: Any, take: Any) -> None:
    """Register device arrays: their type, what makes and moves them, and a function that takes rows of them."""
    global DEVICE_ARRAYS, _memory, _take
    DEVICE_ARRAYS, _memory, _take = (kind,), memory, take


class Transfers(NamedTuple):
    """Bytes moved between the host's memory and a GPU's."""

    to_device: int
    to_host: int


def transfers() -> Transfers:
    """The bytes that fastnn moved to a GPU and from it in this process, in the simulator too."""
    return Transfers(*_memory.transfers()) if _memory else Transfers(0, 0)


def is_on_device(value: Any) -> bool:
    """Whether it is an array in the memory of a GPU."""
    return isinstance(value, DEVICE_ARRAYS)


def to_device(value: Any) -> Any:
    """`value` where the active backend computes: an array of NumPy's moves to a GPU on cuda, else back from there."""
    if computes_on_gpu():
        return _memory.to_device(value) if isinstance(value, np.ndarray) else value
    return to_numpy(value) if is_on_device(value) else value


def on_same_device(value: Any, other: Any) -> Any:
    """`value` as an array in the memory in which `other` lies."""
    if is_on_device(value) == is_on_device(other):
        return value
    return to_numpy(value) if is_on_device(value) else _memory.to_device(np.asarray(value))


def asarray(value: Any, dtype: Any = None) -> Any:
    """`value` as an array, without a copy where it is one already; a device array leaves the GPU on other backends."""
    if not is_on_device(value):
        if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
            value = np.from_dlpack(value)
        return np.asarray(value, dtype)
    if not computes_on_gpu():
        return np.asarray(to_numpy(value), dtype)
    return value if dtype is None else value.astype(dtype, copy=False)


def refusal(value: Any) -> tuple[str, str] | None:
    """Why a value, or an entry of a list, must not be taken for its numbers alone, and what to do; None if it may be.

    Masks and units are lost in a conversion, and so are the gradients of a tensor.
    """
    kinds = {*map(type, value)} if isinstance(value, (list, tuple)) else {type(value)}
    for kind in kinds - {np.ndarray, np.memmap, np.recarray}:
        if issubclass(kind, np.ma.MaskedArray):
            return "a masked array; masked arrays are not supported", "fill it with {}.filled(value)"
        if issubclass(kind, np.ndarray):
            name = f"{kind.__module__}.{kind.__name__}"
            return f"of the type {name}, a subclass of np.ndarray with a meaning of its own", "pass np.asarray({})"
    if getattr(value, "requires_grad", False) is True:
        return "a tensor that requires a gradient, which would be lost", "detach it: pass {}.detach()"
    return None


def common_dtype(given: Iterable[np.ndarray]) -> np.dtype:
    """The dtype to compute in: that of the floating arrays, float64 where they differ or where there are none."""
    kinds = {array.dtype for array in given if array.dtype.kind == "f"}
    if any(not dtype.isnative for dtype in kinds):
        kinds = {dtype.newbyteorder("=") for dtype in kinds}
    return kinds.pop() if len(kinds) == 1 else np.dtype(np.float64)


def is_plain(array: Any) -> bool:
    """Whether kernels can write to it as it is: C-contiguous, and in the host's memory also aligned and writeable."""
    return array.flags.c_contiguous if is_on_device(array) else array.flags.carray


def contiguous(array: Any, dtype: np.dtype) -> Any:
    """`array` as C-contiguous memory of `dtype`; itself where it is that already.

    Also aligned and writeable, though nobody writes: for other memory numba would compile every kernel anew.
    """
    if array.dtype == dtype and is_plain(array):
        return array
    if is_on_device(array):
        return _memory.xp.ascontiguousarray(array, dtype)
    return np.require(array, dtype, ("C", "A", "W"))


def copy(array: Any, dtype: Any = None, order: Any = "K") -> Any:
    """A copy in the same memory; a device array is C-contiguous."""
    if is_on_device(array):
        return contiguous(array, np.dtype(dtype or array.dtype)).copy()
    return np.array(array, dtype=dtype, order=order)


def empty_like(array: Any) -> Any:
    """New memory where the array is, in its shape and dtype, C-contiguous."""
    return (_memory.xp if is_on_device(array) else np).empty(array.shape, array.dtype)


def zeros(shape: Any, like: Any) -> Any:
    """Zeros in the memory and the dtype of another array."""
    return (_memory.xp if is_on_device(like) else np).zeros(shape, like.dtype)


def concatenate(values: tuple, axis: int) -> Any:
    """Arrays one after the other; on the GPU if one of them is."""
    if not any(map(is_on_device, values)):
        return np.concatenate(values, axis)
    first = next(filter(is_on_device, values))
    return _memory.xp.concatenate([on_same_device(value, first) for value in values], axis)


def overwrite(array: Any, value: Any) -> Any:
    """`value` in place of an array; a device array is overwritten and keeps its address."""
    if not is_on_device(array):
        return asarray(value, array.dtype)
    array[...] = value
    return array


def take(array: Any, places: np.ndarray) -> Any:
    """The rows of an array at these places."""
    if is_on_device(array):
        return _take(array, on_same_device(places, array))
    return array[places]


@functools.cache
def memory() -> int:
    """Bytes of memory that this machine has; where the system does not say, as many as it could address."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 2**47


def free_memory() -> int:
    """Bytes that are free where the active backend computes, as far as that is known; else a lot."""
    return _memory.free_memory() if computes_on_gpu() else sys.maxsize


def may_share_memory(one: Any, other: Any) -> bool:
    """Whether the memory of two arrays overlaps, or might."""
    if not is_on_device(one) and not is_on_device(other):
        return np.may_share_memory(one, other)
    if not is_on_device(one) or not is_on_device(other):
        return False
    first, second = address(one), address(other)
    return first < second + other.nbytes and second < first + one.nbytes


def address(array: Any) -> int:
    """Where an array begins in its memory."""
    return _memory.address(array) if is_on_device(array) else array.ctypes.data


def to_numpy(array: Any) -> np.ndarray:
    """`array` in host memory, for pictures, files and comparisons."""
    return _memory.to_host(array) if is_on_device(array) else np.asarray(array)


def computes_on_gpu() -> bool:
    """Whether the active backend does."""
    return active.name() == "cuda"

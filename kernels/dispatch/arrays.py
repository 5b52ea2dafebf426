"""Array functions that work on NumPy arrays and on device arrays, the arrays in GPU memory of the cuda backend.

All code above the kernels uses these instead of NumPy's where it may meet a device array. Device arrays have NumPy's
attributes and operators; only `to_numpy` converts them to NumPy. Checks never read their values, because that would
wait for the GPU.
"""

import functools
import os
import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from . import active

DEVICE_ARRAYS: tuple[type, ...] = ()  # the type of device arrays, once the cuda backend was chosen
_memory: Any = None  # the module `gpu.memory`
_take: Any = None


def register(kind: type, memory: Any, take: Any) -> None:
    """Register device arrays: their type, the module that makes and moves them, a function that gathers rows."""
    global DEVICE_ARRAYS, _memory, _take
    DEVICE_ARRAYS, _memory, _take = (kind,), memory, take


class Transfers(NamedTuple):
    """Bytes copied between host memory and GPU memory."""

    to_device: int
    to_host: int


def transfers() -> Transfers:
    """Return the bytes that fastnn copied to and from a GPU in this process, real or simulated."""
    return Transfers(*_memory.transfers()) if _memory else Transfers(0, 0)


def is_on_device(value: Any) -> bool:
    """Whether `value` is a device array."""
    return isinstance(value, DEVICE_ARRAYS)


def to_device(value: Any) -> Any:
    """Return an array in the memory of the active backend: on the GPU for cuda, on the host for the others.

    value: an array
    """
    if computes_on_gpu():
        return _memory.to_device(value) if isinstance(value, np.ndarray) else value
    return to_numpy(value) if is_on_device(value) else value


def on_same_device(value: Any, other: Any) -> Any:
    """Return `value` as an array in the memory of `other`."""
    if is_on_device(value) == is_on_device(other):
        return value
    return to_numpy(value) if is_on_device(value) else _memory.to_device(np.asarray(value))


def asarray(value: Any, dtype: Any = None) -> Any:
    """Convert to an array, without a copy if it is one; a device array moves to the host unless cuda is active."""
    if _is_gpu_tensor(value) and computes_on_gpu():
        value = _memory.from_dlpack(value)
    if not is_on_device(value):
        if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
            value = np.from_dlpack(value)
        return np.asarray(value, dtype)
    if not computes_on_gpu():
        return np.asarray(to_numpy(value), dtype)
    return value if dtype is None else value.astype(dtype, copy=False)


def reason_not_plain(value: Any) -> tuple[str, str] | None:
    """Return why a value, or an entry of a list, cannot be converted to a plain array, and the remedy; or None.

    A conversion would lose the mask of a masked array, units, or the gradient of a tensor. NumPy has neither bfloat16
    nor sparse arrays, and other backends than cuda do not read the memory of a GPU.
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
    if str(getattr(value, "dtype", "")) in ("torch.float16", "torch.bfloat16"):
        return f"a tensor of {value.dtype}, of shape {tuple(value.shape)}", "convert it: pass {}.float()"
    if getattr(value, "is_sparse", False) is True:
        return f"a sparse tensor of shape {tuple(value.shape)}", "convert it: pass {}.to_dense()"
    if _is_gpu_tensor(value) and not computes_on_gpu():
        what = f"a tensor on {value.device}, but the backend {active.name()!r} computes on the CPU"
        return what, "pass {}.cpu(), or choose the backend cuda"
    return None


def _is_gpu_tensor(value: Any) -> bool:
    """Whether this is a tensor of another package in the memory of a GPU."""
    return getattr(getattr(value, "device", None), "type", "cpu") != "cpu"


def common_dtype(given: Iterable[np.ndarray]) -> np.dtype:
    """Return the dtype to compute in: that of the float arrays, or float64 if they differ or there are none."""
    kinds = {array.dtype for array in given if array.dtype.kind == "f"}
    if any(not dtype.isnative for dtype in kinds):
        kinds = {dtype.newbyteorder("=") for dtype in kinds}
    return kinds.pop() if len(kinds) == 1 else np.dtype(np.float64)


def is_plain(array: Any) -> bool:
    """Whether kernels can write to the array directly: C-contiguous, on the host also aligned and writeable."""
    return array.flags.c_contiguous if is_on_device(array) else array.flags.carray


def contiguous(array: Any, dtype: np.dtype) -> Any:
    """Return `array` C-contiguous, aligned and writeable in `dtype`, without a copy if it already is.

    Kernels write to none of their inputs, but Numba would compile another version for a read-only array.
    """
    if array.dtype == dtype and is_plain(array):
        return array
    if is_on_device(array):
        return _memory.xp.ascontiguousarray(array, dtype)
    return np.require(array, dtype, ("C", "A", "W"))


def copy(array: Any, dtype: Any = None, order: Any = "K") -> Any:
    """Return a copy in the same memory; a copied device array is C-contiguous."""
    if is_on_device(array):
        return contiguous(array, np.dtype(dtype or array.dtype)).copy()
    return np.array(array, dtype=dtype, order=order)


def empty_like(array: Any) -> Any:
    """Return an uninitialised C-contiguous array in the memory, shape and dtype of `array`."""
    return (_memory.xp if is_on_device(array) else np).empty(array.shape, array.dtype)


def module(*values: Any) -> Any:
    """Return the module whose functions compute on these arrays: NumPy, or the device arrays' module if any is one."""
    return _memory.xp if DEVICE_ARRAYS and any(map(is_on_device, values)) else np


def zeros(shape: Any, like: Any) -> Any:
    """Return zeros in the memory and dtype of `like`."""
    return (_memory.xp if is_on_device(like) else np).zeros(shape, like.dtype)


def concatenate(values: tuple, axis: int) -> Any:
    """Join arrays along an axis; on the GPU if any of them is a device array."""
    if not any(map(is_on_device, values)):
        return np.concatenate(values, axis)
    first = next(filter(is_on_device, values))
    return _memory.xp.concatenate([on_same_device(value, first) for value in values], axis)


def overwrite(array: Any, value: Any) -> Any:
    """Replace an array and return the new one; a device array is overwritten in place and keeps its address."""
    if not is_on_device(array):
        return asarray(value, array.dtype)
    array[...] = value
    return array


def take(array: Any, rows: np.ndarray) -> Any:
    """Return the rows of an array with these indices."""
    if is_on_device(array):
        return _take(array, on_same_device(rows, array))
    if isinstance(rows, np.ndarray) and active.name() == "njit":
        from ..cpu import gather

        return gather.take(array, rows)
    return array[rows]


@functools.cache
def memory() -> int:
    """Return the bytes of physical memory, or the size of the address space if the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 2**47


def free_memory() -> int:
    """Return the free bytes of GPU memory for cuda, `sys.maxsize` for the other backends."""
    return _memory.free_memory() if computes_on_gpu() else sys.maxsize


def may_share_memory(one: Any, other: Any) -> bool:
    """Whether two arrays may share memory, as `numpy.may_share_memory`."""
    if not is_on_device(one) and not is_on_device(other):
        return np.may_share_memory(one, other)
    if not is_on_device(one) or not is_on_device(other):
        return False
    (first, first_end), (second, second_end) = _bounds(one), _bounds(other)
    return first < second_end and second < first_end


def _bounds(array: Any) -> tuple[int, int]:
    """The addresses of the first byte of a device array and of the byte behind its last one."""
    steps = [(length - 1) * stride for length, stride in zip(array.shape, array.strides, strict=True)]
    first = address(array)
    return first + sum(min(step, 0) for step in steps), first + sum(max(step, 0) for step in steps) + array.itemsize


def address(array: Any) -> int:
    """Return the address of the first element of an array."""
    return _memory.address(array) if is_on_device(array) else array.ctypes.data


def to_numpy(array: Any) -> np.ndarray:
    """Return a NumPy array; copies a device array to the host.

    array: an array
    """
    return _memory.to_host(array) if is_on_device(array) else np.asarray(array)


def computes_on_gpu() -> bool:
    """Whether the active backend is cuda."""
    return active.name() == "cuda"

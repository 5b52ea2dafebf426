"""Fake device arrays that NumPy cannot read implicitly; they replace CuPy in the simulator.

They have only those attributes and operators of CuPy's arrays that the project uses, and the same defaults, such as the
memory order of a copy, so code that works with them works with CuPy. `cuda` is the module `fake_cuda`.

Source: CuPy 14.2, `cupy.ndarray` and "Array creation routines".
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from . import fake_cuda as cuda
from . import tracing

DTYPES = "?bhilqBHILQefdFD"  # the characters of CuPy's dtypes


class Array:
    """A device array of the simulated GPU; a view shares the block of memory with its base."""

    __array_ufunc__ = None  # NumPy then leaves operators to this class

    def __init__(self, memory: np.ndarray, block: Any = None, device: int | None = None) -> None:
        self.memory, self._block = memory, block
        self.device = cuda.Device(device)

    @property
    def data(self) -> Any:
        return SimpleNamespace(ptr=self.memory.ctypes.data)

    def _view(self, memory: np.ndarray) -> "Array":
        return Array(memory, self._block, self.device.id)

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError(
            f"Array: a device array of shape {self.shape} is not a NumPy array; expected an explicit conversion; "
            f"convert it with fastnn.to_numpy"
        )

    def __getattr__(self, name: str) -> Any:
        if name not in ("shape", "dtype", "ndim", "size", "nbytes", "flags", "strides", "itemsize"):
            raise AttributeError(
                f"Array: the simulated GPU has no attribute {name!r}; expected one that the project uses; add it"
            )
        return getattr(self.memory, name)

    def __len__(self) -> int:
        return len(self.memory)

    def __repr__(self) -> str:
        return f"Array({self.memory!r})"

    def __getitem__(self, key: Any) -> "Array":
        keys = _memory(key if isinstance(key, tuple) else (key,))
        if any(isinstance(one, np.ndarray) for one in keys):
            return _computed(lambda: self.memory[keys])
        return self._view(self.memory[keys if Ellipsis in keys else (*keys, ...)])  # also of a single element

    def __setitem__(self, key: Any, value: "Array | float") -> None:
        key, source = _memory(key), _memory(value)
        _work(lambda: self.memory.__setitem__(key, source))

    def reshape(self, *shape: Any) -> "Array":
        reshaped = self.memory.reshape(*shape)
        if np.may_share_memory(reshaped, self.memory) or not self.size:
            return self._view(reshaped)
        return _computed(lambda: self.memory.reshape(*shape))

    def astype(self, dtype: Any, order: Any = "K", copy: bool = True) -> "Array":
        if not copy and self.dtype == dtype:
            return self
        out = _placed(np.empty_like(self.memory, dtype, order=order))
        _work(lambda: np.copyto(out.memory, self.memory, casting="unsafe"))
        return out

    def copy(self, order: Any = "C") -> "Array":
        return self.astype(self.dtype, order)

    def get(self) -> np.ndarray:
        """Copy the array to the host, which waits for the stream."""
        cuda.get_current_stream().synchronize()
        return np.array(self.memory, order="C")

    def set(self, array: np.ndarray) -> None:
        """Overwrite the array with one from the host."""
        if not isinstance(array, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if self.dtype != array.dtype:
            raise TypeError(f"{array.dtype} array cannot be set to {self.dtype} array")
        if self.shape != array.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {array.shape}")
        if not (self.flags.c_contiguous or self.flags.f_contiguous):
            raise RuntimeError("Cannot set to non-contiguous array")
        cuda.get_current_stream().synchronize()
        self.memory[...] = array

    def item(self) -> Any:
        return self.get().item()

    def __float__(self) -> float:
        return float(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __bool__(self) -> bool:
        return bool(self.get())

    def transpose(self, *axes: Any) -> "Array":
        return self._view(self.memory.transpose(*axes))

    def swapaxes(self, one: int, other: int) -> "Array":
        return self._view(self.memory.swapaxes(one, other))

    def __iadd__(self, other: Any) -> "Array":
        self[...] = self + other
        return self

    def __isub__(self, other: Any) -> "Array":
        self[...] = self - other
        return self

    def __imul__(self, other: Any) -> "Array":
        self[...] = self * other
        return self

    def __itruediv__(self, other: Any) -> "Array":
        self[...] = self / other
        return self


OPERATORS = (  # computed by NumPy's
    "add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "pow", "rpow", "matmul", "neg", "lt", "le",
    "gt", "ge", "eq", "ne", "and",
)  # fmt: skip


def _memory(value: Any) -> Any:
    """The NumPy array inside a device array, or inside those of a tuple."""
    if isinstance(value, tuple):
        return tuple(map(_memory, value))
    return value.memory if isinstance(value, Array) else value


def _computed(function: Callable[[], Any]) -> Array:
    """A new array with what NumPy computes, now and whenever the work is replayed."""
    with np.errstate(all="ignore"):
        out = _placed(np.asarray(function()))

    def compute() -> None:
        with np.errstate(all="ignore"):
            out.memory[...] = function()

    _work(compute)
    return out


def _like_numpy(function: Callable) -> Callable[..., Array]:
    """NumPy's function, for device arrays."""

    def of_arrays(*operands: Any, **options: Any) -> Array:
        for operand in operands:
            if isinstance(operand, np.ndarray):
                raise TypeError(
                    f"Array: an operand is a NumPy array, of shape {operand.shape}; expected device arrays; move it "
                    f"first"
                )
        given = _memory(operands)
        return _computed(lambda: function(*given, **options))

    return of_arrays


for name in OPERATORS:
    setattr(Array, f"__{name}__", _like_numpy(getattr(np.ndarray, f"__{name}__")))
for name in ("sum", "mean", "max", "min", "all"):
    setattr(Array, name, _like_numpy(getattr(np.ndarray, name)))

exp, log, sqrt, abs, sign, isfinite = (
    _like_numpy(function) for function in (np.exp, np.log, np.sqrt, np.abs, np.sign, np.isfinite)
)
maximum, minimum, where, argmax, argmin, arange, expand_dims = (
    _like_numpy(function)
    for function in (np.maximum, np.minimum, np.where, np.argmax, np.argmin, np.arange, np.expand_dims)
)


class add:
    """The ufunc."""

    @staticmethod
    def at(array: Array, key: Any, values: Array) -> None:
        _work(lambda: np.add.at(array.memory, _memory(key), values.memory))


def _work(function: Callable[[], Any]) -> None:
    tracing.do(lambda: cuda.submit(function), "an operation of the simulated GPU")


def _placed(like: np.ndarray) -> Array:
    """A new array, not initialised, of the shape, dtype and memory order of `like`."""
    if like.dtype.char not in DTYPES:
        raise ValueError(f"Unsupported dtype {like.dtype}")
    block = cuda.allocate(like.nbytes)
    steps = np.absolute(np.empty_like(like).strides)  # not those of a broadcast array
    order = np.argsort(-steps, kind="stable")
    flat = block.memory[: like.nbytes].view(like.dtype.newbyteorder("="))
    memory = flat.reshape([like.shape[axis] for axis in order])
    return Array(memory.transpose(np.argsort(order)) if like.ndim else memory, block)


ndarray = Array


def empty(shape: Any, dtype: Any = float) -> Array:
    return _placed(np.empty(shape, dtype))


def empty_like(value: Array) -> Array:
    return _placed(np.empty_like(value.memory))


def zeros(shape: Any, dtype: Any = float) -> Array:
    out = empty(shape, dtype)
    out[...] = 0
    return out


def ones(shape: Any, dtype: Any = float) -> Array:
    out = empty(shape, dtype)
    out[...] = 1
    return out


def broadcast_to(value: Array, shape: Any) -> Array:
    return value._view(np.broadcast_to(value.memory, shape))


def asarray(value: np.ndarray, dtype: Any = None, order: Any = "K") -> Array:
    given = np.asarray(value, dtype)
    out = _placed(np.empty_like(given, order=order))
    cuda.get_current_stream().synchronize()
    out.memory[...] = given
    return out


def from_dlpack(tensor: Any) -> Array:
    return Array(np.asarray(tensor))  # shares the memory of a tensor on the CPU, which stands for one on the GPU


def ascontiguousarray(value: Array, dtype: Any = None) -> Array:
    wanted = value.dtype if dtype is None else dtype
    return value if value.flags.c_contiguous and value.dtype == wanted else value.astype(wanted, "C")


def concatenate(values: Any, axis: int = 0) -> Array:
    parts = [value.memory for value in values]
    shape = list(parts[0].shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    out = empty(shape, np.result_type(*parts))
    _work(lambda: np.concatenate(parts, axis, out=out.memory))
    return out


def asnumpy(value: Array) -> np.ndarray:
    return value.get()


def get_default_memory_pool() -> Any:
    return cuda.get_default_memory_pool()

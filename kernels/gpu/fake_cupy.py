"""Fake device arrays that NumPy cannot read implicitly; they replace CuPy in the simulator.

They have only those attributes and operators of CuPy's arrays that the project uses, so code that works with them works
with CuPy. Operations are recorded while a step is captured, see `graphs`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from . import graphs


class Array:
    """A device array of the simulated GPU."""

    __array_ufunc__ = None  # NumPy then leaves operators to this class

    def __init__(self, memory: np.ndarray) -> None:
        self.memory = memory

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError(
            f"Array: a device array of shape {self.shape} is not a NumPy array; expected an explicit conversion; "
            f"convert it with fastnn.to_numpy"
        )

    def __getattr__(self, name: str) -> Any:
        if name not in ("shape", "dtype", "ndim", "size", "nbytes", "flags"):
            raise AttributeError(
                f"Array: the simulated GPU has no attribute {name!r}; expected one that the project uses; add it"
            )
        return getattr(self.memory, name)

    def __len__(self) -> int:
        return len(self.memory)

    def __repr__(self) -> str:
        return f"Array({self.memory!r})"

    def __getitem__(self, key: Any) -> "Array":
        keys = key if isinstance(key, tuple) else (key,)
        return Array(self.memory[keys if Ellipsis in keys else (*keys, ...)])  # a view, also of a single element

    def __setitem__(self, key: Any, value: "Array | float") -> None:
        source = value.memory if isinstance(value, Array) else value
        _work(lambda: self.memory.__setitem__(key, source))

    def reshape(self, *shape: Any) -> "Array":
        return Array(self.memory.reshape(*shape))

    def astype(self, dtype: Any, copy: bool = True) -> "Array":
        if not copy and self.dtype == dtype:
            return self
        out = empty(self.shape, dtype)
        _work(lambda: np.copyto(out.memory, self.memory, casting="unsafe"))
        return out

    def copy(self) -> "Array":
        return self.astype(self.dtype)

    def __add__(self, other: Any) -> "Array":
        return self._combined(np.add, other)

    def __mul__(self, other: Any) -> "Array":
        return self._combined(np.multiply, other)

    def __truediv__(self, other: Any) -> "Array":
        return self._combined(np.divide, other)

    __radd__, __rmul__ = __add__, __mul__

    def _combined(self, function: Any, other: Any) -> "Array":
        if isinstance(other, np.ndarray):
            raise TypeError(
                f"Array: an operand is a NumPy array, of shape {other.shape}; expected device arrays; move it first"
            )
        operands = self.memory, other.memory if isinstance(other, Array) else other
        shape = np.broadcast_shapes(*map(np.shape, operands))
        out = empty(shape, function(*(np.ones_like(operand, shape=()) for operand in operands)).dtype)
        _work(lambda: function(*operands, out=out.memory))
        return out


def _work(function: Callable[[], Any]) -> None:
    graphs.do(function, "an operation of the simulated GPU")


ndarray = Array


def empty(shape: Any, dtype: Any = float) -> Array:
    return Array(np.empty(shape, dtype))


def empty_like(value: Array) -> Array:
    return empty(value.shape, value.dtype)


def zeros(shape: Any, dtype: Any = float) -> Array:
    out = empty(shape, dtype)
    out[...] = 0
    return out


def asarray(value: np.ndarray) -> Array:
    return Array(np.array(value, order="C"))


def from_dlpack(tensor: Any) -> Array:
    return Array(np.asarray(tensor))  # shares the memory of a tensor on the CPU, which stands for one on the GPU


def ascontiguousarray(value: Array, dtype: Any = None) -> Array:
    wanted = value.dtype if dtype is None else dtype
    return value if value.flags.c_contiguous and value.dtype == wanted else value.astype(wanted)


def concatenate(values: Any, axis: int = 0) -> Array:
    parts = [value.memory for value in values]
    shape = list(parts[0].shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    out = empty(shape, np.result_type(*parts))
    _work(lambda: np.concatenate(parts, axis, out=out.memory))
    return out


def asnumpy(value: Array) -> np.ndarray:
    return value.memory.copy()

"""What stands in for CuPy in the simulator: arrays that go nowhere NumPy's go unasked, as those of a GPU do not.

What works with them works with CuPy's: the attributes and operators here are those of CuPy that the project uses, and
as there, NumPy may not read them. A GPU's work is noted where steps are captured, see `graphs`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from . import graphs


class Array:
    """An array in the memory of the simulated GPU."""

    __array_ufunc__ = None  # NumPy leaves operators to this class

    def __init__(self, memory: np.ndarray) -> None:
        self.memory = memory

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError(
            f"Array: an array of a GPU, of shape {self.shape}, is not an array of NumPy's; expected one that was moved "
            f"on purpose; move it with fastnn.to_numpy"
        )

    def __getattr__(self, name: str) -> Any:
        if name not in ("shape", "dtype", "ndim", "size", "nbytes", "flags"):
            raise AttributeError(f"Array: the simulated GPU has no {name!r}; expected what the project uses; add it")
        return getattr(self.memory, name)

    def __len__(self) -> int:
        return len(self.memory)

    def __repr__(self) -> str:
        return f"Array({self.memory!r})"

    def __getitem__(self, key: Any) -> "Array":
        keys = key if isinstance(key, tuple) else (key,)
        return Array(self.memory[keys if Ellipsis in keys else (*keys, ...)])  # a view, of one element too

    def __setitem__(self, key: Any, value: "Array | float") -> None:
        source = value.memory if isinstance(value, Array) else value
        _work(lambda: self.memory.__setitem__(key, source))

    def reshape(self, *shape: Any) -> "Array":
        return Array(self.memory.reshape(*shape))

    def astype(self, dtype: Any, copy: bool = True) -> "Array":
        if not copy and self.dtype == dtype:
            return self
        made = empty(self.shape, dtype)
        _work(lambda: np.copyto(made.memory, self.memory, casting="unsafe"))
        return made

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
            raise TypeError(f"Array: an array of NumPy's, of shape {other.shape}, beside one of a GPU; move it first")
        operands = self.memory, other.memory if isinstance(other, Array) else other
        shape = np.broadcast_shapes(*map(np.shape, operands))
        made = empty(shape, function(*(np.ones_like(operand, shape=()) for operand in operands)).dtype)
        _work(lambda: function(*operands, out=made.memory))
        return made


def _work(function: Callable[[], Any]) -> None:
    graphs.do(function, "an operation of the simulated GPU")


ndarray = Array


def empty(shape: Any, dtype: Any = float) -> Array:
    return Array(np.empty(shape, dtype))


def empty_like(value: Array) -> Array:
    return empty(value.shape, value.dtype)


def zeros(shape: Any, dtype: Any = float) -> Array:
    made = empty(shape, dtype)
    made[...] = 0
    return made


def asarray(value: np.ndarray) -> Array:
    return Array(np.array(value, order="C"))


def ascontiguousarray(value: Array, dtype: Any = None) -> Array:
    wanted = value.dtype if dtype is None else dtype
    return value if value.flags.c_contiguous and value.dtype == wanted else value.astype(wanted)


def concatenate(values: Any, axis: int = 0) -> Array:
    parts = [value.memory for value in values]
    shape = list(parts[0].shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    made = empty(shape, np.result_type(*parts))
    _work(lambda: np.concatenate(parts, axis, out=made.memory))
    return made


def asnumpy(value: Array) -> np.ndarray:
    return value.memory.copy()

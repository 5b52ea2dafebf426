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
        return Array(self.memory[keys if Ellipsis in keys else (*keys, ...)])  # a view, also of a single element

    def __setitem__(self, key: Any, value: "Array | float") -> None:
        key, source = _memory(key), _memory(value)
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

    def transpose(self, *axes: Any) -> "Array":
        return Array(self.memory.transpose(*axes))

    def swapaxes(self, one: int, other: int) -> "Array":
        return Array(self.memory.swapaxes(one, other))

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
        out = Array(np.array(function()))

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


def ones(shape: Any, dtype: Any = float) -> Array:
    out = empty(shape, dtype)
    out[...] = 1
    return out


def broadcast_to(value: Array, shape: Any) -> Array:
    return Array(np.broadcast_to(value.memory, shape))


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

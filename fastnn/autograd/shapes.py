"""Indexing, other shapes, joining and splitting, each with its derivative; see `arithmetic` for the form.

Results share the memory of x where NumPy's do.
"""

from collections.abc import Sequence
from typing import Any

from fastnn.kernels.dispatch import arrays

from .arithmetic import Result
from .tape import unbroadcast


def getitem(x: Any, key: Any) -> Result:
    """x[key] with integers, slices, None, ..., integer arrays or a boolean array; elements taken twice add up."""
    parts = key if isinstance(key, tuple) else (key,)
    repeats = any(hasattr(part, "dtype") and part.dtype.kind in "iu" for part in parts)

    def gradient(dout: Any) -> Any:
        dx = arrays.zeros(x.shape, like=x)
        if repeats:
            arrays.module(x).add.at(dx, key, dout)
        else:
            dx[key] = dout
        return dx

    return x[key], (gradient,)


def reshape(x: Any, shape: tuple[int, ...]) -> Result:
    """The elements in another shape; one length may be -1."""
    return x.reshape(shape), (lambda dout: dout.reshape(x.shape),)


def permute(x: Any, dims: tuple[int, ...]) -> Result:
    """The axes in another order."""
    back = tuple(sorted(range(x.ndim), key=lambda axis: dims[axis] % x.ndim))
    return x.transpose(dims), (lambda dout: dout.transpose(back),)


def transpose(x: Any, dim0: int, dim1: int) -> Result:
    """Two axes exchanged."""
    return x.swapaxes(dim0, dim1), (lambda dout: dout.swapaxes(dim0, dim1),)


def expand(x: Any, shape: tuple[int, ...]) -> Result:
    """Broadcast to a shape."""
    return arrays.module(x).broadcast_to(x, shape).copy(), (lambda dout: unbroadcast(dout, x.shape),)


def cat(tensors: Sequence[Any], dim: int = 0) -> Result:
    """Arrays joined along an axis."""
    lengths = [array.shape[dim] for array in tensors]

    def gradients(dout: Any, needed: list[bool]) -> list[Any]:
        return _cut(dout, lengths, dim)

    return arrays.concatenate(tuple(tensors), dim), gradients


def _cut(x: Any, lengths: Sequence[int], dim: int) -> list[Any]:
    """Cut into parts of these lengths along an axis."""
    keys, start = [], 0
    for length in lengths:
        keys.append((slice(None),) * (dim % x.ndim) + (slice(start, start + length),))
        start += length
    return [x[key] for key in keys]

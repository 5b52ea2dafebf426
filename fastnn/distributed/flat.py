"""Gradients, running statistics and the loss of a shard as a few long arrays, which are added and sent."""

from collections.abc import Mapping
from typing import Any

import numpy as np

_LARGE = 1 << 20  # bytes of an array that is not copied into a common buffer, if it need not be
_BLOCK = 1 << 15  # elements that are added and scaled in the cache


class Flat:
    """A number of named arrays: short ones of a dtype are views of one buffer, long ones are by themselves.

    shapes: (shape, dtype) of each array by name
    arrays: the arrays by name
    """

    def __init__(self, shapes: Mapping[Any, tuple[tuple[int, ...], np.dtype]]) -> None:
        sizes = {name: int(np.prod(shape, dtype=np.int64)) for name, (shape, _) in shapes.items()}
        self._large = [name for name, (_, dtype) in shapes.items() if sizes[name] * dtype.itemsize >= _LARGE]
        self._own = {name: np.empty(*shapes[name]) for name in self._large}
        self.arrays: dict[Any, np.ndarray] = dict(self._own)
        self._common: list[np.ndarray] = []
        short = {name: value for name, value in shapes.items() if name not in self._own}
        dtypes = dict.fromkeys(dtype for _, dtype in short.values())
        for dtype in sorted(dtypes, key=lambda dtype: (-dtype.itemsize, dtype.name)):
            names = [name for name, (_, found) in short.items() if found == dtype]
            common = np.empty(sum(sizes[name] for name in names), dtype)
            start = 0
            for name in names:
                self.arrays[name] = common[start : start + sizes[name]].reshape(shapes[name][0])
                start += sizes[name]
            self._common.append(common)

    @property
    def segments(self) -> list[np.ndarray]:
        """All elements, as arrays (n,) that share their memory with `arrays`."""
        return [*self._common, *(self.arrays[name].reshape(-1) for name in self._large)]

    def put(self, name: Any, value: np.ndarray, is_new: bool = False) -> None:
        """Set an array to a value; if this is a new array that nobody else keeps, a long one takes its place."""
        if name in self._own:
            self.arrays[name] = self._own[name]
            if is_new and self._fits(value, self._own[name]):
                self.arrays[name] = value
                return
        np.copyto(self.arrays[name], value, casting="same_kind")

    def _fits(self, value: np.ndarray, held: np.ndarray) -> bool:
        """Whether a value can take the place of an array; not if it already is another one, or may share memory."""
        is_like = value.dtype == held.dtype and value.shape == held.shape and value.flags.carray
        return is_like and value.base is None and all(value is not self.arrays[name] for name in self._large)

    def add(self, other: "Flat") -> None:
        """Add the arrays of another one of the same shapes."""
        for mine, given in zip(self.segments, other.segments, strict=True):
            np.add(mine, given, out=mine)


def add_scaled(out: np.ndarray, other: np.ndarray, scale: float) -> None:
    """Compute out = (out + other) * scale in place, in blocks that stay in the cache."""
    if scale == 1:
        np.add(out, other, out=out)
        return
    for start in range(0, out.size, _BLOCK):
        block = out[start : start + _BLOCK]
        np.add(block, other[start : start + _BLOCK], out=block)
        np.multiply(block, out.dtype.type(scale), out=block)

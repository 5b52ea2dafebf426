"""Gradients, running statistics and the loss of a shard as one buffer, which is added and sent as a whole."""

from collections.abc import Mapping
from typing import Any

import numpy as np

_BLOCK = 1 << 14  # elements that are added and scaled in the cache


class Flat:
    """A buffer for a number of named arrays, which are views of it.

    shapes: (shape, dtype) of each array by name; those of one dtype lie together
    segments: the whole buffer, as one array (n,) for each dtype
    """

    def __init__(self, shapes: Mapping[Any, tuple[tuple[int, ...], np.dtype]]) -> None:
        self.arrays: dict[Any, np.ndarray] = {}
        self.segments: list[np.ndarray] = []
        dtypes = dict.fromkeys(dtype for _, dtype in shapes.values())
        for dtype in sorted(dtypes, key=lambda dtype: (-dtype.itemsize, dtype.name)):
            names = [name for name, (_, found) in shapes.items() if found == dtype]
            lengths = [int(np.prod(shapes[name][0], dtype=np.int64)) for name in names]
            segment = np.empty(sum(lengths), dtype)
            ends = np.cumsum(lengths)
            for name, length, end in zip(names, lengths, ends, strict=True):
                self.arrays[name] = segment[end - length : end].reshape(shapes[name][0])
            self.segments.append(segment)

    def add(self, other: "Flat") -> None:
        """Add another buffer of the same shapes, element by element."""
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

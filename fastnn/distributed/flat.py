"""Gradients, running statistics and the loss of a shard as a few long arrays, which are added and sent."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from fastnn.kernels.dispatch import arrays

_LARGE = 1 << 20  # bytes of an array that is not copied into a common buffer, if it need not be
_BLOCK = 1 << 15  # elements that are added and scaled in the cache


class Flat:
    """A number of named arrays: short ones of a dtype are views of one buffer, long ones are by themselves.

    shapes: (shape, dtype) of each array by name
    device: device arrays by name; the arrays of these names are in GPU memory too, whatever their length in one buffer
    early: names of arrays on the host that come first in `segments`, in this order, short ones in buffers of a megabyte
    arrays: the arrays by name
    members: the names of the arrays in each segment
    """

    def __init__(
        self,
        shapes: Mapping[Any, tuple[tuple[int, ...], np.dtype]],
        device: Mapping[Any, Any] | None = None,
        early: Iterable[Any] = (),
    ) -> None:
        device = device or {}
        sizes = {name: int(np.prod(shape, dtype=np.int64)) for name, (shape, _) in shapes.items()}
        on_host = {name: dtype for name, (_, dtype) in shapes.items() if name not in device}
        self._large = [name for name, dtype in on_host.items() if sizes[name] * dtype.itemsize >= _LARGE]
        self._own = {name: np.empty(*shapes[name]) for name in self._large}
        self.arrays: dict[Any, np.ndarray] = dict(self._own)
        self.members = _buckets(early, shapes, sizes)
        taken = {name for names in self.members for name in names}
        groups: dict[tuple, list] = {}
        for name, (_, dtype) in shapes.items():
            if name not in self._own and name not in taken:
                groups.setdefault((name in device, -dtype.itemsize, dtype.name), []).append(name)
        self.members += [groups[key] for key in sorted(groups)]  # the host's first
        self.members += [[name] for name in self._large if name not in taken]
        self._common = {
            position: self._joined(names, shapes, sizes, device)
            for position, names in enumerate(self.members)
            if names[0] not in self._own
        }

    def _joined(self, names: list, shapes: Mapping, sizes: Mapping, device: Mapping) -> np.ndarray:
        """A buffer for some arrays, which become views of it."""
        size, start = sum(sizes[name] for name in names), 0
        is_on_host = names[0] not in device
        common = np.empty(size, shapes[names[0]][1]) if is_on_host else arrays.zeros(size, device[names[0]])
        for name in names:
            self.arrays[name] = common[start : start + sizes[name]].reshape(shapes[name][0])
            start += sizes[name]
        return common

    @property
    def segments(self) -> list[np.ndarray]:
        """All elements, as arrays (n,) that share their memory with `arrays`; the first one is not on a device."""
        return [self.segment(position) for position in range(len(self.members))]

    def segment(self, position: int) -> np.ndarray:
        """One of the `segments`."""
        common = self._common.get(position)
        return self.arrays[self.members[position][0]].reshape(-1) if common is None else common

    def put(self, name: Any, value: np.ndarray, is_new: bool = False) -> None:
        """Set an array to a value; if this is a new array that nobody else keeps, a long one takes its place.

        A value is moved between host and device if it is not where the array is.
        """
        value = arrays.on_same_device(value, self.arrays[name])
        if name in self._own:
            self.arrays[name] = self._own[name]
            if is_new and self._fits(value, self._own[name]):
                self.arrays[name] = value
                return
        if arrays.is_on_device(value):
            self.arrays[name][...] = value
        else:
            np.copyto(self.arrays[name], value, casting="same_kind")

    def _fits(self, value: np.ndarray, held: np.ndarray) -> bool:
        """Whether a value can take the place of an array; not if it already is another one, or may share memory."""
        is_like = value.dtype == held.dtype and value.shape == held.shape and value.flags.carray
        return is_like and value.base is None and all(value is not self.arrays[name] for name in self._large)

    def add(self, other: "Flat") -> None:
        """Add the arrays of another one of the same shapes."""
        for mine, given in zip(self.segments, other.segments, strict=True):
            add_scaled(mine, given, 1)


def _buckets(early: Iterable[Any], shapes: Mapping, sizes: Mapping) -> list[list]:
    """Names that share a buffer, in the order of the last ones: long arrays by themselves, short ones if enough."""
    found: list[list] = []
    filling: dict[np.dtype, list] = {}
    for name in early:
        dtype = shapes[name][1]
        if sizes[name] * dtype.itemsize >= _LARGE:
            found.append([name])
            continue
        filling.setdefault(dtype, []).append(name)
        if sum(sizes[one] for one in filling[dtype]) * dtype.itemsize >= _LARGE:
            found.append(filling.pop(dtype))
    return found


@np.errstate(all="ignore")
def add_scaled(out: np.ndarray, other: np.ndarray, scale: float) -> None:
    """Compute out = (out + other) * scale in place, in blocks that stay in the cache.

    Numbers that are not finite give no warnings, since a Solver explains them.
    """
    if scale == 1:
        out += other
        return
    if arrays.is_on_device(out):
        out += other
        out *= scale
        return
    for start in range(0, out.size, _BLOCK):
        block = out[start : start + _BLOCK]
        np.add(block, other[start : start + _BLOCK], out=block)
        np.multiply(block, out.dtype.type(scale), out=block)

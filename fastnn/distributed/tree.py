"""The sum over shards, along one binary tree: ((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7)).

A rank computes the shards of a subtree, and adds them. Ranks then add along the rest of the tree: at each level, two
neighbouring subtrees exchange halves of what they hold, and each adds the half that it keeps; on the way back they
exchange the sums. So a rank sends less than twice the buffer, on however many ranks. Addition commutes, so that both
partners get the same bits. MPI's own reductions may add in another order; so may the all-reduce of a communicator that
is not deterministic, which adds arrays in GPU memory over ranks instead.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fastnn.kernels.dispatch import arrays

from .flat import Flat, add_scaled
from .ranks import Ranks

_SHORT = 1 << 10  # elements that are sent whole, because messages would be too short


class Tree:
    """The mean over `shards` buffers, each of which one of the ranks fills.

    shapes, device: of the buffers (see `Flat`)
    sent: bytes that this rank has sent, without all-reduces
    """

    def __init__(
        self, ranks: Ranks, shards: int, shapes: Mapping[Any, Any], device: Mapping[Any, Any] | None = None
    ) -> None:
        self._ranks, self._shards = ranks, shards
        self.own = shards // ranks.size  # number of shards of this rank
        self._free = [Flat(shapes, device) for _ in range(self.own.bit_length())]
        self._received = [arrays.empty_like(segment) for segment in self._free[0].segments]
        self.sent = 0

    def mean(self, fill: Callable[[int, Flat], None]) -> Flat:
        """Call fill(shard, buffer) for the shards of this rank; return the mean over all shards.

        The result is overwritten by the next call.
        """
        flat = self._subtree(self._ranks.rank * self.own, self.own, fill)
        self._free.append(flat)
        for segment, received in zip(flat.segments, self._received, strict=True):
            self._across(segment, received)
        return flat

    def _subtree(self, first: int, count: int, fill: Callable[[int, Flat], None]) -> Flat:
        """The sum over `count` shards of this rank."""
        if count == 1:
            flat = self._free.pop()
            try:
                fill(first, flat)
            except BaseException:
                self._free.append(flat)
                raise
            return flat
        left = self._subtree(first, count // 2, fill)
        try:
            right = self._subtree(first + count // 2, count // 2, fill)
        except BaseException:
            self._free.append(left)
            raise
        left.add(right)
        self._free.append(right)
        return left

    def _across(self, segment: np.ndarray, received: np.ndarray) -> None:
        """Replace the sum over the shards of this rank by the mean over all shards."""
        partners = self._ranks.partners()
        scale = 1 / self._shards
        is_reduced = bool(partners) and arrays.is_on_device(segment) and not self._ranks.comm.deterministic
        if is_reduced:
            self._ranks.allreduce(segment)
        if is_reduced or not partners:
            if scale != 1:
                segment *= segment.dtype.type(scale)
            return
        is_short = segment.size < _SHORT
        start, stop = 0, segment.size
        levels = []
        for partner in partners:
            middle = (start + stop) // 2
            lower, upper = slice(start, middle), slice(middle, stop)
            kept, given = (lower, upper) if self._ranks.rank < partner else (upper, lower)
            if is_short:
                kept = given = slice(0, segment.size)
            self._exchange(segment[given], received[kept], partner)
            add_scaled(segment[kept], received[kept], scale if partner == partners[-1] else 1)
            levels.append((partner, kept, given))
            start, stop = kept.start, kept.stop
        for partner, kept, given in () if is_short else reversed(levels):
            self._exchange(segment[kept], segment[given], partner)

    def _exchange(self, sent: np.ndarray, received: np.ndarray, partner: int) -> None:
        self._ranks.exchange(sent, received, partner)
        self.sent += sent.nbytes

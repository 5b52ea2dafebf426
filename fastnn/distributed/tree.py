"""The sum over shards, along one binary tree: ((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7)).

A rank computes the shards of a subtree, and adds them. Ranks then add along the rest of the tree: at each level, two
neighbouring subtrees exchange halves of what they hold, and each adds the half that it keeps; on the way back they
exchange the sums. So a rank sends less than twice the buffer, on however many ranks. Addition commutes, so that both
partners get the same bits. MPI's own reductions may add in another order; so may the all-reduce of a communicator that
is not deterministic, which adds arrays in GPU memory over ranks instead.

Of a rank's shards, the last one completes the sums. Arrays that it completes first can travel while it is computed.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fastnn.kernels.dispatch import arrays

from .flat import Flat, add_scaled
from .ranks import Ranks

_SHORT = 1 << 10  # elements that are sent whole, because messages would be too short


class Tree:
    """The mean over `shards` buffers, each of which one of the ranks fills.

    shapes, device, early: of the buffers (see `Flat`)
    sent: bytes that this rank has sent, without all-reduces
    is_cut: whether some arrays are early: those of a small network travel together
    hides: whether early arrays are sent while the last buffer is being filled; else all are sent afterwards
    """

    def __init__(
        self,
        ranks: Ranks,
        shards: int,
        shapes: Mapping[Any, Any],
        device: Mapping[Any, Any] | None = None,
        early: Sequence[Any] = (),
    ) -> None:
        self._ranks, self._shards = ranks, shards
        self.own = shards // ranks.size  # number of shards of this rank
        self._buffers = [Flat(shapes, device, early) for _ in range(self.own.bit_length())]
        self._received = [arrays.empty_like(segment) for segment in self._buffers[0].segments]
        self._members = [frozenset(names) for names in self._buffers[0].members]
        self.sent = 0
        self.is_cut = not self._members[0].isdisjoint(early)
        self.hides = self.is_cut and ranks.size > 1

    def mean(self, fill: Callable[[int, Flat, Callable[[Any], None]], None]) -> Flat:
        """Call fill(shard, buffer, ready) for the shards of this rank; return the mean over all shards.

        Each call may call ready(name) when an array of the buffer is complete. The result is overwritten by the next
        call of `mean`.
        """
        free = list(self._buffers)
        sums: list[Flat] = []  # over subtrees, which wait for their neighbours
        first = self._ranks.rank * self.own
        for number in range(self.own - 1):
            flat = free.pop()
            fill(first + number, flat, lambda name: None)
            while number & 1:
                free.append(flat)
                sums[-1].add(flat)
                flat, number = sums.pop(), number >> 1
            sums.append(flat)
        flat = free.pop()
        sending = _Sending(self._steps([flat, *reversed(sums)]), self._members)
        fill(first + self.own - 1, flat, sending.ready if self.hides else lambda name: None)
        for is_done in sending.rest():
            self._ranks.wait(is_done)
        return sums[0] if sums else flat

    def _steps(self, sums: list[Flat]) -> Iterator[Callable[[], bool] | int]:
        """Yield what has to be waited for: the number of a segment to be filled; functions whether a transfer is done.

        sums: the last buffer, and the sums over the subtrees to its left, nearest first
        All ranks send in the order of the segments.
        """
        for position, received in enumerate(self._received):
            yield position
            segments = [flat.segment(position) for flat in sums]
            for right, left in itertools.pairwise(segments):
                add_scaled(left, right, 1)
            yield from self._across(segments[-1], received)

    def _across(self, segment: np.ndarray, received: np.ndarray) -> Iterator[Callable[[], bool]]:
        """Replace the sum over the shards of this rank by the mean over all shards."""
        partners = self._ranks.partners()
        scale = 1 / self._shards
        is_reduced = bool(partners) and arrays.is_on_device(segment) and not self._ranks.comm.deterministic
        if is_reduced:
            yield self._ranks.comm.allreduce(segment)
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
            yield self._exchange(segment[given], received[kept], partner)
            add_scaled(segment[kept], received[kept], scale if partner == partners[-1] else 1)
            levels.append((partner, kept, given))
            start, stop = kept.start, kept.stop
        for partner, kept, given in () if is_short else reversed(levels):
            yield self._exchange(segment[kept], segment[given], partner)

    def _exchange(self, sent: np.ndarray, received: np.ndarray, partner: int) -> Callable[[], bool]:
        self.sent += sent.nbytes
        return self._ranks.begin(sent, received, partner)


class _Sending:
    """Drives the steps of a tree whenever an array becomes ready, as far as they go without waiting.

    No thread does this: MPI transfers data while a layer computes, and the next transfer begins after that layer.
    """

    def __init__(self, steps: Iterator[Callable[[], bool] | int], members: list[frozenset]) -> None:
        self._steps, self._members = steps, members
        self._ready: set[Any] = set()
        self._waits_for = next(steps, None)

    def ready(self, name: Any) -> None:
        """Note that an array is complete."""
        self._ready.add(name)
        while self._waits_for is not None and self._is_over(self._waits_for):
            self._waits_for = next(self._steps, None)

    def _is_over(self, step: Callable[[], bool] | int) -> bool:
        return step() if callable(step) else self._members[step] <= self._ready

    def rest(self) -> Iterator[Callable[[], bool]]:
        """Yield all other functions to wait for. All arrays are complete now."""
        while self._waits_for is not None:
            if callable(self._waits_for):
                yield self._waits_for
            self._waits_for = next(self._steps, None)

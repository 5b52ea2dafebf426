"""Kernels without a GPU: their threads take turns, in Python.

A thread runs until it is done or waits, for its block or for its warp; then the next one runs. So a kernel computes
the same in every run, and only threads that wait cost a thread of the system. The order turns round with every wait:
what one thread reads before another has written it comes out wrong, as it may on a GPU. Threads that wait for ones that
never come are an error.

`here` is what a kernel sees as `cuda`.
"""

import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numba.cuda
import numpy as np
from numba.np.numpy_support import as_dtype

WARP = 32
_BLOCK, _FINISHED = "its block", "nothing"


class _Dimension(NamedTuple):
    x: int


class _Ended(BaseException):
    """Ends a thread whose block has failed."""


def _closed() -> threading.Lock:
    """A door that somebody else has to open: its `release`."""
    lock = threading.Lock()
    lock.acquire()
    return lock


class _Thread(threading.Thread):
    """A thread of the system that is a thread of the GPU until that is done, then the next one that has not begun."""

    def __init__(self, block: "_Block") -> None:
        super().__init__(daemon=True)
        self.block, self.turn = block, _closed()
        self.number, self.waits_for = 0, _FINISHED
        self.offered: Any = None
        self.received: Any = None

    def run(self) -> None:
        self.turn.acquire()
        try:
            while self.block.begun < self.block.size:
                self.number = self.block.begun
                self.block.begun += 1
                self.block.function(*self.block.arguments)
        except _Ended:
            pass
        except BaseException as error:
            error.add_note(f"in thread {self.number} of block {self.block.number} of {self.block.function.__name__}")
            self.block.failure = error
        self.waits_for = _FINISHED
        self.block.turn.release()

    def wait(self, what: Any) -> None:
        """Have other threads run until all are here that this one waits for: its block, or the warp of a number."""
        self.waits_for = what
        self.block.turn.release()
        self.turn.acquire()
        if self.block.failure:
            raise _Ended


class _Block:
    """A block of threads, and the memory that they share."""

    def __init__(self, number: int, size: int, function: Callable, arguments: Sequence[Any]) -> None:
        self.number, self.size, self.function, self.arguments = number, size, function, arguments
        self.turn, self.begun = _closed(), 0
        self.shared: dict[Any, np.ndarray] = {}
        self.failure: BaseException | None = None

    def run(self) -> None:
        waiting: list[_Thread] = []
        while self.begun < self.size and not self.failure:
            waiting += self._resume(_Thread(self), begin=True)
        while waiting:
            ready = waiting if self.failure else self._ready(waiting)
            others = [thread for thread in waiting if thread not in ready]
            waiting = others + [thread for one in reversed(ready) for thread in self._resume(one)]
        if self.failure:
            raise self.failure

    def _resume(self, thread: _Thread, begin: bool = False) -> list[_Thread]:
        """Run a thread until it waits or is done; in a list where it waits."""
        if begin:
            thread.start()
        thread.turn.release()
        self.turn.acquire()
        return [] if thread.waits_for == _FINISHED else [thread]

    def _ready(self, waiting: list[_Thread]) -> list[_Thread]:
        """The threads for which those are there that they wait for."""
        kinds = {thread.waits_for for thread in waiting}
        if kinds == {_BLOCK}:
            return waiting
        for warp in sorted(kinds - {_BLOCK}):
            lanes = sorted((one for one in waiting if one.waits_for == warp), key=lambda one: one.number)
            if len(lanes) == WARP:
                work = lanes[0].offered[0]
                for lane, result in zip(lanes, work([one.offered[1] for one in lanes]), strict=True):
                    lane.received = result
                return lanes
        waiting.sort(key=lambda thread: thread.number)
        numbers = ", ".join(f"{thread.number} for {thread.waits_for}" for thread in waiting)
        name = self.function.__name__
        self.failure = RuntimeError(f"{name}: threads of a block wait for ones that never come: {numbers}")
        return waiting


class _Here:
    """Of `numba.cuda`, what a kernel uses."""

    @property
    def threadIdx(self) -> _Dimension:
        return _Dimension(_current().number)

    @property
    def blockIdx(self) -> _Dimension:
        return _Dimension(_current().block.number)

    @property
    def shared(self) -> "_Here":
        return self

    def array(self, size: int, kind: Any, alignment: int = 0) -> np.ndarray:
        """Memory that the threads of a block share: one array for each place in the source."""
        frame = sys._getframe(1)
        place = frame.f_code, frame.f_lasti
        memory = _current().block.shared
        if place not in memory:
            memory[place] = np.full(size, np.nan if isinstance(kind, numba.types.Float) else -1).astype(as_dtype(kind))
        return memory[place]

    class local:
        @staticmethod
        def array(size: int, kind: Any) -> np.ndarray:
            """Memory of a thread's own."""
            return np.empty(size, as_dtype(kind))

    def grid(self, dimensions: int) -> int:
        thread = _current()
        return thread.block.number * thread.block.size + thread.number

    def syncthreads(self) -> None:
        _current().wait(_BLOCK)


here: Any = _Here()


def launch(function: Callable, blocks: int, threads: int, arguments: Sequence[Any]) -> None:
    """Run a kernel's function on so many blocks of so many threads."""
    names = function.__globals__
    swapped = {name: value for name, value in names.items() if value is numba.cuda}
    names.update(dict.fromkeys(swapped, here))
    try:
        for number in range(blocks):
            _Block(number, threads, function, arguments).run()
    finally:
        names.update(swapped)


def together(work: Callable[[list], list], mine: Any) -> Any:
    """What this thread gets of `work`, done once on what all threads of its warp hand in."""
    thread = _current()
    thread.offered = work, mine
    thread.wait(thread.number // WARP)
    return thread.received


def _current() -> Any:
    return threading.current_thread()

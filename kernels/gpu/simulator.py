"""Deterministic simulator of CUDA kernels, which runs their threads one at a time in Python.

A thread runs until it ends or waits for its block or warp; then the next one runs. A kernel therefore gives the same
result in every run, and only waiting threads need a system thread. The order of threads is reversed at every wait, so
that a missing `syncthreads` gives wrong results, as it may on a GPU. A deadlock raises an error.

`here` replaces `cuda` inside a kernel.
"""

import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numba.cuda
import numpy as np
from numba.np.numpy_support import as_dtype

WARP = 32
_BLOCK = "its block"


class _Dimension(NamedTuple):
    x: int


class _Ended(BaseException):
    """Raised to end a thread whose block has failed."""


def _held_lock() -> threading.Lock:
    """Return a lock that is held until another thread releases it."""
    lock = threading.Lock()
    lock.acquire()
    return lock


class _Thread(threading.Thread):
    """A system thread that runs one thread of the block after the other, until one waits."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.block: Any = None
        self.turn, self.number = _held_lock(), 0
        self.waits_for: Any = None
        self.offered: Any = None
        self.received: Any = None
        self.start()

    def run(self) -> None:
        while True:
            self.turn.acquire()
            self._work()
            block, self.block = self.block, None
            _idle.append(self)
            block.run_next()
            del block

    def _work(self) -> None:
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

    def wait(self, what: Any) -> None:
        """Let other threads run until all threads of the block, or of the warp with this number, wait too."""
        self.waits_for = what
        self.block.waiting.append(self)
        self.block.run_next()
        self.turn.acquire()
        if self.block.failure:
            raise _Ended


_idle: list[_Thread] = []  # reused, since starting a thread takes longer than most kernels' threads


class _Block:
    """A block of threads and its shared memory."""

    def __init__(self, number: int, size: int, function: Callable, arguments: Sequence[Any]) -> None:
        self.number, self.size, self.function, self.arguments = number, size, function, arguments
        self.turn, self.begun = _held_lock(), 0
        self.waiting: list[_Thread] = []
        self.ready: list[_Thread] = []  # threads that may continue; the last one runs next
        self.shared: dict[Any, np.ndarray] = {}
        self.failure: BaseException | None = None

    def run(self) -> None:
        self.run_next()
        self.turn.acquire()
        while self.waiting:
            self.ready = list(self.waiting if self.failure else self._ready(self.waiting))
            self.waiting = [thread for thread in self.waiting if thread not in self.ready]
            self.run_next()
            self.turn.acquire()
        if self.failure:
            raise self.failure

    def run_next(self) -> None:
        """Run the next thread: one that has not begun, else one that is ready, else the launching thread."""
        if self.begun < self.size and not self.failure:
            thread = _idle.pop() if _idle else _Thread()
            thread.block = self
            thread.turn.release()
        else:
            (self.ready.pop() if self.ready else self).turn.release()

    def _ready(self, waiting: list[_Thread]) -> list[_Thread]:
        """Return the threads that can continue."""
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
        self.failure = RuntimeError(f"{name}: threads of a block wait for threads that never arrive: {numbers}")
        return waiting


class _Here:
    """The part of `numba.cuda` that kernels use."""

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
        """Return shared memory: one array for each call in the source."""
        frame = sys._getframe(1)
        call = frame.f_code, frame.f_lasti
        memory = _current().block.shared
        if call not in memory:
            memory[call] = np.full(size, np.nan if isinstance(kind, numba.types.Float) else -1).astype(as_dtype(kind))
        return memory[call]

    class local:
        @staticmethod
        def array(size: int, kind: Any) -> np.ndarray:
            """Return local memory of one thread."""
            return np.empty(size, as_dtype(kind))

    def grid(self, dimensions: int) -> int:
        thread = _current()
        return thread.block.number * thread.block.size + thread.number

    def syncthreads(self) -> None:
        _current().wait(_BLOCK)


here: Any = _Here()


def launch(function: Callable, blocks: int, threads: int, arguments: Sequence[Any]) -> None:
    """Run a kernel's function on `blocks` blocks of `threads` threads."""
    names = function.__globals__
    swapped = {name: value for name, value in names.items() if value is numba.cuda}
    names.update(dict.fromkeys(swapped, here))
    try:
        for number in range(blocks):
            _Block(number, threads, function, arguments).run()
    finally:
        names.update(swapped)


def together(work: Callable[[list], list], value: Any) -> Any:
    """Call `work` once on the values of all threads of a warp, and return the result for this thread."""
    thread = _current()
    thread.offered = work, value
    thread.wait(thread.number // WARP)
    return thread.received


def _current() -> Any:
    return threading.current_thread()

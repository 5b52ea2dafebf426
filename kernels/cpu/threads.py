"""Parallel loops of the njit kernels on persistent threads.

`serial` compiles a plain kernel (see `compiling`). `parallel` compiles kernel(start, stop, ...) and returns a function
that is called as kernel(count, ...): it runs the kernel over parts of range(count) on several threads, without the
GIL. Items are independent. Kernels that sum over items use chunks of fixed size, added in order, so that no bit of a
result depends on the number of threads.

The calling thread computes parts itself; a worker that finds the work in its slot (see `work_slots`) takes some of the
remaining parts. A launch never waits for a worker that has not started, so it costs little on a busy machine.
Numba's parallel layers were tried and dropped (`benchmarks/launch.py` compares launch times): OpenMP's threads meet at
a barrier, so a launch after a pause, or with other processes on the cores, waits for all of them, and a forked child
crashes; `workqueue` aborts when two Python threads enter it; and `prange` takes longer to compile.
"""

import contextlib
import functools
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import numba
import numpy as np

from . import thread_count, work_slots
from .compiling import njit_no_refcount, serial, uncached  # noqa: F401
from .work_slots import parallel_for, worker_loop

PARTS = 16  # for each thread: enough to balance the load; each part fills buffers of its own
_SPIN_LIMIT = 1 << 12  # longer than the pause between most launches, because waking a worker is slow

_ALIGNMENT = 8 * work_slots.SIZE
IS_COMPILED = not numba.config.DISABLE_JIT  # type: ignore[attr-defined]  # else kernels are plain functions

_limit: int | None = None
_workers: list["_Worker"] = []
_NO_SLOTS = np.empty(0, np.int64)
_most = sys.maxsize  # the number of workers that the system allows
_start_lock = threading.RLock()


def parallel(grain: int, parts: int = PARTS) -> Callable[[Callable], Callable]:
    """Compile kernel(start, stop, ...) to a function that is called as kernel(count, ...).

    grain: the minimum number of items of a part
    parts: the maximum number of parts for each thread; many balance uneven work, one reads memory in long runs
    """

    def compile_kernel(function: Callable) -> Callable:
        kernel = uncached(function)
        drive = _driver(kernel, function)

        @functools.wraps(function)
        def launch(count: int, *arguments: Any) -> None:
            if count and drive(*split(count, grain, parts), *arguments):
                raise MemoryError(f"{function.__module__}: {function.__name__} ran out of memory; use smaller batches")

        launch.kernel = drive  # type: ignore[attr-defined]
        return launch

    return compile_kernel


def split(count: int, grain: int, most: int = PARTS) -> tuple[np.ndarray, int, int]:
    """Return the first arguments of `launch.kernel`: the slots of the workers that help, the count, and the parts.

    Other kernels can call it too, so that one call from Python does more than one launch. It returns 0 unless it ran
    out of memory.
    """
    threads = _limit or get_num_threads()
    number = parts(count, grain, threads, most)
    return _slots(min(threads, number) - 1) if number > 1 else _NO_SLOTS, count, number


def parts(count: int, grain: int, threads: int, most: int = PARTS) -> int:
    """Return the number of parts into which a loop is cut: parts of at least `grain` items, `most` for each thread."""
    if threads == 1 or count <= grain or not IS_COMPILED:
        return 1
    return min(most * threads, -(-count // grain))


def _driver(kernel: Callable, function: Callable) -> Callable:
    """Return a compiled drive(slots, count, parts, ...) that runs the parts of a kernel, by `parallel_for`.

    It takes the name and source position of the kernel's function, under which its machine code is cached.
    """
    if not IS_COMPILED:
        return lambda slots, count, parts, *arguments: kernel(0, count, *arguments) or 0

    def drive(slots, count, parts, *arguments):
        return parallel_for(kernel, slots.ctypes.data, slots.size, count, parts, arguments)

    code = function.__code__
    drive.__code__ = drive.__code__.replace(co_filename=code.co_filename, co_firstlineno=code.co_firstlineno)
    drive.__module__, drive.__name__, drive.__qualname__ = (
        function.__module__,
        function.__name__,
        function.__qualname__,
    )
    return serial(drive)


def get_num_threads() -> int:
    """Return the number of threads of the kernels: set by `use_num_threads`, or the default of `thread_count`."""
    global _limit
    if _limit is None:
        _limit = thread_count.default().number
    return _limit


@contextlib.contextmanager
def use_num_threads(count: int) -> Iterator[None]:
    """Set the number of threads of the whole process inside a `with` block. Raises ValueError if less than 1."""
    global _limit
    before = get_num_threads()
    _limit = thread_count.checked("use_num_threads", str(count))
    try:
        yield
    finally:
        _limit = before


@contextlib.contextmanager
def skip_parallel_loops() -> Iterator[None]:
    """Compute no part of loops that have several parts, inside a `with` block: what is left is the serial time.

    For measurements: the results of all kernels are undefined. Loops too short to be cut are computed.
    """
    global _limit
    before, _limit = get_num_threads(), 0  # then `parts` is 0
    try:
        yield
    finally:
        _limit = before


def _slots(count: int) -> np.ndarray:
    """Return the slot addresses of at most `count` workers; start missing workers and wake sleeping ones."""
    if len(_workers) < min(count, _most):
        _start_workers(count)
    slots = _NO_SLOTS
    for worker in _workers[:count]:
        worker.wanted += 1  # before looking at `asleep`; the worker does the opposite, so no wake-up is lost
        if worker.asleep and worker.calls.empty():
            worker.calls.put(None)
        slots = worker.slots
    return slots


def _start_workers(count: int) -> None:
    """Start workers until there are `count`, or as many as the system allows."""
    global _most
    with _start_lock:
        while len(_workers) < min(count, _most):
            try:
                _workers.append(_Worker(_workers))
            except (RuntimeError, MemoryError) as error:
                _most = len(_workers)
                warnings.warn(
                    f"fastnn: {error}: kernels run on {_most + 1} instead of {count + 1} threads; raise the limit of "
                    f"processes or memory, or set {thread_count.VARIABLE}={_most + 1}",
                    RuntimeWarning,
                    stacklevel=5,
                )


class _Worker:
    """A thread that waits for work: it spins for a moment, since launches follow each other quickly, then sleeps.

    slots: the addresses of the slots of the workers before and of this one
    wanted: how often work was posted for it
    """

    def __init__(self, before: list["_Worker"]) -> None:
        self._memory = np.zeros(2 * work_slots.SIZE, np.int64)
        self.address = -(-self._memory.ctypes.data // _ALIGNMENT) * _ALIGNMENT
        self.slots = np.array([*(worker.address for worker in before), self.address], np.int64)
        self.asleep, self.wanted = False, 0
        self.calls: SimpleQueue = SimpleQueue()  # wakes it
        _wait(self.address, 0)  # compiles it before the thread needs it
        threading.Thread(target=self._run, daemon=True, name=f"fastnn-{len(before) + 1}").start()

    def _run(self) -> None:
        while True:
            wanted = self.wanted
            _wait(self.address, _SPIN_LIMIT)
            self.asleep = True
            if self.wanted == wanted:
                self.calls.get()
            self.asleep = False


@serial
def _wait(address, spin_limit):
    """Run the work of a slot, until none has come for `spin_limit` spins."""
    worker_loop(address, spin_limit)


def _forget_workers() -> None:
    """Reset the workers in a forked child, which has none of its parent's threads and maybe a lock that is held."""
    global _start_lock, _most
    _start_lock, _most = threading.RLock(), sys.maxsize
    _workers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_workers)

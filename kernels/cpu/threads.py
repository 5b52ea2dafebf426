"""How the njit kernels use the cores.

`serial` compiles a plain kernel (see `compiling`). `parallel` compiles kernel(start, stop, ...) and returns a function
that is called as kernel(count, ...): it runs the kernel over parts of range(count) on a few persistent threads, without
the GIL. Items are independent, and kernels that sum over items do so in chunks of their own, in order: no bit of a
result depends on the number of threads.

The calling thread takes part after part itself; a worker joins in when it looks into its slot (see `work_slots`) and
takes what is left. So a launch waits for nobody who has not begun, and on a busy machine costs next to nothing.
numba's own parallel layers were tried first, whose launches `benchmarks/launch.py` times beside these: OpenMP's threads
meet at a barrier, so that after a pause, or with other processes on the cores, a launch waits for them. It also kills a
forked child, the layer `workqueue` aborts the process when two Python threads enter it, and kernels with `prange` take
longer to compile.
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

PARTS = 16  # for each thread: fine enough to balance, each with its own buffers to fill
_SPIN_LIMIT = 1 << 12  # longer than the pause between most launches: a sleeping worker wakes up late

_ALIGNMENT = 8 * work_slots.SIZE

_limit: int | None = None
_workers: list["_Worker"] = []
_most = sys.maxsize  # workers that the system allows
_start_lock = threading.RLock()


def parallel(grain: int, parts: int = PARTS) -> Callable[[Callable], Callable]:
    """Compile a kernel(start, stop, ...) that is called as kernel(count, ...); a part has at least `grain` items.

    parts: for each thread at most; many balance what takes uneven time, one goes through memory in long runs
    """

    def compile_kernel(function: Callable) -> Callable:
        kernel = uncached(function)
        drive = _driver(kernel, function)

        @functools.wraps(function)
        def launch(count: int, *arguments: Any) -> None:
            if not count:
                return
            if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
                kernel(0, count, *arguments)
                return
            threads = get_num_threads()
            number = min(parts * threads, -(-count // grain)) if threads > 1 else 1
            if drive(_slots(min(threads, number) - 1), count, number, *arguments):
                raise MemoryError(f"{function.__module__}: {function.__name__} found no memory; use smaller batches")

        launch.kernel = drive  # type: ignore[attr-defined]
        return launch

    return compile_kernel


def _driver(kernel: Callable, function: Callable) -> Callable:
    """A compiled drive(slots, count, parts, ...) that runs the parts of a kernel (see `work_slots.parallel_for`).

    It goes by the name and the place of the kernel's function, and its machine code, all there is of the kernel, too.
    """

    def drive(slots, count, parts, *arguments):
        return parallel_for(kernel, slots.ctypes.data, slots.size, count, parts, arguments)

    place = function.__code__
    drive.__code__ = drive.__code__.replace(co_filename=place.co_filename, co_firstlineno=place.co_firstlineno)
    drive.__module__, drive.__name__, drive.__qualname__ = (
        function.__module__,
        function.__name__,
        function.__qualname__,
    )
    return serial(drive)


def get_num_threads() -> int:
    """The threads that kernels run on: `use_num_threads`, else the default of this process (see `thread_count`)."""
    global _limit
    if _limit is None:
        _limit = thread_count.default().number
    return _limit


@contextlib.contextmanager
def use_num_threads(count: int) -> Iterator[None]:
    """Let kernels run on so many threads, in the whole process, inside a `with` block. ValueError for less than 1."""
    global _limit
    before = get_num_threads()
    _limit = thread_count.checked("use_num_threads", str(count))
    try:
        yield
    finally:
        _limit = before


def _slots(count: int) -> np.ndarray:
    """The addresses of the slots of at most so many workers; starts missing workers and wakes sleeping ones."""
    if len(_workers) < min(count, _most):
        _start_workers(count)
    workers = _workers[:count]
    for worker in workers:
        worker.wake()
    return np.array([worker.address for worker in workers], np.int64)


def _start_workers(count: int) -> None:
    """Start workers until there are so many, or as many as the system allows."""
    global _most
    with _start_lock:
        while len(_workers) < min(count, _most):
            try:
                _workers.append(_Worker(len(_workers) + 1))
            except (RuntimeError, MemoryError) as error:
                _most = len(_workers)
                warnings.warn(
                    f"fastnn: {error}: kernels run on {_most + 1} instead of {count + 1} threads; raise the limit of "
                    f"processes or memory, or set {thread_count.VARIABLE}={_most + 1}",
                    RuntimeWarning,
                    stacklevel=4,
                )


class _Worker:
    """A thread that waits for work: awake for a moment, since launches come in quick succession, then asleep."""

    def __init__(self, number: int) -> None:
        self._memory = np.zeros(2 * work_slots.SIZE, np.int64)
        self.address = -(-self._memory.ctypes.data // _ALIGNMENT) * _ALIGNMENT
        self._asleep, self._wanted = False, 0
        self._calls: SimpleQueue = SimpleQueue()
        _wait(self.address, 0)  # compiled here, or loaded, before a thread needs it
        threading.Thread(target=self._live, daemon=True, name=f"fastnn-{number}").start()

    def wake(self) -> None:
        """Increment, then check sleep; the worker checks in the opposite order, so no wake-up is lost."""
        self._wanted += 1
        if self._asleep and self._calls.empty():
            self._calls.put(None)

    def _live(self) -> None:
        while True:
            wanted = self._wanted
            _wait(self.address, _SPIN_LIMIT)
            self._asleep = True
            if self._wanted == wanted:
                self._calls.get()
            self._asleep = False


@serial
def _wait(address, spin_limit):
    """Do what is posted to a slot, until nothing has come for so long."""
    worker_loop(address, spin_limit)


def _forget_workers() -> None:
    """A forked child has none of its parent's threads, perhaps not the one that held the lock; it starts its own."""
    global _start_lock, _most
    _start_lock, _most = threading.RLock(), sys.maxsize
    _workers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_workers)

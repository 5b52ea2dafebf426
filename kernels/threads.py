"""How the njit kernels use the cores.

`serial` compiles a plain kernel (see `compiling`). `parallel` compiles kernel(start, stop, ...) and returns a function
that is called as kernel(count, ...): it runs the kernel over parts of range(count) on a few persistent threads, without
the GIL. Items are independent, and kernels that sum over items do so in chunks of their own, in order: no bit of a
result depends on the number of threads.

The calling thread takes part after part itself; a helper joins in when it wakes up and takes what is left. So a launch
waits for nobody who has not begun, and on a busy machine costs next to nothing. numba's own parallel layers were tried
first, whose launches `benchmarks/launch.py` times beside these: OpenMP's threads meet at a barrier, so that after a
pause, or with other processes on the cores, a launch waits for them. It also kills a forked child, the layer
`workqueue` aborts the process when two Python threads enter it, and kernels with `prange` take longer to compile.
"""

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .compiling import serial

VARIABLE = "FASTNN_NUM_THREADS"
PARTS = 4  # for each thread at most: enough to balance, and each costs a call
_PATIENCE = 1 << 18  # glances, longer than the pause between most launches: a helper that sleeps wakes up late

_limit: int | None = None
_helpers: list["_Helper"] = []


def parallel(grain: int) -> Callable[[Callable], Callable]:
    """Compile a kernel(start, stop, ...) that is called as kernel(count, ...); a part has at least `grain` items."""

    def compile_kernel(function: Callable) -> Callable:
        kernel = serial(function)

        @functools.wraps(function)
        def launch(count: int, *arguments: Any) -> None:
            threads = get_num_threads()
            parts = min(PARTS * threads, -(-count // grain)) if threads > 1 else 1
            if parts > 1:
                _run(kernel, count, parts, arguments)
            elif count:
                kernel(0, count, *arguments)

        launch.kernel = kernel  # type: ignore[attr-defined]
        return launch

    return compile_kernel


def get_num_threads() -> int:
    """The threads that kernels run on: `use_num_threads`, else FASTNN_NUM_THREADS, else the cores of this process."""
    global _limit
    if _limit is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        _limit = _checked(VARIABLE, os.environ.get(VARIABLE) or str(cores))
    return _limit


@contextlib.contextmanager
def use_num_threads(count: int) -> Iterator[None]:
    """Let kernels run on so many threads, in the whole process, inside a `with` block. ValueError for less than 1."""
    global _limit
    before = get_num_threads()
    _limit = _checked("use_num_threads", str(count))
    try:
        yield
    finally:
        _limit = before


def _checked(origin: str, value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise ValueError(
            f"{origin}: {value!r} is no number of threads; expected a whole number from 1 up; leave it out for all"
        )
    return int(value)


class _Launch:
    """One kernel over all its parts; whoever works on it takes the next part until none is left."""

    def __init__(self, kernel: Callable, count: int, parts: int, arguments: tuple) -> None:
        self._kernel, self._count, self._parts, self._arguments = kernel, count, parts, arguments
        self._next = iter(range(parts))
        self.error: BaseException | None = None

    def work(self) -> None:
        for part in self._next:
            start, stop = part * self._count // self._parts, (part + 1) * self._count // self._parts
            self._kernel(start, stop, *self._arguments)

    def help(self) -> None:
        try:
            self.work()
        except BaseException as error:
            self.error = error


def _run(kernel: Callable, count: int, parts: int, arguments: tuple) -> None:
    launch = _Launch(kernel, count, parts, arguments)
    # Who holds a helper's lock: the helper while it works; the caller once it wants no more help from it.
    locks = []
    for helper in _awake(min(get_num_threads(), parts) - 1):
        locks.append(threading.Lock())
        helper.call(launch, locks[-1])
    try:
        launch.work()
    finally:
        for lock in locks:
            lock.acquire()
    if launch.error is not None:
        raise launch.error


class _Helper:
    """A thread that waits for launches: awake for a moment, since they come in quick succession, then asleep."""

    def __init__(self, number: int) -> None:
        self._queue: SimpleQueue = SimpleQueue()
        self._called = np.zeros(1, np.int64)
        _watch(self._called, 0, 0)  # compiled here, or loaded, before a thread needs it
        threading.Thread(target=self._live, daemon=True, name=f"fastnn-{number}").start()

    def call(self, launch: _Launch, lock: Any) -> None:
        self._queue.put((launch, lock))
        self._called[0] += 1

    def _live(self) -> None:
        answered = 0
        while True:
            if not numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
                _watch(self._called, answered, _PATIENCE)
            launch, lock = self._queue.get()
            answered += 1
            if lock.acquire(blocking=False):
                launch.help()
                lock.release()
            del launch  # and with it the arrays


def _awake(count: int) -> list[_Helper]:
    """So many helpers; those that do not exist yet are born."""
    while len(_helpers) < count:
        _helpers.append(_Helper(len(_helpers) + 1))
    return _helpers[:count]


@intrinsic
def _load(context, address):
    """The int64 at an address, loaded anew each time."""

    def codegen(context, builder, signature, arguments):
        pointer = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
        return builder.load_atomic(pointer, "acquire", 8)

    return types.int64(types.intp), codegen


@serial
def _watch(called, answered, patience):
    """Return as soon as called[0] exceeds `answered`, or when patience is at an end."""
    address = called.ctypes.data
    while patience > 0 and _load(address) <= answered:
        patience -= 1


# A forked child has none of its parent's threads; it starts its own.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_helpers.clear)

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

from . import mailbox
from .compiling import serial
from .mailbox import serve, share

VARIABLE = "FASTNN_NUM_THREADS"
PARTS = 16  # for each thread at most: fine enough to balance, each with its own buffers to fill
_PATIENCE = 1 << 20  # glances, longer than the pause between most launches: a helper that sleeps wakes up late

_limit: int | None = None
_helpers: list["_Helper"] = []


def parallel(grain: int) -> Callable[[Callable], Callable]:
    """Compile a kernel(start, stop, ...) that is called as kernel(count, ...); a part has at least `grain` items."""

    def compile_kernel(function: Callable) -> Callable:
        kernel = serial(function)
        drive = _driver(kernel, f"{function.__module__}.{function.__qualname__}")

        @functools.wraps(function)
        def launch(count: int, *arguments: Any) -> None:
            if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
                kernel(0, count, *arguments)
            elif count:
                threads = get_num_threads()
                parts = min(PARTS * threads, -(-count // grain)) if threads > 1 else 1
                mailboxes = _mailboxes(min(threads, parts) - 1)
                if drive(mailboxes, count, parts, *arguments):
                    raise MemoryError(
                        f"{function.__module__}: {function.__name__} found no memory; use smaller batches"
                    )

        return launch

    return compile_kernel


def _driver(kernel: Callable, name: str) -> Callable:
    """A compiled drive(mailboxes, count, parts, ...) that runs the parts of a kernel (see `mailbox.share`)."""

    def drive(mailboxes, count, parts, *arguments):
        return share(kernel, mailboxes.ctypes.data, mailboxes.size, count, parts, arguments)

    drive.__qualname__ = name.replace(".", "_")
    return serial(drive)


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


def _mailboxes(count: int) -> np.ndarray:
    """The addresses of so many helpers' mailboxes; helpers that do not exist yet are born, those asleep are woken."""
    while len(_helpers) < count:
        _helpers.append(_Helper(len(_helpers) + 1))
    for helper in _helpers[:count]:
        helper.wake()
    return np.array([helper.address for helper in _helpers[:count]], np.int64)


class _Helper:
    """A thread that waits for work: awake for a moment, since launches come in quick succession, then asleep."""

    def __init__(self, number: int) -> None:
        self._mailbox = np.zeros(2 * mailbox.SIZE, np.int64)
        self.address = -(-self._mailbox.ctypes.data // 64) * 64
        self._asleep = self._mailbox[(self.address - self._mailbox.ctypes.data) // 8 + mailbox.ASLEEP :]
        self._calls: SimpleQueue = SimpleQueue()
        _wait(self.address, 0)  # compiled here, or loaded, before a thread needs it
        threading.Thread(target=self._live, daemon=True, name=f"fastnn-{number}").start()

    def wake(self) -> None:
        if self._asleep[0]:
            self._asleep[0] = 0
            self._calls.put(None)

    def _live(self) -> None:
        while True:
            _wait(self.address, _PATIENCE)
            self._asleep[0] = 1
            self._calls.get()


@serial
def _wait(address, patience):
    """Do what is posted to a mailbox, until nothing has come for so long."""
    serve(address, patience)


# A forked child has none of its parent's threads; it starts its own.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_helpers.clear)

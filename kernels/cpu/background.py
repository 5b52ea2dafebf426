"""One thread that calls kernels before they are needed, so that a first call finds them loaded or compiled.

It writes and warns nothing, and drops errors, which the first call raises again. A call that needs a kernel just being
compiled waits for it, as Numba compiles under a lock. At exit and before a fork the thread stops at the next `check`,
within about a second: it must be neither in LLVM when the process ends, nor hold a lock that a child would wait for.
"""

import atexit
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

_PAUSE = 1e-3  # seconds between two calls, in which a thread that waits for the compiler gets it

_lock = threading.Lock()
_waiting: deque[Callable[[], object]] = deque()
_thread: threading.Thread | None = None
_is_stopping = False


class _Stopped(BaseException):
    """Ends a call. Numba handles some exceptions while it compiles, but none that is not an Exception."""


def start(calls: Iterable[Callable[[], object]]) -> None:
    """Let the thread make these calls, after those given before."""
    global _thread
    with _lock:
        _waiting.extend(calls)
        if _thread is None and _waiting and not _is_stopping:
            _thread = threading.Thread(target=_run, daemon=True, name="fastnn-background")
            try:
                _thread.start()
            except (RuntimeError, MemoryError):  # the system allows no further thread
                _thread = None


def is_current() -> bool:
    """Whether the calling thread is the background thread."""
    return threading.current_thread() is _thread


def check() -> None:
    """Raise an exception in the background thread if it is to stop."""
    if _is_stopping and is_current():
        raise _Stopped


def wait(timeout: float | None = None) -> None:
    """Wait until all calls are made, for at most `timeout` seconds."""
    if (thread := _thread) is not None:
        thread.join(timeout)


def _run() -> None:
    global _thread
    while True:
        with _lock:
            if _is_stopping or not _waiting:
                _thread = None
                return
            call = _waiting.popleft()
        try:
            call()
        except _Stopped:
            _waiting.appendleft(call)
        except BaseException:  # whoever needs the kernel gets the error
            pass
        time.sleep(_PAUSE)


def _stop() -> None:
    global _is_stopping
    _is_stopping = True
    if not is_current():
        wait()


def _resume() -> None:
    global _is_stopping
    _is_stopping = False
    start(())


def _forget() -> None:
    """Reset a forked child, which has no thread and starts none."""
    global _lock, _thread
    _lock, _thread = threading.Lock(), None
    _waiting.clear()


atexit.register(_stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_stop, after_in_parent=_resume, after_in_child=_forget)

"""How the njit kernels are compiled, and what a terminal is told meanwhile; `code_cache` keeps their machine code."""

import contextlib
import sys
from collections.abc import Callable
from typing import Any

import numba
from numba.core import event

from ..cache import sources
from ..cache.code_cache import CodeCache

# IEEE semantics for NaN and infinity are kept: only contraction to fused multiply-adds and reordering of sums.
FASTMATH = frozenset({"contract", "nsz", "reassoc"})
ANNOUNCEMENT = "compiling kernels, first run only ..."


def serial(function: Callable) -> Callable:
    """Compile a kernel that runs on the calling thread; its machine code is kept on disk."""
    kernel: Any = uncached(function)
    if hasattr(kernel, "enable_caching"):  # under NUMBA_DISABLE_JIT it is the plain function
        kernel._cache = CodeCache(kernel.py_func)
    return kernel


def uncached(function: Callable) -> Callable:
    """Compile a kernel that is always part of another one, and kept with that."""
    return numba.njit(nogil=True, error_model="numpy", fastmath=set(FASTMATH))(function)


def njit_no_refcount(function: Callable) -> Callable:
    """Compile a kernel that only other kernels call, and that makes no array: it counts no references to one either."""
    options: dict[str, Any] = {"_nrt": False}
    return numba.njit(nogil=True, error_model="numpy", fastmath=set(FASTMATH), **options)(function)


def compiled() -> int:
    """How many kernels this process has compiled so far; what comes from the cache does not count."""
    return _watcher.count


class _Watcher(event.Listener):
    """Counts kernels that are compiled; meanwhile a line stands on the terminal, and is then taken away.

    numba compiles under a lock and broadcasts only what it did not find in its cache, so the steady path knows nothing
    of this. A kernel compiles those that it calls: the line goes when the first of them is done. numba also tells of
    what others compile, in whatever form, and an error here would be theirs.
    """

    def __init__(self) -> None:
        self.count = self._depth = 0
        self._shown = False

    def notify(self, event: Any) -> None:
        with contextlib.suppress(Exception):
            if _is_own(event):
                super().notify(event)

    def on_start(self, event: Any) -> None:
        self.count += 1
        self._depth += 1
        if self._depth == 1:
            self._shown = _write_to_terminal(ANNOUNCEMENT)

    def on_end(self, event: Any) -> None:
        self._depth -= 1
        if self._depth == 0 and self._shown:
            self._shown = False
            _write_to_terminal("\b \b" * len(ANNOUNCEMENT))


def _is_own(event: Any) -> bool:
    """Whether one of our kernels is compiled: others' may be no functions, or functions of no module."""
    module = event.data["dispatcher"].py_func.__module__
    return isinstance(module, str) and module.startswith(f"{sources.KERNELS}.")


def _write_to_terminal(text: str) -> bool:
    """Write to stderr where that is a terminal; whether it was. Raises what a closed or strange stderr does."""
    if not sys.stderr.isatty():
        return False
    sys.stderr.write(text)
    sys.stderr.flush()
    return True


_watcher = _Watcher()
event.register("numba:compile", _watcher)

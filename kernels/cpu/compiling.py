"""Compile the njit kernels, and show a line on the terminal meanwhile; `code_cache` stores the machine code."""

import contextlib
import functools
import sys
from collections.abc import Callable
from typing import Any

import numba
from numba.core import event

from ..cache import sources
from ..cache.code_cache import CodeCache
from ..dispatch import interrupts
from . import background
from .code_library import InlinedCompiler, KernelCompiler

# Only fused multiply-adds and reordering of sums; NaN and infinity keep their IEEE semantics.
FASTMATH = frozenset({"contract", "nsz", "reassoc"})
ANNOUNCEMENT = "compiling kernels, first run only ..."


def serial(function: Callable) -> Callable:
    """Compile a kernel that runs on the calling thread; its machine code is stored on disk."""
    kernel: Any = uncached(function)
    if hasattr(kernel, "enable_caching"):  # not the plain function of NUMBA_DISABLE_JIT
        kernel._cache = CodeCache(kernel.py_func)
    return kernel


def uncached(function: Callable) -> Callable:
    """Compile a kernel that is always inlined into another one, and stored with that."""
    return _njit(function)


def njit_no_refcount(function: Callable) -> Callable:
    """Compile a kernel without reference counting: it is only called by other kernels and allocates no array."""
    return _njit(function, _nrt=False)


def exact(function: Callable) -> Callable:
    """Compile a kernel that calls an intrinsic, whose instructions have fast-math flags of their own, or none."""
    return _njit(function, fastmath=set())


def _njit(function: Callable, **options: Any) -> Callable:
    """Compile a kernel in two ways: for calls from Python, and for calls from other kernels, which contain its code."""
    options = {"nogil": True, "fastmath": set(FASTMATH), **options}
    compile_: Any = functools.partial(numba.njit, error_model="numpy", **options)
    kernel = compile_(pipeline_class=KernelCompiler, no_cfunc_wrapper=True)(function)
    if hasattr(kernel, "get_call_template"):  # not the plain function of NUMBA_DISABLE_JIT
        kernel.compile = interrupts.delayed()(kernel.compile)
        inlined = compile_(pipeline_class=InlinedCompiler)(function)
        inlined.add_overload = lambda result: inlined.overloads.update({tuple(result.signature.args): result})
        kernel.get_call_template, kernel.get_overload = inlined.get_call_template, inlined.get_overload
    return kernel


def compiled() -> int:
    """Return the number of kernels that this process has compiled; those loaded from the cache do not count."""
    return _watcher.count


class _Watcher(event.Listener):
    """Counts compiled kernels, and shows a line on the terminal while one is compiled.

    Numba compiles under a lock and sends an event only for what is not in its cache, so cached kernels pay nothing.
    Compiling a kernel also compiles those that it calls: the line disappears when the outermost one is done. Numba
    sends the events of other packages too, in which an error here would surface; so this never raises.
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
    """Whether a kernel of this package is compiled; other packages may compile objects without a module."""
    module = event.data["dispatcher"].py_func.__module__
    return isinstance(module, str) and module.startswith(f"{sources.KERNELS}.")


def _write_to_terminal(text: str) -> bool:
    """Write to stderr if it is a terminal, and return whether it is. Errors of a closed stderr propagate."""
    if background.is_current() or not sys.stderr.isatty():
        return False
    sys.stderr.write(text)
    sys.stderr.flush()
    return True


_watcher = _Watcher()
event.register("numba:compile", _watcher)

"""How the njit kernels are compiled, where their machine code is kept, and what a terminal is told meanwhile."""

import contextlib
import functools
import hashlib
import os
import pickle
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import caching, event

from . import user_cache

# IEEE semantics for NaN and infinity are kept: only contraction to fused multiply-adds and reordering of sums.
FASTMATH = frozenset({"contract", "nsz", "reassoc"})
ANNOUNCEMENT = "compiling kernels, first run only ..."

_folders: set[str] = set()  # in which machine code is kept


def serial(function: Callable) -> Callable:
    """Compile a kernel that runs on the calling thread; its machine code is kept beside the source."""
    kernel = uncached(function)
    if hasattr(kernel, "enable_caching"):  # under NUMBA_DISABLE_JIT it is the plain function
        _keep_on_disk(kernel)
    return kernel


def uncached(function: Callable) -> Callable:
    """Compile a kernel that is always part of another one, and kept with that."""
    return numba.njit(nogil=True, error_model="numpy", fastmath=set(FASTMATH))(function)


def borrowing(function: Callable) -> Callable:
    """Compile a kernel that only other kernels call, and that makes no array: it counts no references to one either."""
    options: dict[str, Any] = {"_nrt": False}
    return numba.njit(nogil=True, error_model="numpy", fastmath=set(FASTMATH), **options)(function)


def compiled() -> int:
    """How many kernels this process has compiled so far; what comes from the cache does not count."""
    return _watcher.count


def cache_folder() -> Path | None:
    """The folder with all machine code in it, as deep as it can be named; None where none can be written."""
    return Path(os.path.commonpath(_folders)) if _folders else None


def _keep_on_disk(kernel: Any) -> None:
    try:
        kernel._cache = _Cache(kernel.py_func)
    except RuntimeError:  # no folder that can be written
        _warn_once()
    else:
        _folders.add(kernel._cache.cache_path)


class _Places(caching.CompileResultCacheImpl):
    """Where numba keeps machine code. Without a home folder it would make a folder named '~' in the current one."""

    def __init__(self, function: Callable) -> None:
        if user_cache.folder() is None:
            at_home = ("UserWide", "Zip")
            self._locator_classes = [
                place for place in self._locator_classes if not any(word in place.__name__ for word in at_home)
            ]
        super().__init__(function)


class _Cache(caching.FunctionCache):
    """numba's cache of one kernel, with files of our own; where these cannot be written, kernels run all the same."""

    _impl_class = _Places

    def __init__(self, function: Callable) -> None:
        super().__init__(function)
        stamps = f"{_source_stamp()} {self._impl.locator.get_source_stamp()}"
        self._cache_file = _Files(self._cache_path, self._impl.filename_base, stamps)

    def _index_key(self, sig: Any, codegen: Any) -> tuple:
        """Types and processor. numba adds the function's code and closure.

        The code is covered by the stamps of all sources; and a kernel is no closure: its file, line and name tell it
        from all others.
        """
        return sig, codegen.magic_tuple()

    def save_overload(self, *arguments: Any) -> None:
        try:
            super().save_overload(*arguments)
        except OSError:  # the disk is full, or the folder gone
            _warn_once()


class _Files(caching.IndexDataCacheFile):
    """The machine code of one kernel: a file for each combination of types, in place of numba's index and numbers.

    Two processes that compile at the same time would give the same number to different types. A file begins with a seal
    over all that it depends on; one that does not fit, of an older source or cut short, counts as none.
    """

    def load(self, key: tuple) -> Any:
        try:
            content = Path(self._path(key)).read_bytes()
        except OSError:
            return None
        seal, data = content[:32], content[32:]
        return pickle.loads(data) if seal == self._seal(key, data) else None

    def save(self, key: tuple, data: Any) -> None:
        data = self._dump(data)
        with self._open_for_write(self._path(key)) as file:
            file.write(self._seal(key, data) + data)

    def flush(self) -> None:
        for path in Path(self._cache_path).glob(self._data_name("*")):
            path.unlink(missing_ok=True)

    def _data_name(self, name: str) -> str:
        return self._index_name.removesuffix("nbi") + f"{name}.nbc"

    def _path(self, key: tuple) -> str:
        types_and_processor = repr(key[:2]).encode()
        return self._data_path(self._data_name(hashlib.sha256(types_and_processor).hexdigest()[:16]))

    def _seal(self, key: tuple, data: bytes) -> bytes:
        return hashlib.sha256(repr((key, self._version, self._source_stamp)).encode() + data).digest()


@functools.cache
def _source_stamp() -> str:
    """A digest that changes when any file of the kernels does: machine code contains what was inlined from others.

    numba looks at the file of the function alone, and would run old code with new layouts after an update.
    """
    folder = Path(__file__).parent
    files = ((path.relative_to(folder).as_posix(), path.stat()) for path in sorted(folder.rglob("*.py")))
    return hashlib.sha256(repr([(name, file.st_mtime_ns, file.st_size) for name, file in files]).encode()).hexdigest()


@functools.cache
def _warn_once() -> None:
    warnings.warn(
        f"fastnn: compiled kernels cannot be kept on disk, neither in {Path(__file__).parent} nor in the user's cache, "
        "and are compiled anew in every process; set NUMBA_CACHE_DIR to a folder that can be written",
        RuntimeWarning,
        stacklevel=4,
    )


class _Watcher(event.Listener):
    """Counts kernels that are compiled; meanwhile a line stands on the terminal, and is then taken away.

    numba compiles under a lock and broadcasts only what it did not find in its cache, so the steady path knows nothing
    of this. A kernel compiles those that it calls: the line goes when the first of them is done.
    """

    def __init__(self) -> None:
        self.count = self._depth = self._shown = 0

    def on_start(self, event: Any) -> None:
        if _is_own(event):
            self.count += 1
            self._depth += 1
            if self._depth == 1 and _write_to_terminal(ANNOUNCEMENT):
                self._shown = len(ANNOUNCEMENT)

    def on_end(self, event: Any) -> None:
        if _is_own(event):
            self._depth -= 1
            if self._depth == 0 and self._shown:
                _write_to_terminal("\b \b" * self._shown)
                self._shown = 0


def _is_own(event: Any) -> bool:
    return event.data["dispatcher"].py_func.__module__.startswith(f"{__package__}.")


def _write_to_terminal(text: str) -> bool:
    """Write to stderr where that is a terminal; whether it was."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or None in a program without a console
        if sys.stderr.isatty():
            sys.stderr.write(text)
            sys.stderr.flush()
            return True
    return False


_watcher = _Watcher()
event.register("numba:compile", _watcher)

"""Machine code of the njit kernels on disk: later processes load it instead of compiling it again.

This replaces Numba's own cache, which only looks at the function's own file (older versions: at its time) and not at
the compiler's settings, recompiles if its folder is read-only, and can give one file to different types when two
processes compile at the same time.
"""

import contextlib
import functools
import hashlib
import os
import pickle
import sys
import tempfile
import uuid
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba.core import config as _config
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from ..cpu import background
from . import sources, user_cache

config: Any = _config  # Numba's

# Settings of Numba that change machine code. NUMBA_CPU_NAME, NUMBA_CPU_FEATURES and NUMBA_ENABLE_AVX are part of the
# processor's description in the key; no FASTNN_* variable changes the code of a kernel.
SETTINGS = (
    "OPT",
    "LOOP_VECTORIZE",
    "SLP_VECTORIZE",
    "BOUNDSCHECK",
    "FULL_TRACEBACKS",
    "USING_SVML",
    "LLVM_REFPRUNE_PASS",
    "LLVM_REFPRUNE_FLAGS",
    "DEBUGINFO_DEFAULT",
    "EXTEND_VARIABLE_LIFETIMES",
    "ENABLE_PROFILING",
    "DEBUG_JIT",
    "DEBUG_NRT",
    "USE_LEGACY_TYPE_SYSTEM",
)
VERSIONS = numba.__version__, llvmlite.__version__, np.__version__

_DIGEST = 32  # bytes

written: set[Path] = set()  # folders to which this process wrote machine code
read: set[Path] = set()  # folders from which it read some


def settings(config: Any = config) -> tuple:
    """Return the values of SETTINGS; None for those that this version of Numba does not have."""
    return tuple(getattr(config, name, None) for name in SETTINGS)


def folder() -> Path | None:
    """Return the common folder of the machine code that this process wrote, else of what it read; or None."""
    used = written or read
    return Path(os.path.commonpath(used)) if used else None


class CodeCache:
    """The cache of one kernel, which replaces the `_cache` of Numba's dispatcher.

    There is one file for each combination of types, processor and settings. It begins with a digest of all that it
    depends on; a file whose digest does not match (older sources or versions, truncated) is ignored and replaced.
    """

    def __init__(self, function: Callable) -> None:
        module, line = function.__module__, function.__code__.co_firstlineno
        self._module, name = module, module.rpartition(".")[2]
        self._file = getattr(sys.modules.get(module), "__file__", None) or function.__code__.co_filename
        qualified = function.__qualname__.replace("<", "").replace(">", "")
        python = "py{}{}{}".format(*sys.version_info[:2], getattr(sys, "abiflags", ""))
        self._stem = f"{name}.{qualified}-{line}.{python}"
        own = module.startswith(f"{sources.KERNELS}.")
        self._stamp = sources.digest() if own else f"{sources.digest()} {_content(self._file)}"

    @property
    def cache_path(self) -> str:
        """The folder that is searched first, for Numba's statistics."""
        return str(next(iter(self._folders()[0]), ""))

    def load_overload(self, signature: Any, target_context: Any) -> CompileResult | None:
        """Return the code compiled for these types, or None. Numba calls it before it compiles."""
        target_context.refresh()
        found = self.load(self._key(signature, target_context.codegen()))
        return None if found is None else CompileResult._rebuild(target_context, *found)

    def save_overload(self, signature: Any, result: Any) -> None:
        """Store what Numba has just compiled, unless it contains addresses of this process."""
        if result.library.has_dynamic_globals:
            return
        try:
            data = result._reduce()
        except RuntimeError:  # Ctrl-C came while LLVM handed the code to Python, where exceptions are lost
            raise KeyboardInterrupt from None
        self.save(self._key(signature, result.codegen), data)

    def load(self, key: tuple) -> Any:
        for folder in self._folders()[0]:
            with contextlib.suppress(OSError):
                content = (folder / self._name(key)).read_bytes()
                digest, data = content[:_DIGEST], content[_DIGEST:]
                if digest == self._digest(key, data):
                    read.add(folder)
                    return pickle.loads(data)
        return None

    def save(self, key: tuple, data: Any) -> None:
        """Write a file; if that fails, because the disk is full or the folder gone, warn once."""
        folders, writable = self._folders()
        data = dumps(data)
        if writable and write(folders[-1] / self._name(key), self._digest(key, data) + data):
            written.add(folders[-1])
        elif not background.is_current():
            _warn_once()

    def flush(self) -> None:
        """Delete the files of the kernel; Numba calls it before it recompiles."""
        for folder in self._folders()[0]:
            for path in folder.glob(f"{self._stem}.*.nbc"):
                with contextlib.suppress(OSError):
                    path.unlink()

    def enable(self) -> None:
        pass

    def disable(self) -> None:
        pass

    def _key(self, signature: Any, codegen: Any) -> tuple:
        """Return what decides the name of the file. The sources are not in it but in the digest inside the file."""
        return signature, codegen.magic_tuple(), settings()

    def _name(self, key: tuple) -> str:
        return f"{self._stem}.{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}.nbc"

    def _digest(self, key: tuple, data: bytes) -> bytes:
        return hashlib.sha256(repr((key, self._stem, VERSIONS, self._stamp)).encode() + data).digest()

    def _folders(self) -> tuple[tuple[Path, ...], bool]:
        return folders_of(self._module, self._file)


def folders_of(module: str, file: str) -> tuple[tuple[Path, ...], bool]:
    """Return the folders of a module's machine code to read, in this order, and whether the last one is writable."""
    source = os.path.dirname(os.path.abspath(file)) if os.path.isfile(file) else ""
    return _folders(module.rpartition(".")[0] or "__main__", source, config.CACHE_DIR)


@functools.cache
def _folders(package: str, source: str, configured: str) -> tuple[tuple[Path, ...], bool]:
    """Return the folders to read, in this order, and whether the last one is writable.

    They are NUMBA_CACHE_DIR, `__pycache__` next to the source, and the user's cache, up to the first writable one.
    Folders away from the source are named by the digest of the sources, not by their path.
    """
    if not sources.digest():
        return (), False
    below = Path(f"kernels-{sources.digest()[:16]}", package)
    folders = [Path(configured).absolute() / below] if configured else []
    folders += [Path(source, "__pycache__")] if source else []  # a source in a zip archive has no folder
    folders += [cache / below] if (cache := user_cache.folder()) else []
    for count, folder in enumerate(folders, 1):
        if _is_writable(folder):
            return tuple(folders[:count]), True
    return tuple(folders), False


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def write(path: Path, content: bytes) -> bool:
    """Write a file atomically, so that other processes never see part of it; return whether it was written."""
    part = path.with_name(f"{path.name}.tmp.{uuid.uuid4().hex[:16]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)  # it may have been deleted meanwhile
        part.write_bytes(content)
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        return os.name == "nt" and isinstance(error, PermissionError)  # in use by another process
    return True


def _content(file: str) -> str:
    """Return a digest of a file; empty if it cannot be read."""
    with contextlib.suppress(OSError):
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    return ""


@functools.cache
def _warn_once() -> None:
    reason, remedy = "because their sources cannot be read", "install fastnn with pip, as files"
    if sources.digest():
        reason = f"neither in {Path(__file__).parents[1]} nor in the user's cache"
        remedy = "set NUMBA_CACHE_DIR to a folder that can be written"
    warnings.warn(
        f"fastnn: compiled kernels cannot be kept on disk, {reason}, and are compiled again in every process; {remedy}",
        RuntimeWarning,
        stacklevel=4,
    )

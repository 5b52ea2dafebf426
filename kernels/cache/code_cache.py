"""The machine code of njit kernels on disk, so that later processes load it instead of compiling it again.

It takes the place of numba's own cache, which looks at the function's own file alone, in older versions at its time,
not at the compiler's settings; compiles again what it may only read; and gives one file to different types where two
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

from . import sources, user_cache

config: Any = _config  # numba's

# Of numba's configuration, what changes machine code. NUMBA_CPU_NAME, NUMBA_CPU_FEATURES and NUMBA_ENABLE_AVX are told
# by the description of the processor; no variable FASTNN_* changes the code of a kernel.
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

_SEAL = 32  # bytes

written: set[Path] = set()  # the folders that this process wrote machine code to
read: set[Path] = set()  # those that it read some from


def settings(config: Any = config) -> tuple:
    """The values of SETTINGS; None for one that this numba does not have."""
    return tuple(getattr(config, name, None) for name in SETTINGS)


def folder() -> Path | None:
    """The folder that this process wrote machine code to, as deep as it can be named, else read it from; or None."""
    used = written or read
    return Path(os.path.commonpath(used)) if used else None


class CodeCache:
    """The machine code of one kernel, in the place of a dispatcher's `_cache`.

    There is a file for each combination of types, processor and settings. It begins with a seal over all that it
    depends on; one that does not fit, of an older source or version or cut short, counts as none and is replaced.
    """

    def __init__(self, function: Callable) -> None:
        module, line = function.__module__, function.__code__.co_firstlineno
        self._package, _, name = module.rpartition(".")
        self._file = getattr(sys.modules.get(module), "__file__", None) or function.__code__.co_filename
        qualified = function.__qualname__.replace("<", "").replace(">", "")
        python = "py{}{}{}".format(*sys.version_info[:2], getattr(sys, "abiflags", ""))
        self._stem = f"{name}.{qualified}-{line}.{python}"
        own = module.startswith(f"{sources.KERNELS}.")
        self._stamp = sources.digest() if own else f"{sources.digest()} {_content(self._file)}"

    @property
    def cache_path(self) -> str:
        """For numba's statistics: the folder that is looked into first."""
        return str(next(iter(self._folders()[0]), ""))

    def load_overload(self, signature: Any, target_context: Any) -> CompileResult | None:
        """What was compiled for these types, or None. numba calls it before it compiles."""
        target_context.refresh()
        found = self.load(self._key(signature, target_context.codegen()))
        return None if found is None else CompileResult._rebuild(target_context, *found)

    def save_overload(self, signature: Any, result: Any) -> None:
        """Keep what numba has just compiled, unless it contains addresses of this process."""
        if not result.library.has_dynamic_globals:
            self.save(self._key(signature, result.codegen), result._reduce())

    def load(self, key: tuple) -> Any:
        for folder in self._folders()[0]:
            with contextlib.suppress(OSError):
                content = (folder / self._name(key)).read_bytes()
                seal, data = content[:_SEAL], content[_SEAL:]
                if seal == self._seal(key, data):
                    read.add(folder)
                    return pickle.loads(data)
        return None

    def save(self, key: tuple, data: Any) -> None:
        """Where it cannot be written, because the disk is full or the folder gone, kernels run all the same."""
        folders, writable = self._folders()
        data = dumps(data)
        if writable and write(folders[-1] / self._name(key), self._seal(key, data) + data):
            written.add(folders[-1])
        else:
            _warn_once()

    def flush(self) -> None:
        """Forget the kernel, whatever the types; numba calls it when a kernel is to be compiled anew."""
        for folder in self._folders()[0]:
            for path in folder.glob(f"{self._stem}.*.nbc"):
                with contextlib.suppress(OSError):
                    path.unlink()

    def enable(self) -> None:
        pass

    def disable(self) -> None:
        pass

    def _key(self, signature: Any, codegen: Any) -> tuple:
        """What has a file of its own: types, processor, settings. The code is in the seal, as digest of all sources."""
        return signature, codegen.magic_tuple(), settings()

    def _name(self, key: tuple) -> str:
        return f"{self._stem}.{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}.nbc"

    def _seal(self, key: tuple, data: bytes) -> bytes:
        return hashlib.sha256(repr((key, self._stem, VERSIONS, self._stamp)).encode() + data).digest()

    def _folders(self) -> tuple[tuple[Path, ...], bool]:
        beside = os.path.dirname(os.path.abspath(self._file)) if os.path.isfile(self._file) else ""
        return _folders(self._package or "__main__", beside, config.CACHE_DIR)


@functools.cache
def _folders(package: str, beside: str, asked: str) -> tuple[tuple[Path, ...], bool]:
    """The folders to read, in this order, and whether the last one can be written.

    They are NUMBA_CACHE_DIR, `__pycache__` beside the source, the user's cache, up to the first that can be written.
    The name of a folder elsewhere contains the digest of the sources, not their place.
    """
    if not sources.digest():
        return (), False
    below = Path(f"kernels-{sources.digest()[:16]}", package)
    places = [Path(asked).absolute() / below] if asked else []
    places += [Path(beside, "__pycache__")] if beside else []  # a source in a zip archive has no folder
    places += [cache / below] if (cache := user_cache.folder()) else []
    for count, folder in enumerate(places, 1):
        if _is_writable(folder):
            return tuple(places[:count]), True
    return tuple(places), False


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def write(path: Path, content: bytes) -> bool:
    """All at once: another process sees the whole file or none. Whether it could be written."""
    part = path.with_name(f"{path.name}.tmp.{uuid.uuid4().hex[:16]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)  # it may have been deleted meanwhile
        part.write_bytes(content)
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        return os.name == "nt" and isinstance(error, PermissionError)  # another process reads or replaces it just now
    return True


def _content(file: str) -> str:
    """A digest of a file; empty where it cannot be read."""
    with contextlib.suppress(OSError):
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    return ""


@functools.cache
def _warn_once() -> None:
    reason, remedy = "for their sources cannot be read", "install fastnn with pip, as files"
    if sources.digest():
        reason = f"neither in {Path(__file__).parents[1]} nor in the user's cache"
        remedy = "set NUMBA_CACHE_DIR to a folder that can be written"
    warnings.warn(
        f"fastnn: compiled kernels cannot be kept on disk, {reason}, and are compiled anew in every process; {remedy}",
        RuntimeWarning,
        stacklevel=4,
    )

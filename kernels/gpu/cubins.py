"""Compile kernels to machine code: Numba compiles to PTX, nvJitLink links a cubin, CuPy loads and launches it.

Only the launch needs a GPU. Numba's own launch unpacks each array into at least seven parameters in every call; this
one passes an address.
"""

import contextlib
import functools
import hashlib
import importlib.metadata
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import cuda, types
from numba.cuda import compiler

from ..cache import code_cache, sources, user_cache
from . import availability
from .words import TYPES

FOLDER = "FASTNN_CUBINS"  # the folder of compiled kernels; default: `cubins` in the user's cache folder

# Settings of numba-cuda that change machine code, in addition to `code_cache.SETTINGS`.
SETTINGS = ("CUDA_DEBUGINFO_DEFAULT", "CUDA_DEBUG_POLY", "CUDA_DEBUG_POLY_USE_TYPED_CONST")

_COMPILERS = (
    *("numba", "numba-cuda", "cuda-core", "cuda-bindings"),
    *("nvidia-nvvm", "nvidia-nvjitlink", "nvidia-cuda-nvcc-cu12", "nvidia-nvjitlink-cu12"),
)


def load(kernel: Any, signature: tuple[str, ...]) -> Any:
    """Return the kernel for the current device as a CuPy function, loaded from disk if it was compiled before."""
    import cupy

    name, cubin = compiled(kernel, signature, availability.capability(cupy.cuda.Device()))
    module = cupy.cuda.function.Module()
    module.load(cubin)
    return module.get_function(name)


def compiled(kernel: Any, signature: tuple[str, ...], capability: tuple[int, int]) -> tuple[str, bytes]:
    """Return a kernel's name in the machine code and that code, from disk if it was compiled before."""
    kept = folder()
    path = kept / f"{kernel.__name__}-{_stamp(kernel, signature, capability)}.cubin" if kept else None
    if path and path.exists():
        name, _, cubin = path.read_bytes().partition(b"\n")
        return name.decode(), cubin
    text = ptx(kernel.function, signature, capability)
    called, cubin = entry(text), link(text, capability)
    if path:
        code_cache.write(path, called.encode() + b"\n" + cubin)
    return called, cubin


def ptx(function: Callable, signature: tuple[str, ...], capability: tuple[int, int]) -> str:
    """Compile a kernel to PTX for a compute capability such as (9, 0)."""
    kinds = tuple(types.CPointer(_type(word[1:])) if word[0] == "*" else _type(word) for word in signature)
    text, _ = cuda.compile(function, types.void(*kinds), device=False, cc=capability, abi="numba", output="ptx")
    return text


def _type(word: str) -> Any:
    return getattr(types, TYPES[word])


def entry(text: str) -> str:
    """Return the name of the kernel in its PTX."""
    found = re.search(r"\.visible \.entry (\w+)", text)
    if not found:
        raise RuntimeError(f"entry: no kernel in {text[:200]!r}; expected PTX as numba writes it; report its version")
    return found[1]


def link(text: str, capability: tuple[int, int]) -> bytes:
    """Link PTX to machine code."""
    from cuda.core import Linker, LinkerOptions, ObjectCode

    options = LinkerOptions(arch="sm_{}{}".format(*capability))
    return Linker(ObjectCode.from_ptx(text.encode()), options=options).link("cubin").code


def folder() -> Path | None:
    """Return the folder of compiled kernels; None without a home folder, when they are not stored."""
    if named := os.environ.get(FOLDER):
        return Path(named)
    cache = user_cache.folder()
    return cache / "cubins" if cache else None


def _stamp(kernel: Any, signature: tuple[str, ...], capability: tuple[int, int]) -> str:
    """Return a digest of all that the machine code depends on: sources, types, GPU, compilers and their settings."""
    of_kernel = kernel.name, kernel.block, signature, capability
    config: Any = compiler.config  # type: ignore[attr-defined]  # as numba-cuda reads it
    settings = code_cache.settings(config), tuple(getattr(config, name, None) for name in SETTINGS)
    return hashlib.sha256(repr((of_kernel, sources.digest(), _versions(), settings)).encode()).hexdigest()[:24]


@functools.cache
def _versions() -> dict[str, str]:
    """Return the versions of the installed compiler packages."""
    found = {}
    for name in _COMPILERS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found

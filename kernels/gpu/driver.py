"""Whether kernels for a GPU can run here, and on what."""

import functools
import importlib

from numba import config

SIMULATED: bool = bool(config.ENABLE_CUDASIM)  # type: ignore[attr-defined]

_EXTRAS = 'install them with: pip install "fastnn-numba[cuda13]", or cuda12 for a driver older than 580'
_SIMULATOR = "or try kernels without one, slowly, with NUMBA_ENABLE_CUDASIM=1 in the environment"


@functools.cache
def obstacle() -> tuple[str, str] | None:
    """Why no kernel can run and what to do about it, or None where it can."""
    if SIMULATED:
        return None
    for package in ("cupy", "cuda.core"):
        try:
            importlib.import_module(package)
        except ImportError as error:
            return f"importing {package} failed ({error})", _EXTRAS
    import cupy

    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return f"no driver of an NVIDIA GPU answers ({error})", f"install NVIDIA's driver, {_SIMULATOR}"
    return None if count else ("there is no NVIDIA GPU", f"use a machine with one, {_SIMULATOR}")

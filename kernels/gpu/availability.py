"""Whether GPU kernels can run on this machine, and on which device."""

import ctypes
import functools
import importlib
import importlib.util
import itertools
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numba import config

SIMULATED: bool = bool(config.ENABLE_CUDASIM)  # type: ignore[attr-defined]

_PACKAGES = {"numba_cuda": "numba-cuda", "cupy": "CuPy"}
_MODULES = ("numba.cuda", "cupy", "cuda.core")
_LIBRARIES = ("nvvm", "nvJitLink")  # of the CUDA toolkit: the compiler and the linker
_TOOLKIT = ("CUDA_HOME", "CUDA_PATH")  # environment variables that name the folder of the CUDA toolkit
_TOO_OLD, _NO_DEVICE = 35, 100  # error codes of the CUDA runtime

_EXPECTED = "expected an NVIDIA GPU, its driver, numba-cuda and CuPy"
_SIMULATOR = "or have numba simulate a GPU, slowly, with NUMBA_ENABLE_CUDASIM=1 in the environment"


@functools.cache
def reason() -> tuple[str, str] | None:
    """Return why GPU kernels cannot run and the remedy, or None if they can.

    The driver is checked first; packages are only imported if there is one, because importing them is slow.
    """
    if SIMULATED:
        if failure := _import_failure("numba.cuda"):
            return failure, "expected numba's simulator of a GPU; install it with: pip install numba-cuda"
        return None
    driver = driver_version()
    missing = [name for module, name in _PACKAGES.items() if importlib.util.find_spec(module) is None]
    if driver is None:
        steps = "install the driver" + (f", then {_install(driver)}" if missing else "")
        lacking = ", no ".join(["driver of an NVIDIA GPU", *missing])
        return f"there is no {lacking}", f"{_EXPECTED}; on a machine with such a GPU {steps}; {_SIMULATOR}"
    if missing:
        return f"there is no {', no '.join(missing)}", f"{_EXPECTED}; {_install(driver)}"
    _find_toolkit()
    for failure in itertools.chain(map(_import_failure, _MODULES), map(_library_failure, _LIBRARIES)):
        if failure:
            toolkit = f"set CUDA_HOME to the folder of a CUDA toolkit, or {_install(driver)}"
            return failure, f"{_EXPECTED}, with their libraries; {toolkit}"
    return _device_reason(driver)


def device() -> str:
    """Return a description of the device that kernels run on."""
    if SIMULATED:
        return "simulated by numba, slowly, because NUMBA_ENABLE_CUDASIM is set"
    import cupy

    current = cupy.cuda.Device()
    name = cupy.cuda.runtime.getDeviceProperties(current.id)["name"].decode()
    return f"{name}, compute capability {'.'.join(map(str, capability(current)))}"


def capability(device: Any) -> tuple[int, int]:
    """Return the compute capability of a CuPy device, which writes (10, 0) as "100"."""
    return int(device.compute_capability[:-1]), int(device.compute_capability[-1])


@functools.cache
def driver_version() -> int | None:
    """Return the newest CUDA version that the driver supports, 13000 for 13.0; None without a driver."""
    version = ctypes.c_int()
    try:
        library = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        library.cuDriverGetVersion(ctypes.byref(version))
    except (OSError, AttributeError):
        return None
    return version.value


def _device_reason(driver: int) -> tuple[str, str] | None:
    """Return the error of the driver and the remedy, or None."""
    from cupy.cuda import runtime

    try:
        count, status, reason = runtime.getDeviceCount(), 0, "it counts 0"
    except runtime.CUDARuntimeError as error:
        count, status, reason = 0, error.status, str(error)
    if count:
        return None
    if status == _TOO_OLD:
        other = f", or in a new environment {_install(driver)}" if driver < 13000 else ""
        return f"NVIDIA's driver is too old for CuPy ({reason})", f"expected a newer one; install it{other}"
    if status in (0, _NO_DEVICE):
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
        cause = "" if hidden is None else f" (or set CUDA_VISIBLE_DEVICES={hidden!r} otherwise)"
        return f"the driver finds no GPU ({reason})", f"{_EXPECTED}; use a machine with one{cause}, {_SIMULATOR}"
    return f"the driver fails ({reason})", f"{_EXPECTED}; see whether nvidia-smi finds the GPU, {_SIMULATOR}"


def _install(driver: int | None) -> str:
    """Return the command that installs the packages for this driver."""
    if driver is None:
        return 'pip install "fastnn-numba[cuda13]", or cuda12 for a driver older than 580'
    return f'pip install "fastnn-numba[{"cuda13" if driver >= 13000 else "cuda12"}]"'


def _import_failure(module: str) -> str | None:
    try:
        importlib.import_module(module)
    except Exception as error:  # incompatible packages raise errors of any type
        original = error.__cause__ or error  # CuPy's own message is a page long
        return f"importing {module} failed ({' '.join(str(original).split())})"
    return None


def _find_toolkit() -> None:
    """Set CUDA_HOME for this process to an installed toolkit, unless a variable names one.

    NVIDIA's `pathfinder` finds libraries in wheels, but those of a toolkit only through such a variable.
    """
    if not any(map(os.environ.get, _TOOLKIT)):
        for folder in _toolkits():
            if (folder / "nvvm").is_dir():
                os.environ["CUDA_HOME"] = str(folder)
                return


def _toolkits() -> Iterator[Path]:
    """Folders in which a CUDA toolkit may be."""
    if nvcc := shutil.which("nvcc"):
        yield Path(nvcc).resolve().parents[1]
    yield Path("/usr/local/cuda")


def _library_failure(name: str) -> str | None:
    from cuda import pathfinder

    try:
        pathfinder.load_nvidia_dynamic_lib(name)
    except (pathfinder.DynamicLibNotFoundError, OSError):
        return f"CUDA's library {name} cannot be loaded"
    return None

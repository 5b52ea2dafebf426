"""Errors if the cuda backend cannot run, on simulated machines of every kind."""

import ctypes
import os
import re
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace

import gpu_machine
import pytest

import fastnn
from fastnn.kernels.dispatch import arrays, switch

driver = pytest.importorskip("fastnn.kernels.gpu.availability", reason="the backend cuda needs numba")
memory, fake_cupy = (pytest.importorskip(f"fastnn.kernels.gpu.{name}") for name in ("memory", "fake_cupy"))

EXPECTED = "expected an NVIDIA GPU, its driver, numba-cuda and CuPy"
LIBRARIES = f"{EXPECTED}, with their libraries; set CUDA_HOME to the folder of a CUDA toolkit, or"
SIMULATOR = "or have numba simulate a GPU, slowly, with NUMBA_ENABLE_CUDASIM=1 in the environment"
EITHER = 'pip install "fastnn-numba[cuda13]", or cuda12 for a driver older than 580'


class RuntimeFailure(RuntimeError):
    """An error as CuPy raises it."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


class NotFound(RuntimeError):
    """A CUDA library is missing."""


def module(name, **attributes):
    made = ModuleType(name)
    made.__spec__ = ModuleSpec(name, None)
    vars(made).update(attributes)
    return made


@pytest.fixture
def machine(monkeypatch):
    """Return a function that simulates a machine with this driver and these packages, libraries and GPUs."""
    monkeypatch.setattr(driver, "reason", driver.reason.__wrapped__)
    monkeypatch.setattr(switch, "_reason", switch._reason.__wrapped__)
    monkeypatch.setattr(driver, "SIMULATED", False)
    monkeypatch.setattr(arrays, "DEVICE_ARRAYS", ())
    monkeypatch.setattr(driver, "_toolkits", lambda: iter(()))
    for name in ("CUDA_HOME", "CUDA_PATH"):
        monkeypatch.setenv(name, "")  # so that it is as before after the test
        monkeypatch.delenv(name)

    def make(version, packages=("numba_cuda", "cupy", "cuda.core"), count=lambda: 1, lacking=(), capability="90"):
        def load(name):
            if name in lacking and not os.environ.get("CUDA_HOME"):
                raise NotFound(name)

        runtime = SimpleNamespace(
            getDeviceCount=count,
            CUDARuntimeError=RuntimeFailure,
            getDeviceProperties=lambda device: {"name": b"NVIDIA Example"},
        )
        device = SimpleNamespace(id=0, compute_capability=capability)
        cuda = module("cupy.cuda", runtime=runtime, Device=lambda: device)
        pathfinder = SimpleNamespace(load_nvidia_dynamic_lib=load, DynamicLibNotFoundError=NotFound)
        there = {
            "numba.cuda": module("numba.cuda"),
            "numba_cuda": module("numba_cuda"),
            "cupy": module("cupy", cuda=cuda, ndarray=type("ndarray", (), {})),
            "cupy.cuda": cuda,
            "cuda": module("cuda", pathfinder=pathfinder),
            "cuda.core": module("cuda.core"),
        }
        for name, one in there.items():
            missing = name in ("numba_cuda", "cupy", "cuda.core") and name not in packages
            monkeypatch.setitem(sys.modules, name, None if missing else one)
        monkeypatch.setattr(driver, "driver_version", lambda: version)

    return make


def failing(status, text):
    def count():
        raise RuntimeFailure(status, text)

    return count


def reason_and_remedy():
    """Return reason and remedy of the error of set_backend, which `backends` gives too."""
    (line,) = (line for line in fastnn.backends() if line.name == "cuda")
    assert (line.available, line.device) == (False, "")
    whole = f"set_backend: backend='cuda' cannot run here: {line.reason}; {line.remedy}"
    with pytest.raises(fastnn.BackendUnavailable, match=f"^{re.escape(whole)}$"):
        fastnn.set_backend("cuda")
    return line.reason, line.remedy


@pytest.mark.parametrize(
    ("packages", "lacking", "steps"),
    [
        ((), ", no numba-cuda, no CuPy", f"install the driver, then {EITHER}"),
        (("numba_cuda",), ", no CuPy", f"install the driver, then {EITHER}"),
        (("numba_cuda", "cupy", "cuda.core"), "", "install the driver"),
    ],
)
def test_without_a_driver(machine, packages, lacking, steps):
    machine(None, packages)
    reason = f"there is no driver of an NVIDIA GPU{lacking}"
    assert reason_and_remedy() == (reason, f"{EXPECTED}; on a machine with such a GPU {steps}; {SIMULATOR}")


@pytest.mark.parametrize(("version", "extra"), [(12080, "cuda12"), (13000, "cuda13"), (14010, "cuda13")])
@pytest.mark.parametrize(("packages", "lacking"), [((), "numba-cuda, no CuPy"), (("cupy",), "numba-cuda")])
def test_without_packages(machine, version, extra, packages, lacking):
    machine(version, packages)
    assert reason_and_remedy() == (f"there is no {lacking}", f'{EXPECTED}; pip install "fastnn-numba[{extra}]"')


def test_with_packages_that_cannot_be_imported(machine):
    machine(13000, ("numba_cuda", "cupy"))
    reason, remedy = reason_and_remedy()
    assert reason.startswith("importing cuda.core failed (")
    assert remedy == f'{LIBRARIES} pip install "fastnn-numba[cuda13]"'


@pytest.mark.parametrize(
    ("error", "cause", "expected"),
    [
        (ImportError("Failed to import CuPy.\n\nYou may ..."), OSError("libfew.so: not there"), "libfew.so: not there"),
        (ValueError("numpy.dtype size\nchanged"), None, "numpy.dtype size changed"),
    ],
)
def test_the_cause_is_named_not_the_advice_around_it(monkeypatch, error, cause, expected):
    def fail(name):
        raise error from cause

    monkeypatch.setattr(driver.importlib, "import_module", fail)
    assert driver._import_failure("cupy") == f"importing cupy failed ({expected})"


@pytest.mark.parametrize("name", ["nvvm", "nvJitLink"])
def test_without_a_library(machine, name):
    machine(12080, lacking=[name])
    remedy = f'{LIBRARIES} pip install "fastnn-numba[cuda12]"'
    assert reason_and_remedy() == (f"CUDA's library {name} cannot be loaded", remedy)


@pytest.mark.parametrize("has_nvcc", [True, False])
def test_a_toolkit_is_found_without_its_variable(machine, monkeypatch, tmp_path, has_nvcc):
    """Through nvcc, also if that is a link, or at its usual place."""
    folders, link = [tmp_path / "cuda-13.1", tmp_path / "cuda"], tmp_path / "nvcc"
    for folder in folders[: 1 + (not has_nvcc)]:
        (folder / "bin").mkdir(parents=True)
    (folders[not has_nvcc] / "nvvm").mkdir()
    link.symlink_to(folders[0] / "bin" / "nvcc")
    monkeypatch.undo()
    monkeypatch.setattr(driver.shutil, "which", lambda name: str(link) if name == "nvcc" and has_nvcc else None)
    monkeypatch.setattr(driver, "Path", lambda path: folders[1] if path == "/usr/local/cuda" else Path(path))
    found = [*driver._toolkits()]
    assert found == [*folders[:1] * has_nvcc, folders[1]]
    monkeypatch.undo()


def test_a_toolkit_serves_libraries_that_no_package_has(machine, monkeypatch, tmp_path):
    (tmp_path / "new" / "nvvm").mkdir(parents=True)
    monkeypatch.setattr(driver, "_toolkits", lambda: iter([tmp_path / "none", tmp_path / "new", tmp_path / "old"]))
    machine(12080, lacking=["nvvm"])
    assert fastnn.backends()[-1].available
    assert os.environ["CUDA_HOME"] == str(tmp_path / "new")
    monkeypatch.setenv("CUDA_HOME", "")
    monkeypatch.setenv("CUDA_PATH", "/chosen")
    assert reason_and_remedy()[0] == "CUDA's library nvvm cannot be loaded"


def test_a_driver_too_old_for_the_packages(machine):
    text = "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version"
    reason, remedy = f"NVIDIA's driver is too old for CuPy ({text})", "expected a newer one; install it"
    machine(12080, count=failing(35, text))
    assert reason_and_remedy() == (reason, f'{remedy}, or in a new environment pip install "fastnn-numba[cuda12]"')
    machine(13000, count=failing(35, text))
    assert reason_and_remedy() == (reason, remedy)


@pytest.mark.parametrize(
    ("count", "reason"),
    [(lambda: 0, "it counts 0"), (failing(100, "cudaErrorNoDevice: none"), "cudaErrorNoDevice: none")],
)
def test_a_driver_without_a_gpu(machine, monkeypatch, count, reason):
    machine(13000, count=count)
    reason = f"the driver finds no GPU ({reason})"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert reason_and_remedy() == (reason, f"{EXPECTED}; use a machine with one, {SIMULATOR}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    hidden = "use a machine with one (or set CUDA_VISIBLE_DEVICES='' otherwise)"
    assert reason_and_remedy() == (reason, f"{EXPECTED}; {hidden}, {SIMULATOR}")


def test_a_driver_that_fails(machine):
    machine(13000, count=failing(999, "cudaErrorUnknown: unknown error"))
    remedy = f"{EXPECTED}; see whether nvidia-smi finds the GPU, {SIMULATOR}"
    assert reason_and_remedy() == ("the driver fails (cudaErrorUnknown: unknown error)", remedy)


@pytest.mark.parametrize(("digits", "capability"), [("80", "8.0"), ("90", "9.0"), ("100", "10.0"), ("121", "12.1")])
def test_with_a_gpu(machine, digits, capability):
    machine(13000, capability=digits)
    assert fastnn.backends()[-1] == ("cuda", True, "", "", f"NVIDIA Example, compute capability {capability}")
    fastnn.set_backend("auto")
    assert fastnn.get_backend() == "cuda"


def test_in_the_simulator(machine, monkeypatch):
    """The name "auto" does not choose it."""
    machine(None, packages=())
    monkeypatch.setattr(driver, "SIMULATED", True)
    monkeypatch.setattr(memory, "xp", fake_cupy)
    assert fastnn.backends()[-1].device == "simulated by numba, slowly, because NUMBA_ENABLE_CUDASIM is set"
    fastnn.set_backend("auto")
    assert fastnn.get_backend() == "njit"
    fastnn.set_backend("cuda")
    assert fastnn.get_backend() == "cuda"


def test_a_numba_without_the_simulator(machine, monkeypatch):
    machine(None)
    monkeypatch.setattr(driver, "SIMULATED", True)
    monkeypatch.setitem(sys.modules, "numba.cuda", None)
    reason, remedy = reason_and_remedy()
    assert reason.startswith("importing numba.cuda failed (")
    assert remedy == "expected numba's simulator of a GPU; install it with: pip install numba-cuda"


# ---- tests that need a GPU ----


@pytest.mark.parametrize(
    ("version", "reason", "skipped"),
    [
        (None, "there is no driver of an NVIDIA GPU", True),
        (13000, "there is no numba-cuda", True),
        (13000, "the driver finds no GPU (it counts 0)", True),
        (13000, "CUDA's library nvvm cannot be loaded", False),
        (13000, "importing cupy failed (libfew.so: not there)", False),
        (13000, "the driver fails (cudaErrorUnknown: unknown error)", False),
    ],
)
def test_a_gpu_that_cannot_be_used_is_a_failure_not_a_skip(version, reason, skipped):
    line = SimpleNamespace(available=False, reason=reason, remedy="set CUDA_HOME")
    if skipped:
        assert gpu_machine.reason_to_skip(line, version, False) == f"no NVIDIA GPU to run on: {reason}"
    else:
        with pytest.raises(pytest.fail.Exception, match=f"{re.escape(reason)}; set CUDA_HOME"):
            gpu_machine.reason_to_skip(line, version, False)


def test_where_the_tests_on_a_gpu_run():
    line = SimpleNamespace(available=True)
    assert gpu_machine.reason_to_skip(line, 13000, False) == ""
    assert gpu_machine.reason_to_skip(line, None, True) == "the simulator is too slow for these sizes"


# ---- the driver's version ----


def find(name):
    def version(address):
        address._obj.value = 12040
        return 0

    return SimpleNamespace(cuDriverGetVersion=version)


def lack(name):
    raise OSError(name)


@pytest.mark.parametrize(("load", "expected"), [(find, 12040), (lack, None), (lambda name: object(), None)])
def test_the_drivers_version(monkeypatch, load, expected):
    monkeypatch.setattr(ctypes, "CDLL", load)
    assert driver.driver_version.__wrapped__() == expected

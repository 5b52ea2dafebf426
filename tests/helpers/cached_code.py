"""Copies of the package in which a new process runs one kernel, for tests of machine code on disk."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import fastnn
from fastnn import kernels

pytest.importorskip("numba", reason="the backend njit needs numba")

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="the user's cache is elsewhere")
RELU = """
    import numpy as np
    from fastnn.kernels import activations, use_backend
    def relu(dtype="float32"):
        with use_backend("njit"):
            return activations.relu_forward(np.arange(-2, 3, dtype=dtype)).tolist() == [0, 0, 0, 1, 2]
"""
COUNT = "from fastnn.kernels.cpu import compiling; print(relu(), compiling.compiled())"


def run(code, cwd=Path(__file__).parent, before="", **environment):
    """Run code in a new process; return its stdout and stderr. before: code that runs first."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("FASTNN_", "NUMBA_", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, "-c", "".join(map(textwrap.dedent, (before, RELU, code)))],
        env=kept | {key: str(value) for key, value in environment.items()},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split(), done.stderr


def install(folder):
    """Copy the package into a folder, as pip would install it, without compiled code."""
    hidden = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(fastnn.__file__).parent, folder / "fastnn", ignore=hidden)
    shutil.copytree(Path(kernels.__file__).parent, folder / "fastnn" / "kernels", ignore=hidden, dirs_exist_ok=True)


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def without_cache(tmp_path):
    """The environment of a process without a folder for machine code: files are in the place of the folders."""
    install(tmp_path)
    for folder in (tmp_path / "fastnn" / "kernels").rglob("__init__.py"):
        (folder.parent / "__pycache__").touch()
    (tmp_path / "file").touch()
    elsewhere = dict.fromkeys(("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "HOME"), tmp_path / "file" / "x")
    return {"cwd": tmp_path, **elsewhere}

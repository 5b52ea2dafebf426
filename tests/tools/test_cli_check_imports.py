"""`fastnn check --kernel` imports a module of the current folder, whatever other files are there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastnn.cli import main

pytestmark = pytest.mark.usefixtures("tiny_runs")

RELU = "def relu(x): return np.maximum(x, 0)\n"
MINE = "import subprocess, random, multiprocessing.pool\nimport numpy as np\n" + RELU
OTHERS = ("select", "random", "queue", "tempfile", "decimal", "numba", "scipy", "h5py", "torch", "cupy")
CHECK = ["check", "--cases", "3", "--like", "relu_forward", "--kernel"]
FLAGS = {"as the installed command": ["-P"], "as python -m fastnn": []}


def check(kernel, flags=("-P",), **environment):
    command = [sys.executable, *flags, "-m", "fastnn", *CHECK, kernel]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})


def loaded_by_numpy():
    """Return the modules that `python -m fastnn` loads before its own code runs."""
    code = "import sys, runpy, numpy; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.fixture
def own_path(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("mine", "helper", "package"):
            del sys.modules[name]


@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS)
def test_files_named_like_other_modules_are_left_alone(flags):
    Path("mine.py").write_text(MINE)
    for name in set(OTHERS) - (set() if flags else loaded_by_numpy()):
        Path(f"{name}.py").write_text("raise RuntimeError('this file was imported')\n")
    done = check("mine:relu", flags)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("relu does what relu_forward does: ")


@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS)
def test_every_command_leaves_them_alone(flags):
    for name in {*OTHERS, "json", "argparse"} - (set() if flags else loaded_by_numpy()):
        Path(f"{name}.py").write_text("raise RuntimeError('this file was imported')\n")
    command = [sys.executable, *flags, "-m", "fastnn", "info"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "source",
    [
        "from helper import np\n" + RELU,
        "def relu(x):\n    from helper import np\n    return np.maximum(x, 0)\n",
    ],
    ids=["at once", "when called"],
)
@pytest.mark.usefixtures("own_path")
def test_a_module_beside_the_kernel_can_be_imported(capsys, source):
    before = [*sys.path]
    Path("mine.py").write_text(source)
    Path("helper.py").write_text("import numpy as np\n")
    assert main([*CHECK, "mine:relu"]) == 0
    assert capsys.readouterr().out.startswith("relu does what relu_forward does: ")
    assert sys.path == before


@pytest.mark.usefixtures("own_path")
def test_a_kernel_in_a_package(capsys):
    Path("package").mkdir()
    Path("package/__init__.py").touch()
    Path("package/mine.py").write_text("from .other import np\n" + RELU)
    Path("package/other.py").write_text("import numpy as np\n")
    assert main([*CHECK, "package.mine:relu"]) == 0


@pytest.mark.usefixtures("own_path")
def test_a_kernel_in_a_folder_without_init(capsys):
    Path("package").mkdir()
    Path("package/mine.py").write_text("import numpy as np\n" + RELU)
    assert main([*CHECK, "package.mine:relu"]) == 0


def test_the_module_of_this_folder_goes_before_an_installed_one():
    Path("mine.py").write_text("import numpy as np\n" + RELU)
    Path("installed").mkdir()
    Path("installed/mine.py").write_text("raise RuntimeError('this file was imported')\n")
    assert check("mine:relu", PYTHONPATH="installed").returncode == 0


@pytest.mark.usefixtures("own_path")
@pytest.mark.parametrize("name", ["queue", "random", "json"])
def test_a_kernel_in_a_file_named_like_a_standard_module(error_of, name):
    Path(f"{name}.py").write_text("import numpy as np\n" + RELU)
    error = error_of(*CHECK, f"{name}:relu")
    assert f"check: kernel='{name}:relu' has the name of a standard library module; expected another one; " in error
    assert f"rename {name}.py" in error


@pytest.mark.usefixtures("own_path")
def test_a_module_that_cannot_be_imported_leaves_nothing_behind(error_of):
    before = [*sys.path]
    Path("mine.py").write_text("import a_module_that_does_not_exist\n")
    assert "No module named 'a_module_that_does_not_exist'" in error_of(*CHECK, "mine:relu")
    assert sys.path == before
    assert "mine" not in sys.modules

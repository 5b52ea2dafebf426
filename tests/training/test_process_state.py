"""Global state of the process is not changed: hooks, handlers, settings of other packages, random states."""

import inspect
import random
import signal
import socket
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest

import fastnn
from fastnn.classifiers.fc_net import FullyConnectedNet
from fastnn.cli import main
from fastnn.kernels.dispatch import interrupts
from fastnn.solver import Solver


def state():
    """Return the global state, by name."""
    import matplotlib

    compared = {
        "warnings.filters": list(warnings.filters),
        "warnings.showwarning": warnings.showwarning,
        "sys.excepthook": sys.excepthook,
        "sys.unraisablehook": sys.unraisablehook,
        "threading.excepthook": threading.excepthook,
        "sys.path": list(sys.path),
        "sys.meta_path": list(sys.meta_path),
        "sys.path_hooks": list(sys.path_hooks),
        "recursion limit": sys.getrecursionlimit(),
        "trace": (sys.gettrace(), sys.getprofile()),
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "time limit of sockets": socket.getdefaulttimeout(),
        "np.geterr": np.geterr(),
        "np.geterrcall": np.geterrcall(),
        "np.get_printoptions": np.get_printoptions(),
        "np.random": str(np.random.get_state(legacy=False)),
        "random": random.getstate(),
        "matplotlib.rcParams": dict(matplotlib.rcParams.copy()),
    }
    if numba := sys.modules.get("numba"):
        config = numba.core.config
        compared["numba.config"] = {name: getattr(config, name) for name in dir(config) if name.isupper()}
    return compared


@pytest.fixture
def unchanged():
    pytest.importorskip("scipy.special")  # adds a warning filter at import
    before = state()
    yield
    after = state()
    for name, value in before.items():
        assert after[name] == value, name


IMPORT = """
import importlib, pkgutil, random, signal, socket, sys, threading, warnings
import h5py, matplotlib.figure, numpy as np, scipy.optimize, scipy.special, tqdm
try:
    import numba
except ImportError:
    pass
try:
    import torch
    absent = ()
except ImportError:
    absent = ("fastnn.courses.eecs598", "fastnn.courses.ite4052")
{}
before = state()
import fastnn
names = [module.name for module in pkgutil.walk_packages(fastnn.__path__, "fastnn.")]
for name in names:
    if not name.endswith("__main__") and "kernels" not in name and not name.startswith(absent):
        importlib.import_module(name)
finder = sys.modules["fastnn.courses.finder"].Finder  # that of the modules in fastnn.courses
sys.meta_path[:] = [one for one in sys.meta_path if not isinstance(one, finder)]
print(len(names), [name for name, value in state().items() if value != before[name]])
"""


def test_importing_every_module():
    """Changes by imported packages are allowed."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT.format(inspect.getsource(state))], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    count, changed = done.stdout.split(maxsplit=1)
    assert int(count) > 50
    assert changed.strip() == "[]"


def test_training(unchanged, backend):
    x, y = np.eye(4, dtype=np.float32), np.arange(4)
    data = {"X_train": x, "y_train": y, "X_val": x, "y_val": y}
    model = FullyConnectedNet([3], 4, 4, dtype=np.float32, generator=0)
    Solver(model, data, batch_size=2, num_epochs=1, verbose=False, seed=0).train()


@pytest.mark.parametrize(
    "arguments",
    [["info"], ["train", "--out", "run"], ["nonsense"], ["train", "--epochs", "-1"], ["predict", "no", "no"]],
)
def test_commands(tiny_runs, unchanged, capsys, arguments):
    try:
        main(arguments)
    except SystemExit:
        assert arguments == ["nonsense"]


def test_a_handler_that_is_not_pythons_stays(monkeypatch):
    """A handler of an embedding program, which cannot be restored."""

    def set_handler(number, handler):
        raise AssertionError("the handler was replaced")

    monkeypatch.setattr(signal, "getsignal", lambda number: None)
    monkeypatch.setattr(signal, "signal", set_handler)
    with interrupts.delayed():
        pass


def test_a_command_in_another_thread(tiny_runs, unchanged, capsys):
    """Only the main thread may set handlers."""
    codes = []
    thread = threading.Thread(target=lambda: codes.append(main(["train", "--out", "run"])))
    thread.start()
    thread.join()
    assert codes == [0]
    assert fastnn.get_backend() == "vectorized"

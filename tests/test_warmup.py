"""`fastnn warmup`: it calls every operation, and compiles all that training asks for afterwards."""

import importlib
import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from conftest import AVAILABLE
from test_rules import contract

import fastnn
from fastnn import kernels, warmup
from fastnn.cli import main

compiles = pytest.mark.skipif(
    "njit" not in AVAILABLE or "NUMBA_DISABLE_JIT" in os.environ, reason="nothing is compiled"
)


class Recorder:
    """Stands in for a variant of an operation and notes which of its functions are used."""

    def __init__(self, variant, used):
        self.variant, self.used = variant, used

    def __getattr__(self, name):
        self.used.add(name)
        return getattr(self.variant, name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_operation_is_called(monkeypatch, dtype):
    used = set()
    for operation in kernels.OPERATIONS:
        front = importlib.import_module(f"fastnn.kernels.{operation}")
        recorder = Recorder(importlib.import_module(f"fastnn.kernels.{operation}.vectorized"), used)
        monkeypatch.setattr(front, "_variant", lambda recorder=recorder: recorder)
    for _, step in warmup.steps(dtype):
        step()
    expected = {name for operation in kernels.OPERATIONS for name in contract(operation)}
    assert expected - used == set()


REQUESTS = """
    import json, sys
    from fastnn.kernels import compiling

    def requests():
        \"\"\"The kernels that were asked for, with the types of their arguments, and how many had to be compiled.\"\"\"
        asked = set()
        for name, module in list(sys.modules.items()):
            if name.startswith("fastnn.kernels."):
                for value in vars(module).values():
                    kernel = getattr(value, "kernel", value)
                    if hasattr(kernel, "stats"):
                        signatures = {*kernel.stats.cache_hits, *kernel.stats.cache_misses}
                        asked |= {f"{kernel.py_func.__module__}.{kernel.py_func.__name__}{s}" for s in signatures}
        print(json.dumps([sorted(asked), compiling.compiled()]))
"""
WARMUP = """
    from fastnn.cli import main
    assert main(["warmup"]) == 0
    requests()
"""
TRAINING = """
    import numpy as np
    import fastnn
    from fastnn import nn
    from fastnn.classifiers.cnn import ThreeLayerConvNet
    from fastnn.classifiers.fc_net import FullyConnectedNet
    from fastnn.solver import Solver

    def block(channels, filters):
        convolution = nn.Conv2d(channels, filters, 3, padding=1, seed=0)
        return convolution, nn.BatchNorm2d(filters), nn.ReLU(), nn.MaxPool2d(2)

    generator = np.random.default_rng(0)
    X, y = generator.standard_normal((12, 3, 32, 32)).astype(np.float32), generator.integers(10, size=12)
    data = {"X_train": X, "y_train": y, "X_val": X, "y_val": y}
    networks = {
        "adam": ThreeLayerConvNet(num_filters=5, hidden_dim=20, reg=1e-3, seed=0),
        "sgd_momentum": FullyConnectedNet([20] * 4, normalization="batchnorm", reg=1e-3, generator=0),
        "nesterov": nn.Sequential(
            *block(3, 16), *block(16, 7), *block(7, 8), nn.Flatten(), nn.Linear(128, 10, seed=0), reg=1e-3
        ),
    }
    with fastnn.use_backend("njit"):
        for rule, network in networks.items():
            Solver(network, data, update_rule=rule, batch_size=6, num_epochs=1, verbose=False, seed=0).train()
    requests()
"""


def asked_for(code):
    environment = {**os.environ, "FASTNN_NUM_THREADS": "2"}
    code = textwrap.dedent(REQUESTS) + textwrap.dedent(code)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=900)
    assert (done.returncode, done.stderr) == (0, "")
    asked, compiled = json.loads(done.stdout.splitlines()[-1])
    return set(asked), compiled


@compiles
def test_training_asks_for_nothing_that_was_not_compiled_before():
    """Compared is what is asked for: whether it was in the cache before says nothing."""
    warm, _ = asked_for(WARMUP)
    training, compiled = asked_for(TRAINING)
    assert any("convolution._forward" in kernel for kernel in training)
    assert training - warm == set()
    assert compiled == 0
    assert asked_for(WARMUP)[1] == 0


# ---- the command ----


@pytest.fixture
def two_steps(monkeypatch):
    """The command with two steps, of which one computes."""

    def steps(dtype):
        yield "first", lambda: kernels.activations.relu_forward(np.ones(3, dtype))
        yield "second", lambda: None

    monkeypatch.setattr(warmup, "steps", steps)


@compiles
@pytest.mark.parametrize(("arguments", "expected"), [([], ["float32"]), (["--dtype", "both"], ["float32", "float64"])])
def test_the_command_says_what_it_does(two_steps, capsys, arguments, expected):
    with fastnn.use_backend("naive"):
        assert main(["warmup", *arguments]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [[dtype, step] for dtype in expected for step in ("first", "second")]
    assert lines[1].endswith("none to compile")
    assert " kernels compiled, " in last
    assert f"kept in {kernels.compiling.cache_folder()}" in last

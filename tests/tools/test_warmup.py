"""`fastnn warmup` calls every operation, and compiles everything that training needs."""

import importlib
import json
import os
import subprocess
import sys
import textwrap
import warnings

import numpy as np
import pytest
from conftest import AVAILABLE
from contracts import Recorder, contract

import fastnn
from fastnn import kernels
from fastnn.benchmarking import warmup
from fastnn.cli import main

compiles = pytest.mark.skipif(
    "njit" not in AVAILABLE or "NUMBA_DISABLE_JIT" in os.environ, reason="nothing is compiled"
)


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
    from fastnn.kernels.cpu import compiling

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
    assert main(["warmup", "--dtype", "both"]) == 0
    requests()
"""
CASES = """
    import fastnn
    from fastnn.benchmarking.cases import CASES
    from fastnn.testing.conformance import cases, checking, strategies
    from fastnn.testing.conformance.specs import FUNCTIONS

    fastnn.set_backend("njit")
    for dtype in checking.DTYPES:
        for case in CASES:
            tiny = case.tiny()
            for call in tiny.calls(tiny.inputs(dtype)).values():
                call()
        for function in FUNCTIONS.values():
            drawn = [case for seed in (0, 1) for case in cases.drawn(function, dtype, {}, seed, 12)]
            for case in (*drawn, cases.make(function, strategies.large(function, dtype, {}))):
                if case:
                    cases.outcome(function, function.public, case.fresh())
    requests()
"""
LAYERS = """
    import numpy as np
    import fastnn
    from fastnn import layers, nn, optim
    from fastnn.augment import Augment
    from fastnn.classifiers import LinearSVM, Softmax, TwoLayerNet

    fastnn.set_backend("njit")
    generator = np.random.default_rng(0)
    for dtype in (np.float32, np.float64):
        images, rows = (generator.standard_normal(shape).astype(dtype) for shape in ((4, 6, 8, 8), (4, 6)))
        for x in (images, images.transpose(0, 1, 3, 2), images[:, :, ::-1], np.asfortranarray(images)):
            for layer in (
                nn.Maxout(2), nn.PReLU(6), nn.PReLU(1), nn.ELU(), nn.GELU(), nn.Sigmoid(), nn.Tanh(), nn.LeakyReLU(),
                nn.AvgPool2d(2), nn.AvgPool2d(3, stride=2, padding=1), nn.MaxPool2d(3, stride=2, padding=1),
                nn.GlobalAvgPool2d(), nn.BatchNorm2d(6), nn.GroupNorm(2, 6), nn.Dropout(0.5, seed=0),
                nn.Conv2d(6, 4, 3, padding=1, seed=0), nn.Conv2d(6, 4, 1, stride=2, bias=False, seed=0),
            ):
                out, cache = layer.forward(x)
                layer.backward(out, cache)
        for labels in ("int8", "int32", "int64", "uint8", "uint64"):
            y = np.arange(4).astype(labels)
            layers.softmax_loss(rows, y)
            layers.svm_loss(np.asfortranarray(rows), y)
            for classifier in (LinearSVM(), Softmax()):
                classifier.train(rows, y, num_iters=1, batch_size=2)
        net = TwoLayerNet(6, 5, 6, dtype=dtype, seed=0)
        net.loss(rows, np.arange(4))
        w, dw, out = rows.copy(), rows.copy(), np.empty_like(rows)
        for rule in optim.RULES.values():
            rule(w, dw, None, out)
            rule(w.T, dw.T, None, None)
        optim.clip_by_norm({"w": dw, "b": dw[0]}, 1.0)
    for dtype in (np.uint8, np.float32, np.float64):
        Augment(padding=1, flip=0.5, cutout=2)(np.ones((3, 3, 6, 6), dtype), 0)
        Augment(padding=1)(np.ones((3, 6, 6, 3), dtype).transpose(0, 3, 1, 2), 0)
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


@pytest.fixture(scope="module")
def warm():
    """Return the kernels that `fastnn warmup` asks for."""
    return asked_for(WARMUP)[0]


@compiles
@pytest.mark.parametrize("code", [TRAINING, CASES, LAYERS], ids=["training", "cases", "layers"])
def test_nothing_is_asked_for_that_was_not_compiled_before(warm, code):
    """Compares requests, since kernels may already be in the cache."""
    asked, compiled = asked_for(code)
    assert any("convolution._forward" in kernel for kernel in asked)
    assert asked - warm == set()
    assert compiled == 0


@compiles
def test_a_second_warmup_compiles_nothing(warm):
    assert asked_for(WARMUP)[1] == 0


# ---- the command ----


@pytest.fixture
def two_steps(monkeypatch):
    """The command with two steps, one of which computes."""

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
    assert f"kept in {kernels.cache.code_cache.folder()}" in last


# ---- tuning ----


@pytest.fixture
def tuned(two_steps, monkeypatch, tmp_path):
    """The command with two steps and chosen winners; returns the folder of its file, and the classes that it tuned."""
    from fastnn.kernels.cache import code_cache
    from fastnn.kernels.cpu import roofline, tuning
    from fastnn.kernels.cpu.simd import sizes

    asked, winners = [], {"dw large": tuning.Winner("panels", 1 << 19, 1.0625)}

    def tune(dtype, seconds, tell):
        asked.append((dtype.name, seconds))
        for name in ("dw large", "dx large"):
            tell(f"{dtype} {name}", winners.get(name))
        return {f"{dtype} {name}": winner for name, winner in winners.items()}

    monkeypatch.setattr(tuning, "tune", tune)
    monkeypatch.setattr(roofline, "copy", lambda seconds: 21.5e9)
    monkeypatch.setattr(roofline, "multiply_adds", lambda dtype, seconds: 8e11 / dtype.itemsize)
    monkeypatch.setattr(code_cache, "folders_of", lambda *_: ((tmp_path,), True))
    monkeypatch.setenv(sizes.VARIABLE, "")
    with sizes.use(None):
        yield tmp_path, asked, winners


@compiles
def test_tuning_is_told_kept_and_shown(tuned, capsys):
    folder, asked, _ = tuned
    assert main(["warmup", "--tune"]) == 0
    *_, first, second, third, last = capsys.readouterr().out.splitlines()
    assert asked == [("float32", 45.0)]
    assert first.startswith("timing sizes of blocks on ")
    assert second == "float32 dw large            panels 512 KB, 1.06 times as fast"
    assert third == "float32 dx large            that of the model"
    (path,) = folder.glob("tuned-*.json")
    assert last.startswith("a faster size in 1 of 8 classes of shapes, ")
    assert last.endswith(f" s; kept in {path}")
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    assert "peak rates  21.5 GB/s of a copy, 200 GFLOP/s in float32\n" in out
    assert f" threads, kept in {path}\n            float32 dw large: panels 512 KB, 1.06 times as fast\n" in out
    assert main(["info", "--json"]) == 0
    blocks = json.loads(capsys.readouterr().out)["blocks"]
    assert blocks["tuned"]["float32"]["classes"]["dw large"] == {"size": "panels", "value": 1 << 19, "gain": 1.0625}
    assert blocks["file"] == str(path)


@compiles
def test_a_machine_on_which_nothing_is_faster(tuned, capsys):
    _, asked, winners = tuned
    winners.clear()
    assert main(["warmup", "--tune", "--dtype", "both"]) == 0
    assert asked == [("float32", 22.5), ("float64", 22.5)]
    assert "a faster size in 0 of 16 classes of shapes, " in capsys.readouterr().out
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    assert "blocks      model-" in out
    assert "float64: nothing was faster than the model\n" in out


@compiles
def test_info_of_a_broken_file(tuned, capsys):
    folder, _, _ = tuned
    assert main(["warmup", "--tune"]) == 0
    next(folder.glob("tuned-*.json")).write_text("{")
    capsys.readouterr()
    from fastnn.kernels.cpu.simd import sizes

    with sizes.use(None), warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main(["info"]) == 0
    found = capsys.readouterr()
    assert "peak rates  not measured; `fastnn warmup --tune` measures them\n" in found.out
    assert "blocks      model-" in found.out
    assert found.err.startswith("fastnn info: warning: fastnn: the tuned sizes in '")


@compiles
def test_sizes_that_cannot_be_kept(tuned, capsys, monkeypatch):
    from fastnn.kernels.cpu import block_sizes

    monkeypatch.setattr(block_sizes, "write", lambda *_: None)
    assert main(["warmup", "--tune"]) == 2
    assert "fastnn warmup: error: warmup: tuned sizes cannot be kept beside the" in capsys.readouterr().err


def test_tuning_needs_compiled_kernels(two_steps, capsys, monkeypatch):
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert main(["warmup", "--tune"]) == 2
    assert "warmup: --tune with NUMBA_DISABLE_JIT times no compiled kernels; expected" in capsys.readouterr().err

"""A user's script passes `mypy --strict` with the installed package."""

import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]

SCRIPT = """
from typing import Any

import numpy as np

import fastnn
from fastnn import classifiers, data_utils, gradient_check, layer_utils, layers, nn, optim, rng, schedules, testing
from fastnn import vis_utils
from fastnn.augment import Augment
from fastnn.classifiers.cnn import ThreeLayerConvNet
from fastnn.classifiers.linear_classifier import svm_loss_vectorized
from fastnn.fast_layers import conv_backward_fast, conv_forward_fast
from fastnn.layer_utils import affine_relu_backward, affine_relu_forward
from fastnn.solver import Solver
from fastnn.sweep import best, grid, sweep


def train(data: dict[str, Any]) -> list[float]:
    fastnn.set_backend("vectorized")
    with fastnn.use_backend("naive"):
        model = ThreeLayerConvNet(num_filters=4, seed=0)
    schedule = schedules.Warmup(1, then=schedules.Cosine(final=0.1))
    solver = Solver(model, data, update_rule="adam", optim_config={"learning_rate": 1e-3}, num_epochs=1, seed=None,
                    transform=Augment(padding=4, flip=0.5), schedule=schedule, callbacks=[print])
    solver.train()
    reveal_type(solver.loss_history)
    reveal_type(solver.check_accuracy(data["X_val"], data["y_val"]))
    return solver.loss_history


def course(x: np.ndarray[Any, np.dtype[np.float32]], y: np.ndarray[Any, Any]) -> float:
    w, b = np.ones((3, 4)), np.zeros(4)
    out, cache = layers.affine_forward(x, w, b)
    reveal_type(out)
    dx, dw, db = layers.affine_backward(out, cache)
    reveal_type(dw)
    hidden, cache = affine_relu_forward(x, w, b)
    dx, dw, db = affine_relu_backward(hidden, cache)
    out, cache = conv_forward_fast(x, w, b, {"stride": 1, "pad": 0})
    reveal_type(out)
    dx, dw, db = conv_backward_fast(out, cache)
    out, cache = layers.batchnorm_forward(x, b, b, {"mode": "train"})
    out, cache = layer_utils.conv_bn_relu_forward(x, w, b, b, b, {"stride": 1, "pad": 1}, {"mode": "train"})
    loss, dscores = layers.softmax_loss(out, y)
    reveal_type(loss)
    reveal_type(dscores)
    loss, dw = svm_loss_vectorized(w, x, y, 0.1)
    reveal_type(dw)
    w, config = optim.adam(w, dw, {"learning_rate": 1e-3})
    reveal_type(w)
    gradients, norm = optim.clip_by_norm({"w": dw}, 1.0)
    numeric = gradient_check.eval_numerical_gradient_array(lambda v: v * 2, w, dw)
    reveal_type(numeric)
    print(gradient_check.rel_error(numeric, dw), gradient_check.diagnose(lambda v: float(v.sum()), w, dw).ok)
    testing.assert_same(dw, dw)
    return loss


def others(data: dict[str, Any]) -> None:
    net = nn.Sequential(nn.Linear(4, 3, seed=0), nn.ReLU(), nn.BatchNorm1d(3), nn.Dropout(0.5))
    reveal_type(net(np.ones((2, 4))))
    reveal_type(net.params["0.weight"])
    softmax = classifiers.Softmax(seed=0)
    reveal_type(softmax.train(data["X_train"], data["y_train"], num_iters=3))
    reveal_type(softmax.predict(data["X_val"]))
    records = sweep(lambda params: {"val_acc": params["reg"]}, grid(reg=[0.1, 1.0]), verbose=False)
    print(best(records)["params"], rng.generator(0), optim.DEFAULTS["adam"])
    shapes = data_utils.get_shapes_data(10, 5, 5)
    reveal_type(vis_utils.visualize_grid(shapes["X_train"]))
"""
EXPECTED = {
    "solver.loss_history": "list[float]",
    "solver.check_accuracy": "float",
    "loss": "float",
    "softmax.train": "list[float]",
}
WRONG = {
    'Solver(object(), {}, num_epochs="x")': 'Argument "num_epochs" to "Solver" has incompatible type "str"',
    "Solver(object(), {}, epochs=3)": 'Unexpected keyword argument "epochs" for "Solver"',
    "layers.affine_forward(np.ones(3), np.ones(3))": 'Missing positional argument "b" in call to "affine_forward"',
    'nn.Linear("a", 3)': 'Argument 1 to "Linear" has incompatible type "str"',
    "schedules.Cosine(fnial=0.1)": 'Unexpected keyword argument "fnial" for "Cosine"',
    'optim.sgd(np.ones(3), np.ones(3), "adam")': 'Argument 3 to "sgd" has incompatible type "str"',
    'layers.softmax_loss(np.ones(3), np.ones(3), "x")': 'Argument 3 to "softmax_loss" has incompatible type "str"',
    'conv_forward_fast(np.ones(3), 3, 3, "pad")': 'Argument 4 has incompatible type "str"',
}


@pytest.fixture(scope="module")
def mypy(tmp_path_factory):
    """Return a function that checks a script against the installed wheel and returns the output of mypy."""
    folder = tmp_path_factory.mktemp("typing")
    for name in ("fastnn", "kernels"):
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "pytest_fastnn.py"):
        shutil.copy(ROOT / name, folder / "source")
    build = [sys.executable, "-c", "import setuptools.build_meta as build; build.build_wheel('.')"]
    subprocess.run(build, cwd=folder / "source", check=True, capture_output=True)
    venv.create(folder / "venv", symlinks=sys.platform != "win32")
    site = next((folder / "venv").rglob("site-packages"))
    (wheel,) = (folder / "source").glob("*.whl")
    zipfile.ZipFile(wheel).extractall(site)
    (site / "others.pth").write_text(str(Path(np.__file__).parents[1]), encoding="utf-8")
    python = next(path for path in (folder / "venv").rglob("python*") if path.stem == "python")

    def check(text, *options):
        script = folder / "script.py"
        script.write_text(text, encoding="utf-8")
        command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python), "--config-file="]
        done = subprocess.run([*command, *options, script.name], cwd=folder, capture_output=True, text=True)
        return done.stdout + done.stderr

    return check


def test_a_strict_script_has_no_errors(mypy):
    printed = mypy(SCRIPT)
    assert "Success: no issues found in 1 source file" in printed, printed
    asked = [line.strip() for line in SCRIPT.splitlines() if "reveal_type" in line]
    revealed = [line.split('Revealed type is "')[1].rstrip('"') for line in printed.splitlines() if "Revealed" in line]
    assert len(revealed) == len(asked)
    for line, kind in zip(asked, revealed, strict=True):
        word = line.removeprefix("reveal_type(").rstrip(")").split("(")[0]
        expected = EXPECTED.get(word, "numpy.ndarray[")
        assert expected in kind.replace("builtins.", ""), f"{line}: {kind}"


def test_wrong_use_is_reported(mypy):
    imports = SCRIPT.split("def train")[0]
    printed = mypy(imports + "\n".join(WRONG)).splitlines()
    first = imports.count("\n") + 1
    for number, (line, message) in enumerate(WRONG.items(), first):
        assert any(found.startswith(f"script.py:{number}: error: {message}") for found in printed), f"{line}: {printed}"

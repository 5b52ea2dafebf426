"""The cuda backend on a GPU: every operation at benchmark sizes, a training run, memory over many steps."""

import shutil
import subprocess
import sys

import numpy as np
import pytest

import fastnn
from fastnn import data_utils
from fastnn.benchmarking import report
from fastnn.benchmarking.cases import CASES
from fastnn.classifiers import ThreeLayerConvNet
from fastnn.kernels import use_backend
from fastnn.solver import Solver


def reason():
    """Return why these tests cannot run here, or an empty string."""
    (line,) = (line for line in fastnn.backends() if line.name == "cuda")
    if not line.available:
        return f"no NVIDIA GPU to run on: {line.reason}"
    from fastnn.kernels.gpu import availability

    return "the simulator is too slow for these sizes" if availability.SIMULATED else ""


REASON = reason()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(bool(REASON), reason=REASON or "a GPU is here")]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_operation_at_full_size(case, dtype):
    arrays = case.inputs(dtype)
    report.check(case, report.reference(case, arrays), "cuda", case.calls(arrays), dtype)


def trained(backend, dtype):
    """Train a convolutional network for two epochs and return the losses."""
    data = data_utils.get_shapes_data(400, 100, 100, dtype=dtype)
    with use_backend(backend):
        model = ThreeLayerConvNet(num_filters=8, filter_size=5, hidden_dim=32, dtype=dtype, seed=0)
        solver = Solver(model, data, update_rule="adam", batch_size=20, num_epochs=2, verbose=False, seed=0)
        solver.train()
    return solver.loss_history


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-3), (np.float64, 1e-9)])
def test_a_training_run_has_the_losses_of_the_processor(dtype, tolerance):
    np.testing.assert_allclose(trained("cuda", dtype), trained("njit", dtype), rtol=tolerance)


def test_a_thousand_steps_need_no_more_memory_than_ten():
    cupy = pytest.importorskip("cupy")
    pool, data = cupy.get_default_memory_pool(), data_utils.get_shapes_data(100, 20, 20)
    held = []
    with use_backend("cuda"):
        model = ThreeLayerConvNet(num_filters=4, filter_size=3, hidden_dim=8, seed=0)
        for epochs in (2, 200):
            Solver(model, data, batch_size=20, num_epochs=epochs, verbose=False, seed=0).train()
            held.append((pool.used_bytes(), pool.total_bytes()))
    assert held[0] == held[1]


SANITIZER = shutil.which("compute-sanitizer")


@pytest.mark.skipif(SANITIZER is None, reason="needs compute-sanitizer, which NVIDIA's CUDA toolkit brings")
@pytest.mark.parametrize("tool", ["memcheck", "racecheck", "synccheck"])
def test_compute_sanitizer_finds_nothing(tool):
    """For every operation at the shapes of `fastnn check`, with each array in its own allocation."""
    program = (
        "import cupy; cupy.cuda.set_allocator(None); from fastnn import cli; "
        "raise SystemExit(cli.main(['check', '--backend', 'cuda']))"
    )
    command = [SANITIZER, "--tool", tool, "--error-exitcode", "99", sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]

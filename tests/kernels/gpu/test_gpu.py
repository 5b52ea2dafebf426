"""The cuda backend on a GPU: every operation at benchmark sizes, a training run, memory over many steps."""

import gc
import shutil
import subprocess
import sys
from pathlib import Path

import gpu_machine
import numpy as np
import pytest

import fastnn
from fastnn import data_utils
from fastnn.benchmarking import report
from fastnn.benchmarking.cases import CASES
from fastnn.classifiers import ThreeLayerConvNet
from fastnn.kernels import use_backend
from fastnn.solver import Solver
from fastnn.training import graph_training

availability = pytest.importorskip("fastnn.kernels.gpu.availability", reason="the backend cuda needs numba")
(LINE,) = (line for line in fastnn.backends() if line.name == "cuda")
REASON = gpu_machine.reason_to_skip(LINE, availability.driver_version(), availability.SIMULATED)
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


def test_a_thousand_steps_need_no_more_memory_than_ten(monkeypatch):
    """Within a run, once its graphs are captured; and a second run needs no more than the first."""
    cupy = pytest.importorskip("cupy")
    pool, data, held = cupy.get_default_memory_pool(), data_utils.get_shapes_data(100, 20, 20), []
    advance = graph_training.GraphTraining.advance

    def noted(self, count):
        advance(self, count)
        held.append(pool.total_bytes())

    monkeypatch.setattr(graph_training.GraphTraining, "advance", noted)
    free = []
    with use_backend("cuda"):
        for _ in range(3):
            held.clear()
            model = ThreeLayerConvNet(num_filters=32, filter_size=3, hidden_dim=8, seed=0)
            Solver(model, data, batch_size=20, num_epochs=200, verbose=False, seed=0).train()
            assert held[3] == held[-1]
            gc.collect()
            pool.free_all_blocks()
            free.append(cupy.cuda.runtime.memGetInfo()[0])
    assert free[1] - free[2] < 1 << 20  # a captured graph that leaked would keep its activations, 2.5 MiB each


SANITIZER = shutil.which("compute-sanitizer")


needs_sanitizer = pytest.mark.skipif(
    SANITIZER is None, reason="needs compute-sanitizer, which NVIDIA's CUDA toolkit brings"
)


@needs_sanitizer
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


FIRST_RUN = Path(__file__).parents[3] / "benchmarks" / "gpu_first_run.py"


def first_run(tmp_path, *steps):
    """Run steps of `benchmarks/gpu_first_run.py`, which compute in float32 and with TF32."""
    command = [sys.executable, FIRST_RUN, "--out", tmp_path / "gpu.json", "--only", *steps]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


def test_products_and_training_with_and_without_tensor_cores(tmp_path):
    first_run(tmp_path, "products", "training")


@needs_sanitizer
@pytest.mark.parametrize("tool", ["memcheck", "racecheck"])
def test_compute_sanitizer_finds_nothing_with_tensor_cores_either(tool, tmp_path):
    first_run(tmp_path, tool)

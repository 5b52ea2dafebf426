"""Long training and hostile conditions: constant memory, two runs at once, forks, full disks, read-only folders."""

import contextlib
import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import endurance
import numpy as np
import pytest
from cached_code import linux_only, run, without_cache  # noqa: F401  (a fixture)
from conftest import AVAILABLE
from small_solver import assert_identical, everything

import fastnn
from fastnn import checkpoint, nn
from fastnn.data_utils import load_patches, save_patches
from fastnn.sweep import grid, load_ledger, sweep

needs_njit = pytest.mark.skipif("njit" not in AVAILABLE, reason="numba is not installed")


# ---- long training ----


counts_memory = pytest.mark.skipif(
    not endurance.STATUS.exists(), reason="this system does not tell how much memory is used"
)


@counts_memory
@pytest.mark.usefixtures("one_backend")
def test_memory_stays_flat():
    """A short form of `python tests/helpers/endurance.py`, which runs 10,000 steps."""
    assert endurance.is_flat(1000, endurance.growth(1000))


@counts_memory
@pytest.mark.usefixtures("one_backend")
def test_a_leak_is_seen():
    assert not endurance.is_flat(500, endurance.growth(500, leak=[]))


# ---- two runs at once ----


def test_two_python_threads_train_at_once(backend):
    """Each gives the same bits as alone."""
    steps = 1 if backend in ("naive", "cuda") else 50
    seeds = (4, 5)

    def trained(seed):
        with fastnn.use_backend(backend):
            solver = endurance.solver(steps, seed=seed)
            solver.train()
        return everything(solver)

    expected = [trained(seed) for seed in seeds]
    with ThreadPoolExecutor(2) as pool:
        for actual, right in zip(pool.map(trained, seeds), expected, strict=True):
            assert_identical(actual, right)


@needs_njit
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_worker_prepares_the_data():
    """Kernels run in the child and in the parent at the same time; the losses are those without a worker."""
    code = """
        import multiprocessing
        import endurance
        from fastnn.augment import Augment

        prepare = Augment(padding=1)

        def elsewhere(images, generator):
            images, state = pool.apply(prepared, (images, generator.bit_generator.state))
            generator.bit_generator.state = state
            return images

        def prepared(images, state):
            generator = np.random.default_rng()
            generator.bit_generator.state = state
            return prepare(images, generator), generator.bit_generator.state

        expected = endurance.solver(80)
        expected.train()  # and the threads of the kernels exist before the fork
        with multiprocessing.get_context("fork").Pool(1) as pool:
            actual = endurance.solver(80, transform=elsewhere)
            actual.train()
        print(len(actual.loss_history), actual.loss_history == expected.loss_history)
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", "import numpy as np\n" + textwrap.dedent(code)],
        env={
            **os.environ,
            "FASTNN_BACKEND": "njit",
            "FASTNN_NUM_THREADS": "2",
            "PYTHONPATH": str(Path(endurance.__file__).parent),
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["80", "True"]


# ---- on a full disk ----

WEIGHTS = {"W": np.ones(100_000)}
IMAGES = np.random.default_rng(0).random((1000, 3, 4, 4))
SAVING = {
    "checkpoint": ("run.h5", lambda: checkpoint.save("run.h5", WEIGHTS), lambda: checkpoint.load("run.h5")["W"]),
    "npz": ("net.npz", lambda: nn.weights_io.save("net.npz", WEIGHTS), lambda: nn.weights_io.load("net.npz")[0]["W"]),
    "HDF5": ("net.h5", lambda: nn.weights_io.save("net.h5", WEIGHTS), lambda: nn.weights_io.load("net.h5")[0]["W"]),
    "patches": ("patches.h5", lambda: save_patches("patches.h5", IMAGES), lambda: load_patches("patches.h5")),
}


@contextlib.contextmanager
def room(size):
    """Limit the size of files, so that writing more fails, as on a full disk."""
    resource = pytest.importorskip("resource", reason="this system has no limits to set")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("kind", SAVING)
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    name, save, load = SAVING[kind]
    save()
    before, expected = Path(name).read_bytes(), load()
    with (
        room(100_000),
        pytest.raises(OSError, match=rf"^save\w*: \w+='{name}' could not be written: .*[Ff]ile too large"),
    ):
        save()
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    assert Path(name).read_bytes() == before
    np.testing.assert_array_equal(load(), expected)
    save()


def test_a_full_disk_leaves_whole_lines_of_a_trial_log(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with room(1000), pytest.raises(OSError, match=r"ledger='l\.jsonl' could not be written: .*File too large"):
        sweep(lambda params: {"val_acc": 0.5, "train_acc": 0.5}, grid(a=range(100)), "l.jsonl", verbose=False)
    assert 2 < len(load_ledger("l.jsonl")) < 10


@pytest.mark.usefixtures("one_backend")
def test_training_survives_a_full_disk(tmp_path):
    """The error names the cause; once there is space, training resumes to the same result."""
    solver = endurance.solver(32, checkpoint_name=str(tmp_path / "run"), checkpoint_every=8)
    with room(10_000), pytest.raises(OSError, match=r"^save: path=.*run\.h5' could not be written"):
        solver.train()
    solver.train()
    expected = endurance.solver(32)
    expected.train()
    assert_identical(everything(solver), everything(expected))
    assert checkpoint.load(tmp_path / "run.h5")["solver"]["iteration"] == 32


# ---- read-only folders ----


@needs_njit
@linux_only
@pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="nothing is compiled")
def test_training_where_no_cache_can_be_written(without_cache):  # noqa: F811
    code = """
        from fastnn.classifiers import Softmax
        with use_backend("njit"):
            history = Softmax(seed=0).train(np.eye(6), np.arange(6) % 3, num_iters=30, batch_size=6)
        print(len(history), history[-1] < history[0])
    """
    printed, written = run(code, **without_cache)
    assert printed == ["30", "True"]
    assert written.count("Warning") == 1
    assert "compiled kernels cannot be kept on disk" in written


@linux_only
@pytest.mark.usefixtures("one_backend")
@pytest.mark.parametrize("save", [checkpoint.save, nn.weights_io.save, save_patches])
def test_folders_that_are_read_only_even_for_the_administrator(save):
    with pytest.raises(OSError, match=r"^save\w*: \w+='/proc/.*' could not be written: .*; expected a writable folder"):
        save("/proc/fastnn.h5", IMAGES if save is save_patches else WEIGHTS)

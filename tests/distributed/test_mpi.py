"""Data-parallel training on processes of MPI."""

import signal
import sys

import numpy as np
import pytest
from mpi_runs import launch, run, start
from sharded_runs import DATA, make

from fastnn import checkpoint, vis_utils
from fastnn.cli import main
from fastnn.solver import Solver

pytestmark = pytest.mark.usefixtures("one_backend")

TRAIN = 'make(comm, checkpoint_name="run.h5", checkpoint_every=4, callbacks={callbacks}).train()'


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The bits of the checkpoint after training in one process."""
    import fastnn

    folder = tmp_path_factory.mktemp("alone")
    with fastnn.use_backend("vectorized"):
        make(checkpoint_name=folder / "run.h5", checkpoint_every=4).train()
    return saved(folder)


def saved(folder, name="run.h5"):
    tree = checkpoint.load(folder / name)["solver"]
    return {key: value for key, value in flat(tree).items() if "checkpoint_name" not in key}


def flat(tree, name=""):
    if isinstance(tree, dict):
        return {key: value for part, inner in tree.items() for key, value in flat(inner, f"{name}/{part}").items()}
    return {name: tree.tobytes() if isinstance(tree, np.ndarray) else repr(tree)}


def test_two_processes_have_the_bits_of_one(tmp_path, expected):
    code, out, err = run(2, TRAIN.format(callbacks=[]) + "\nprint(comm.rank, 'ends')", tmp_path)
    assert (code, err) == (0, "")
    assert sorted(out.splitlines()) == ["0 ends", "1 ends"]
    assert saved(tmp_path) == expected
    assert checkpoint.load(tmp_path / "run.h5")["ranks"]["ranks"] == 2


def test_the_global_state_of_the_first_rank_is_that_of_all(tmp_path):
    script = """
import numpy as np
np.random.seed(comm.rank)
make(comm, seed=None, checkpoint_name="run.h5").train()
"""
    assert run(2, script, tmp_path)[0] == 0
    before = np.random.get_state()
    np.random.seed(0)
    try:
        make(seed=None, checkpoint_name=tmp_path / "alone.h5").train()
    finally:
        np.random.set_state(before)
    assert saved(tmp_path) == saved(tmp_path, "alone.h5")


KILLS = {
    "killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "raises": "raise ZeroDivisionError('a fault of this rank')",
}


@pytest.mark.parametrize("how", KILLS)
def test_a_rank_that_dies_ends_the_job_and_a_run_resumes_on_any_number(tmp_path, expected, how):
    script = f"""
def die(solver):
    if solver.iteration == 7:
        {KILLS[how]}
""" + TRAIN.format(callbacks="last(die)")
    code, _, err = run(4, script, tmp_path)
    assert code != 0
    assert ("ZeroDivisionError: a fault of this rank" in err) == (how == "raises")
    state = checkpoint.load(tmp_path / "run.h5")["solver"]
    assert state["iteration"] == 4
    if how == "killed":
        script = """
from fastnn.solver import Solver
from sharded_runs import DATA
Solver.resume("run.h5", DATA, comm=comm).train()
"""
        code, _, err = run(2, script, tmp_path)
        assert (code, err) == (0, "")
    else:
        Solver.resume(tmp_path / "run.h5", DATA).train()
    assert saved(tmp_path) == expected


def test_a_training_that_diverges_ends_with_one_error(tmp_path):
    script = """
options = {"optim_config": {"learning_rate": 1e30}, "clip_norm": None, "update_rule": "sgd", "schedule": None}
make(comm, on_nonfinite="raise", checkpoint_name="run.h5", checkpoint_every=1, **options).train()
"""
    code, _, err = run(2, script, tmp_path)
    assert code != 0
    assert "\nFloatingPointError: Solver" in err
    assert checkpoint.load(tmp_path / "run.h5")["solver"]["iteration"] == 1


def test_a_rank_that_differs_ends_the_job_with_one_error(tmp_path):
    code, _, err = run(2, "make(comm, seed=comm.rank).train()", tmp_path)
    assert code != 0
    assert "ValueError: Solver: rank 1 differs from rank 0 in seed " in err


def test_a_late_rank_is_named(tmp_path, expected):
    script = """
def sleep(solver):
    while solver.iteration == 2 and not Path("wake").exists():
        time.sleep(0.01)
""" + TRAIN.format(callbacks="last(sleep)")
    with start(2, script, tmp_path) as process:
        line = process.stderr.readline()
        (tmp_path / "wake").touch()
        _, err = process.communicate(timeout=120)
    assert line.startswith("fastnn: waiting for rank 1 of 2 for ")
    assert (process.returncode, err) == (0, "")
    assert saved(tmp_path) == expected


# ---- the command line ----

OPTIONS = [
    "--num-train", "80", "--num-filters", "2", "--filter-size", "3", "--hidden-dim", "5", "--shards", "2",
]  # fmt: skip


def fastnn(size, *arguments, folder):
    return launch(size, [sys.executable, "-m", "fastnn", *arguments], folder)


def test_train_and_resume_on_ranks(tmp_path, monkeypatch):
    monkeypatch.setattr(vis_utils, "training_picture", lambda *arguments, **options: None)
    with fastnn(2, "train", "--mpi", *OPTIONS, "--epochs", "2", "--out", "both", folder=tmp_path) as process:
        out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    assert out.count("ranks                2, for 2 shards of a batch") == 1
    assert out.count("test accuracy") == 1
    assert main(["train", *OPTIONS, "--epochs", "1", "--out", str(tmp_path / "one")]) == 0
    with fastnn(2, "resume", "--mpi", "one", "--epochs", "2", folder=tmp_path) as process:
        assert process.communicate(timeout=120)[1] == ""
    first, second = saved(tmp_path, "both/checkpoint.h5"), saved(tmp_path, "one/checkpoint.h5")
    assert first["/params/W1"] == second["/params/W1"]
    assert first["/optim_configs/W1/m"] == second["/optim_configs/W1/m"]


def test_an_interrupt_saves_once(tmp_path):
    with fastnn(2, "train", "--mpi", *OPTIONS, "--epochs", "100000", "--out", "run", folder=tmp_path) as process:
        while "Iteration 2 /" not in process.stdout.readline():
            pass
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert out.count("interrupted ") == out.count("saved ") == 1
    assert "Traceback" not in err
    assert saved(tmp_path, "run/checkpoint.h5")


def test_an_error_of_the_command_ends_all_ranks(tmp_path):
    with fastnn(2, "train", "--mpi", *OPTIONS, "--shards", "1", "--out", "run", folder=tmp_path) as process:
        _, err = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "fastnn train: error: Solver: shards=1 cannot be computed by 2 ranks; expected" in err

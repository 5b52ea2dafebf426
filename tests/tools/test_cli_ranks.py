"""`--mpi` and `--shards` in process; `tests/distributed/test_mpi.py` starts processes."""

import sys
import types

import pytest

from fastnn import checkpoint
from fastnn.cli import _parser, main, ranks, settings
from fastnn.distributed.communicator import Single

pytestmark = pytest.mark.usefixtures("tiny_runs")


class World:
    """A stand-in for MPI.COMM_WORLD."""

    def __init__(self, rank):
        self.rank, self.aborted = rank, []

    def Get_rank(self):
        return self.rank

    def Abort(self, code):
        self.aborted.append(code)


@pytest.fixture(params=[0, 1])
def world(request, monkeypatch):
    found = World(request.param)
    monkeypatch.setitem(sys.modules, "mpi4py.MPI", types.SimpleNamespace(COMM_WORLD=found))
    found.slept = []
    monkeypatch.setattr(ranks.time, "sleep", found.slept.append)
    return found


def test_a_command_that_succeeds_ends_nobody(world):
    assert ranks.ending_together(lambda: 0) == 0
    assert (world.aborted, world.slept) == ([], [])


@pytest.mark.parametrize("code", [1, 2, 130])
def test_an_exit_code_ends_all_ranks_after_the_first_has_saved(world, code):
    assert ranks.ending_together(lambda: code) == code
    assert world.aborted == [code]
    assert bool(world.slept) == (world.rank == 1 and code != 2)


def test_an_exception_is_shown_and_ends_all_ranks(world, capsys):
    def fail():
        raise ZeroDivisionError("a fault")

    assert ranks.ending_together(fail) == 1
    assert (world.aborted, world.slept) == ([1], [])
    assert "ZeroDivisionError: a fault" in capsys.readouterr().err


def test_without_mpi4py(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    monkeypatch.delitem(sys.modules, "mpi4py.MPI", raising=False)
    assert main(["train", "--mpi"]) == 2
    assert "fastnn train: error: train: --mpi needs mpi4py, which cannot be imported" in capsys.readouterr().err


def test_nccl_without_mpi_and_without_cupy(monkeypatch, capsys):
    pytest.importorskip("numba", reason="the backend cuda needs numba")
    assert main(["train", "--nccl"]) == 2
    text = "fastnn train: error: train: --nccl has no ranks; expected --mpi with it; add it, under mpiexec"
    assert text in capsys.readouterr().err
    mpi = types.SimpleNamespace(COMM_WORLD=None)
    monkeypatch.setitem(sys.modules, "mpi4py", types.SimpleNamespace(MPI=mpi))
    monkeypatch.setattr("fastnn.distributed.mpi.MPICommunicator", lambda comm: Single())
    monkeypatch.setitem(sys.modules, "cupy.cuda.nccl", None)
    assert main(["train", "--mpi", "--nccl"]) == 2
    text = "fastnn train: error: train: NCCLCommunicator: rank 0 of 1 cannot use NCCL ("
    assert text in capsys.readouterr().err


def test_shards_without_ranks(capsys):
    assert main(["train", "--shards", "2", "--out", "run"]) == 0
    assert "ranks                1, for 2 shards of a batch" in capsys.readouterr().out
    tree = checkpoint.load("run/checkpoint.h5")
    assert (tree["settings"]["shards"], tree["solver"]["shards"]) == (2, 2)
    assert main(["resume", "run", "--epochs", "3"]) == 0
    assert main(["train", "--shards", "3"]) == 2
    assert "Solver: shards=3 is not a power of two" in capsys.readouterr().err


def test_a_batch_size_that_is_not_given_divides():
    def of(*words):
        return settings.Settings.from_arguments(_parser().parse_args(["train", *words])).batch_size

    usual = of()
    assert of("--shards", "8") == -(-usual // 8) * 8
    assert of("--shards", "8", "--batch-size", "10") == 10

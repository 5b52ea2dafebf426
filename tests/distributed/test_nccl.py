"""Gradients in GPU memory are added over ranks by NCCL, here a stand-in; `simulated/test_nccl.py` trains with it."""

import sys

import fake_nccl
import numpy as np
import pytest
import sharded_runs
from shard_arrays import SHAPES, expected, values
from thread_ranks import on_ranks

from fastnn.distributed.communicator import Communicator
from fastnn.distributed.flat import Flat
from fastnn.distributed.nccl import NCCLCommunicator
from fastnn.distributed.ranks import RankError, Ranks
from fastnn.distributed.tree import Tree
from fastnn.kernels import use_backend
from fastnn.kernels.dispatch import arrays
from fastnn.kernels.gpu import fake_cupy

ON_DEVICE = ("W", "b", "long", "longer")


@pytest.fixture
def library(monkeypatch):
    return fake_nccl.install(monkeypatch)


def mean(comm, shards, deterministic=True):
    """The mean over shards of which all arrays but the loss are in GPU memory."""
    comm = NCCLCommunicator(comm, deterministic)
    device = {name: fake_cupy.zeros(*SHAPES[name]) for name in ON_DEVICE}
    tree = Tree(Ranks(comm), shards, SHAPES, device)

    def fill(shard, flat, ready):
        for name, value in values(shard).items():
            flat.put(name, fake_cupy.asarray(value) if name in device else value)

    for _ in range(2):
        result = tree.mean(fill).arrays
    assert {name for name, value in result.items() if arrays.is_on_device(value)} == set(ON_DEVICE)
    return {name: arrays.to_numpy(value).copy() for name, value in result.items()}


@pytest.mark.parametrize("shards", [1, 2, 8])
def test_every_number_of_ranks_gives_the_bits_of_the_tree(monkeypatch, shards):
    for size in (1, 2, 4, 8):
        if shards % size == 0:
            library = fake_nccl.install(monkeypatch)
            for actual in on_ranks(size, lambda comm: mean(comm, shards)):
                for name, array in expected(shards).items():
                    assert actual[name].tobytes() == array.tobytes(), (size, name)
            assert {name for names in library.calls.values() for name in names} == (
                {"send", "recv"} if size > 1 else set()
            )


def test_without_determinism_there_is_one_allreduce_of_all_arrays(library):
    found = on_ranks(4, lambda comm: mean(comm, 4, deterministic=False))
    assert list(library.calls.values()) == [["allReduce"] * 2] * 4  # the mean is computed twice
    for actual in found:
        for name, array in expected(4).items():
            assert actual[name].tobytes() == found[0][name].tobytes()
            scale = sum(np.abs(values(shard)[name]) for shard in range(4))
            assert (np.abs(actual[name] - array) <= 1e-6 * scale).all()
        assert actual["W"].tobytes() != expected(4)["W"].tobytes()


def test_the_host_is_first_and_a_device_has_one_array_of_each_dtype(library):
    """So a rank that failed is heard of before the others hand work to NCCL."""
    flat = Flat(SHAPES, {name: fake_cupy.zeros(*SHAPES[name]) for name in ON_DEVICE})
    assert [arrays.is_on_device(segment) for segment in flat.segments] == [False, False, True]
    flat.put("b", np.arange(5, dtype=np.float32))  # moves
    assert arrays.to_numpy(flat.arrays["b"]).tolist() == [0, 1, 2, 3, 4]


def test_each_rank_has_a_gpu_of_its_own(library):
    on_ranks(4, NCCLCommunicator)
    assert library.devices == {0: 0, 1: 1, 2: 2, 3: 3}


def test_two_ranks_on_one_gpu_are_refused_by_nccl(monkeypatch):
    fake_nccl.install(monkeypatch, devices=1)
    errors = [error for error in on_ranks(2, NCCLCommunicator) if isinstance(error, Exception)]
    assert ["Duplicate GPU detected" in str(error) for error in errors] == [True]


@pytest.mark.parametrize("lacking", ["a GPU", "cupy", "nccl"])
def test_all_ranks_say_which_one_has_no_nccl(monkeypatch, library, lacking):
    if lacking == "a GPU":
        monkeypatch.setattr("fastnn.kernels.gpu.availability.reason", lambda: ("there is no GPU", "buy one"))
        reason = "there is no GPU)"
    elif lacking == "cupy":
        monkeypatch.setitem(sys.modules, "cupy.cuda.nccl", None)
        reason = "import of cupy.cuda.nccl halted"
    else:
        library.available = False
        reason = "this CuPy finds no NCCL)"
    for error in on_ranks(2, NCCLCommunicator):
        assert isinstance(error, ImportError)
        assert f"NCCLCommunicator: rank 0 of 2 cannot use NCCL ({reason}" in str(error)
        assert "; expected CuPy with NCCL on all ranks; install fastnn with the extra cuda13 or cuda12" in str(error)


def test_other_arguments_are_refused(library):
    with pytest.raises(TypeError, match="NCCLCommunicator: comm=3 is not a communicator; expected one of mpi4py"):
        NCCLCommunicator(3)
    with pytest.raises(TypeError, match="NCCLCommunicator: deterministic='no'"):
        NCCLCommunicator(None, deterministic="no")
    with pytest.raises(NotImplementedError, match="Communicator: allreduce is missing; expected a method"):
        Communicator().allreduce(fake_cupy.zeros(3))


def test_a_rank_that_fails_is_heard_of_while_others_wait_for_nccl(library):
    def work(comm):
        ranks = Ranks(NCCLCommunicator(comm))
        if ranks.rank == 1:
            ranks.fail(OSError("the disk is full"))
            return None
        ranks.exchange(fake_cupy.zeros(5), fake_cupy.zeros(5), 1)

    error, _ = on_ranks(2, work)
    assert isinstance(error, RankError)
    assert "rank 1 of 2 failed (OSError: the disk is full)" in str(error)


def test_ranks_that_compute_on_the_host_are_told_so(library):
    def work(comm):
        with use_backend("vectorized"):
            sharded_runs.make(NCCLCommunicator(comm)).train()

    for error in on_ranks(2, work):
        assert isinstance(error, ValueError)
        assert str(error).startswith(
            "Solver: comm=NCCLCommunicator carries arrays in GPU memory, and the model has none"
        )

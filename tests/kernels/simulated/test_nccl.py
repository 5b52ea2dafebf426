"""Ranks with a simulated GPU each train over a stand-in for NCCL."""

import threading

import fake_nccl
import pytest
import sharded_runs
from thread_ranks import bits, on_ranks

import fastnn
from fastnn import checkpoint
from fastnn.distributed.nccl import NCCLCommunicator
from fastnn.kernels import use_backend
from fastnn.kernels.gpu import simulator


@pytest.fixture(autouse=True)
def _one_launch_at_a_time(monkeypatch):
    """The simulator runs kernels of one thread only."""
    launch, lock = simulator.launch, threading.Lock()

    def alone(*arguments):
        with lock:
            launch(*arguments)

    monkeypatch.setattr(simulator, "launch", alone)


def train(comm, **options):
    """Train for two iterations, in any thread."""
    with use_backend("cuda"):
        solver = sharded_runs.make(comm, shards=2, batch_size=4, num_epochs=1, num_train_samples=4, **options)
        solver.num_epochs, solver.iterations_per_epoch = 1, 2
        solver.train()
    return solver


def both(work):
    found = on_ranks(2, work)
    for one in found:
        if isinstance(one, BaseException):
            raise one
    return found


def counted(work):
    """What both ranks return, and the bytes that they copied to the host together."""
    before = fastnn.transfers().to_host
    found = both(work)
    return found, fastnn.transfers().to_host - before


def test_two_gpus_have_the_bits_of_one_and_their_gradients_do_not_travel_through_the_host(monkeypatch):
    expected = train(None)
    library = fake_nccl.install(monkeypatch)
    held = sum(value.nbytes for value in expected.model.params.values())
    (first, second), past = counted(lambda comm: train(NCCLCommunicator(comm)))
    assert bits(first) == bits(second) == bits(expected)
    assert {name for names in library.calls.values() for name in names} == {"send", "recv"}
    (host, _), through = counted(train)
    assert bits(host) == bits(expected)
    assert through - past > 4 * held  # of two ranks in two iterations


def test_a_sum_in_any_order_is_said_once_and_kept_in_the_checkpoint(monkeypatch, tmp_path, capsys):
    library = fake_nccl.install(monkeypatch)

    def work(comm):
        options = {"verbose": True, "checkpoint_name": tmp_path / "run.h5"}
        return train(NCCLCommunicator(comm, deterministic=False), **options)

    first, second = both(work)
    assert bits(first) == bits(second)
    assert {name for names in library.calls.values() for name in names} == {"allReduce"}
    text = "(gradients are added over ranks in any order: other runs may have other bits)"
    assert capsys.readouterr().out.count(text) == 1
    assert checkpoint.load(tmp_path / "run.h5")["ranks"]["deterministic"] is False


def test_ranks_that_would_add_in_different_orders_are_told_so(monkeypatch):
    fake_nccl.install(monkeypatch)
    for error in on_ranks(2, lambda comm: train(NCCLCommunicator(comm, deterministic=comm.rank == 0))):
        assert "Solver: rank 1 differs from rank 0 in deterministic False (True on rank 0); expected" in str(error)


def test_the_others_hear_of_a_rank_that_fails_before_they_hand_work_to_nccl(monkeypatch):
    library = fake_nccl.install(monkeypatch)

    def fail(solver):
        raise OSError("the disk is full")

    first, second = on_ranks(2, lambda comm: train(NCCLCommunicator(comm), callbacks=[fail] * comm.rank))
    assert isinstance(second, OSError)
    assert "rank 1 of 2 failed (OSError: the disk is full)" in str(first)
    assert library.calls[0] == library.calls[1]
    assert library.calls[0].count("abort") == 1

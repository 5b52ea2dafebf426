"""Training has the same bits on any number of ranks, here threads; `test_mpi` has some with processes."""

import h5py
import numpy as np
import pytest
from sharded_runs import DATA, OPTIONS, make, network
from small_solver import Remembering, noisy
from thread_ranks import bits, trained

from fastnn.schedules import Plateau
from fastnn.solver import Solver

VARIANTS = {
    "everything": {},
    "stopped early": {"early_stopping": 1, "num_epochs": 9, "optim_config": {"learning_rate": 1e-9}},
    "drawn with replacement": {"sampling": "with_replacement", "schedule": Plateau(0.5, 0), "update_rule": "lion"},
    "two shards": {"shards": 2, "clip_norm": None},
    "one image in a shard": {"batch_size": 8, "transform": None},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_number_of_ranks_gives_the_same_bits(variant):
    (expected,) = trained(1, lambda comm: make(None, **VARIANTS[variant]))
    assert expected.loss_history[-1] != expected.loss_history[0]
    for size in (2, 4, 8):
        if expected.shards % size == 0:
            for solver in trained(size, lambda comm: make(comm, **VARIANTS[variant])):
                assert bits(solver) == bits(expected), size


def test_early_stopping_stops_all_ranks():
    options = VARIANTS["stopped early"]
    solvers = trained(2, lambda comm: make(comm, **options))
    assert {solver.stopped for solver in solvers} == {"no better val_acc for 1 epoch"}
    assert all(solver.epoch < 9 for solver in solvers)


def test_a_model_and_a_transform_of_a_user():
    """The running mean of the model and its counter of batches are averaged, or equal, over shards."""
    data = {name: value.reshape(len(value), -1)[:, :4] if value.ndim > 1 else value for name, value in DATA.items()}
    data = {name: value.astype(np.float64) if name[0] == "X" else value for name, value in data.items()}

    def run(comm):
        options = {"transform": noisy, "schedule": None, "sampling": "blocks", "num_epochs": 1}
        return Solver(Remembering(), data, comm=comm, **{**OPTIONS, **options})

    (expected,) = trained(1, lambda comm: run(None))
    assert expected.model.buffers["count"] in (1, expected.iteration)  # of the best parameters
    for size in (2, 4):
        for solver in trained(size, run):
            assert bits(solver) == bits(expected)


@pytest.mark.parametrize("sampling", ["epoch", "blocks"])
def test_data_in_a_file(tmp_path, sampling):
    with h5py.File(tmp_path / "data.h5", "w") as file:
        for name, value in DATA.items():
            file[name] = value
    with h5py.File(tmp_path / "data.h5") as file:
        read = []

        class Images:
            """A data set that notes how many rows are read."""

            set = file["X_train"]
            shape, dtype = set.shape, set.dtype

            def __len__(self):
                return len(self.set)

            def __getitem__(self, rows):
                found = self.set[rows]
                read.append(len(found))
                return found

        def run(comm):
            data = {**DATA, "X_train": Images()}
            return Solver(network(), data, comm=comm, **{**OPTIONS, "sampling": sampling, "num_train_samples": 1})

        (expected,) = trained(1, lambda comm: run(None))
        read.clear()
        for solver in trained(2, run):
            assert bits(solver) == bits(expected)
        assert sum(read) < 16 * expected.iteration + 30  # the batches once, and what is described and evaluated

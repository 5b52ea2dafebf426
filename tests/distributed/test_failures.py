"""A rank that fails, diverges, differs or is late: all ranks end, and say why."""

import io
import itertools
import time

import numpy as np
import pytest
from sharded_runs import DATA, make, network
from thread_ranks import bits, on_ranks, trained

from fastnn import checkpoint, nn
from fastnn.checkpoint import run as run_file
from fastnn.cli import run
from fastnn.distributed import cores, ranks
from fastnn.distributed.ranks import RankError, Ranks
from fastnn.kernels import use_backend
from fastnn.solver import Solver


def trains(comm, **options):
    solver = make(comm, **options)
    solver.train()
    return solver


def ending(comm, callback, **options):
    """Train with a callback on the last rank."""
    return trains(comm, callbacks=[callback] if comm.rank == comm.size - 1 else [], **options)


def test_a_rank_that_raises_ends_all():
    def fail(solver):
        if solver.iteration == 4:
            raise OSError("the disk of this rank is full")

    *others, failed = on_ranks(4, lambda comm: ending(comm, fail))
    assert isinstance(failed, OSError)
    for error in others:
        assert isinstance(error, RankError)
        assert "Solver: rank 3 of 4 failed (OSError: the disk of this rank is full); expected" in str(error)


def test_an_interrupt_of_one_rank_interrupts_all():
    def interrupt(solver):
        raise KeyboardInterrupt

    for error in on_ranks(4, lambda comm: ending(comm, interrupt)):
        assert isinstance(error, KeyboardInterrupt)


@pytest.mark.parametrize("cause", ["data", "rate"])
def test_a_loss_that_is_not_finite_is_explained_alike(tmp_path, cause):
    data = {**DATA, "X_train": DATA["X_train"].copy()}
    options = {"optim_config": {"learning_rate": 1e30}, "clip_norm": None, "update_rule": "sgd", "schedule": None}
    if cause == "data":
        data["X_train"][7] = np.nan
        options = {}

    def work(comm):
        path = tmp_path / f"run{comm.size}.h5"
        files = {"checkpoint_name": path, "checkpoint_every": 50}
        return trains(comm, data=data, on_nonfinite="raise", num_train_samples=1, **files, **options)

    (alone,) = on_ranks(1, work)
    assert isinstance(alone, FloatingPointError)
    for error in on_ranks(4, work):
        assert isinstance(error, FloatingPointError)
        if cause == "data":
            assert "the batch contains NaN or infinity: check the data" in str(error)
        assert str(error).partition("; ")[0] == str(alone).partition("; ")[0]
    arrays = [checkpoint.load(tmp_path / f"run{size}.h5")["solver"]["params"] for size in (1, 4)]
    for name, value in arrays[0].items():
        assert np.array_equal(value, arrays[1][name])


def test_a_warning_stops_all_ranks_and_is_given_once():
    def work(comm):
        return trains(comm, optim_config={"learning_rate": 1e30}, clip_norm=None, update_rule="sgd", schedule=None)

    with pytest.warns(RuntimeWarning, match="training stopped") as warned:
        first, second = on_ranks(2, work)
    assert len(warned) == 1
    assert first.stopped == second.stopped
    assert bits(first) == bits(second)


def test_an_evaluation_that_fails_on_one_rank():
    data = {**DATA, "X_val": np.concatenate([DATA["X_val"]] * 20), "y_val": np.concatenate([DATA["y_val"]] * 20)}
    data["X_val"][150] = np.inf  # in the second batch of the evaluation
    first, second = on_ranks(2, lambda comm: trains(comm, data=data, on_nonfinite="raise"))
    assert str(first) == str(second)
    assert "X_val[150]" in str(first)


DIFFERENCES = {
    "batch_size": ({"batch_size": 8}, "rank 1 differs from rank 0 in batch_size 8 \\(16 on rank 0\\); expected"),
    "seed": ({"seed": 6}, "rank 1 differs from rank 0 in seed "),
    "data": ({"data": {**DATA, "X_train": DATA["X_train"] + 1}}, "rank 1 differs from rank 0 in data digest "),
    "model": ({"update_rule": "sgd"}, "rank 1 differs from rank 0 in update_rule "),
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_ranks_that_differ_are_told_so(name):
    changed, message = DIFFERENCES[name]
    for error in on_ranks(2, lambda comm: trains(comm, **(changed if comm.rank == 1 else {}))):
        assert isinstance(error, ValueError)
        with pytest.raises(ValueError, match=f"Solver: {message}"):
            raise error


def test_ranks_with_other_sizes_of_blocks_are_told_so(monkeypatch):
    numbers = itertools.count()
    monkeypatch.setattr(run_file, "_block_sizes", lambda: f"tuned-{next(numbers)}")
    for error in on_ranks(2, trains):
        assert isinstance(error, ValueError)
        found = r"Solver: rank 1 differs from rank 0 in block sizes 'tuned-\d' \('tuned-\d' on rank 0\); expected .*"
        with pytest.raises(ValueError, match=found + "; set FASTNN_TUNED=0 on all ranks, or copy the file that"):
            raise error


def test_all_ranks_begin_with_the_parameters_of_the_first():
    def run(comm):
        model = network()
        model.params["0.weight"] *= comm.rank + 1
        return make(comm, model=model)

    (expected,) = trained(1, lambda comm: make())
    for solver in trained(4, run):
        assert bits(solver) == bits(expected)


@pytest.mark.parametrize("what", ["parameters", "random numbers"])
def test_ranks_that_come_to_differ_are_found_at_a_checkpoint(tmp_path, what):
    def change(solver):
        if what == "parameters":
            solver.model.params["0.weight"][0] += 1e-3
        else:
            solver.check_accuracy(solver.X_train, solver.y_train, 5)

    def work(comm):
        return ending(comm, change, checkpoint_name=tmp_path / "run.h5", checkpoint_every=2)

    for error in on_ranks(2, work):
        assert isinstance(error, ValueError)
        text = "parameters or random numbers of rank 1 differ from those of rank 0 after iteration 2; expected equal"
        assert text in str(error)


def test_a_counter_of_images_cannot_be_combined():
    class Counting:
        """Counts the images whose first pixel is positive."""

        def __init__(self):
            self.params, self.buffers = {"W": np.zeros((72, 3))}, {"seen": np.zeros((), np.int64)}

        def loss(self, X, y=None):
            scores = X.reshape(len(X), -1) @ self.params["W"]
            if y is None:
                return scores
            self.buffers["seen"] = self.buffers["seen"] + np.int64((X[:, 0, 0, 0] > 0).sum())
            return 1.0, {"W": np.ones_like(self.params["W"])}

    for comm_size in (1, 2):
        for error in on_ranks(comm_size, lambda comm: trains(comm, model=Counting())):
            assert isinstance(error, (ValueError, RankError))
            assert "changed the integers in the buffers ['seen'] differently; expected counters of batches" in str(
                error
            )


def test_a_model_that_draws_from_the_global_state_is_refused():
    class Drawing(nn.Sequential):
        def loss(self, X, y=None):
            return super().loss(X if y is None else X + np.random.standard_normal(), y)

    model = Drawing(nn.Linear(72, 3))
    with pytest.raises(ValueError, match=r"shards=8 of a batch cannot be computed by a model that draws from NumPy's"):
        make(model=model).train()


@pytest.mark.parametrize("gradient", [np.ones((1, 3)), 1.0, None])
def test_a_gradient_of_another_shape(gradient):
    class Wrong(nn.Sequential):
        def loss(self, X, y=None):
            found = super().loss(X, y)
            return found if y is None else (found[0], {**found[1], "0.bias": gradient})

    with pytest.raises(ValueError, match=r"Solver: gradients\['0.bias'\].shape = .*; expected \(3,\) from"):
        make(model=Wrong(nn.Linear(72, 3))).train()


def test_a_late_rank_is_named(monkeypatch, capfd):
    monkeypatch.setattr(ranks, "_PATIENCE", 0.05)
    monkeypatch.setattr(ranks, "_COLLECTING", 0.1)
    texts = []

    def work(comm):
        while comm.rank == 2 and "waiting for rank 2 of 4 for" not in "".join(texts):
            time.sleep(0.01)
            texts.append(capfd.readouterr().err)
        return Ranks(comm).gather(comm.rank)

    assert on_ranks(4, work) == [[0, 1, 2, 3]] * 4


def test_the_time_that_ranks_wait_is_kept(tmp_path, capsys):
    first, second = trained(2, lambda comm: make(comm, verbose=True, checkpoint_name=tmp_path / "run.h5"))
    assert first.waiting_history == second.waiting_history
    assert len(first.waiting_history) == 3
    assert all(0 <= part <= 1 for epoch in first.waiting_history for part in epoch)
    text = capsys.readouterr().out
    assert text.count("(Epoch 3 / 3) train acc") == 1
    assert text.count("ranks waited for rank") == 3
    tree = checkpoint.load(tmp_path / "run.h5")
    assert (tree["ranks"]["ranks"], tree["ranks"]["shards"]) == (2, 8)
    resumed = Solver.resume(tmp_path / "run.h5", DATA, num_epochs=4)
    assert resumed.waiting_history == first.waiting_history


@pytest.mark.parametrize(
    ("size", "options", "message"),
    [
        (1, {"shards": 3}, "shards=3 is not a power of two; expected 1, 2, 4, 8, ...; .*: pass shards=4"),
        (3, {}, "shards=8 cannot be computed by 3 ranks; expected equally many on each, so 1 or 2 or 4 or 8 ranks"),
        (2, {"shards": 1}, "shards=1 cannot be computed by 2 ranks; expected equally many on each, so 1 rank; start"),
        (1, {"batch_size": 12}, "a batch of 12 images does not divide into shards=8; .*; pass batch_size=8"),
    ],
)
def test_shards_that_do_not_divide(size, options, message):
    for error in on_ranks(size, lambda comm: make(comm, **options)):
        with pytest.raises(ValueError, match=f"Solver: {message}"):
            raise error


def test_cores_are_shared_among_the_ranks_of_a_machine():
    both = [("a", [0, 1]), ("a", [0, 1])]
    assert [cores.threads(rank, both) for rank in (0, 1)] == [1, 1]
    assert cores.threads(0, [("a", [0, 1, 2, 3]), ("b", [0, 1, 2, 3])]) == 4
    assert [cores.threads(rank, [("a", [0, 1, 2]), ("a", [3])]) for rank in (0, 1)] == [3, 1]
    assert [cores.threads(rank, [("a", [0]), ("a", [0])]) for rank in (0, 1)] == [1, 1]
    assert cores.threads(1, [("a", [0, 1, 2]), ("a", [1, 2, 3])]) == 2


@pytest.mark.parametrize(
    ("seconds", "at", "found"),
    [(1000, [3], 6), (-1, [2, 3], 4)],  # after an epoch of three iterations; after each, but for the first
)
def test_ranks_are_compared_at_the_checkpoints_of_the_command(tmp_path, monkeypatch, seconds, at, found):
    monkeypatch.setattr(run, "_SECONDS_BETWEEN_CHECKPOINTS", seconds)
    saved = []

    def change(solver):
        if solver.iteration == 4 and solver.comm.rank == 1:
            solver.model.params["0.weight"][0] += 1e-3

    def work(comm):
        solver = make(comm, num_epochs=2, callbacks=[change])
        one = run.Run(solver, DATA, "data", "vectorized", tmp_path / "checkpoint.h5", None, io.StringIO())
        solver.verbose, one._saved_at = False, time.perf_counter()
        monkeypatch.setattr(one, "save", lambda: saved.append((comm.rank, solver.iteration)))
        with use_backend("vectorized"):
            solver.train()

    for error in on_ranks(2, work):
        assert isinstance(error, ValueError)
        text = f"parameters or random numbers of rank 1 differ from those of rank 0 after iteration {found}; expected"
        assert text in str(error)
    assert sorted(saved) == [(rank, iteration) for rank in (0, 1) for iteration in at]

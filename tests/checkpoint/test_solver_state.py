"""The state of a solver: saving, loading, errors."""

import numpy as np
import pytest
from small_solver import CLASSES, Model, Remembering, assert_identical, everything, make

from fastnn import checkpoint, nn, optim
from fastnn.schedules import Cosine
from fastnn.training.sampling import METHODS

pytestmark = pytest.mark.usefixtures("one_backend")


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("sampling", METHODS)
@pytest.mark.parametrize("rule", sorted(optim.RULES))
def test_resuming_from_a_file_is_exact(tmp_path, rule, sampling, seed):
    def begin(**options):
        model = nn.Sequential(nn.Linear(4, 8, seed=1), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2, seed=2))
        model = nn.Sequential(model, nn.Linear(8, CLASSES, seed=3))
        return make(model, seed, update_rule=rule, sampling=sampling, **options)

    def stop(solver):
        if solver.iteration == 8:
            checkpoint.save(tmp_path / "run.h5", solver.state())

    np.random.seed(231)
    whole = begin(callbacks=[stop])
    whole.train()
    np.random.seed(0)
    resumed = begin()
    resumed.load_state(checkpoint.load(tmp_path / "run.h5"))
    assert (resumed.iteration, resumed.epoch) == (8, 2)
    resumed.train()
    assert_identical(everything(resumed), everything(whole))


@pytest.mark.parametrize(("former", "name"), [("evaluated", "last_evaluation"), ("run_from", "start_iteration")])
def test_renamed_attributes_keep_their_key_and_warn_under_it(former, name):
    solver = make(num_epochs=2)
    solver.train()
    solver.train()
    assert getattr(solver, name) == solver.state()[former] > 0
    with pytest.warns(DeprecationWarning, match=f"^Solver.{former} is now Solver.{name}$") as caught:
        assert getattr(solver, former) == getattr(solver, name)
    assert [warning.filename for warning in caught] == [__file__]


def test_more_epochs_than_before_train_on():
    short, long = make(num_epochs=2), make(num_epochs=4)
    states = []
    short.callbacks.append(lambda solver: states.append(solver.state()))
    short.train()
    long.load_state(states[-1])
    long.train()
    assert (long.epoch, long.iteration) == (4, 12)
    expected = make(num_epochs=4)
    expected.train()
    assert_identical(everything(long), everything(expected))


def test_fewer_epochs_than_before_end_at_once():
    long, short = make(num_epochs=4), make(num_epochs=2)
    states = []
    long.callbacks.append(lambda solver: states.append(solver.state()))
    long.train()
    short.load_state(states[-2])
    short.train()
    assert short.iteration == 11
    np.testing.assert_array_equal(short.model.params["W"], short.best_params["W"])


def test_a_state_is_independent_of_the_solver():
    solver = make()
    state = solver.state()
    before = state["params"]["W"].copy()
    solver.train()
    np.testing.assert_array_equal(state["params"]["W"], before)
    solver.load_state(state)
    solver.train()
    np.testing.assert_array_equal(state["params"]["W"], before)


def test_checkpoints_after_each_epoch(tmp_path):
    make(checkpoint_name=str(tmp_path / "run"), num_epochs=2).train()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run_epoch_1.h5", "run_epoch_2.h5"]
    resumed = make(num_epochs=2)
    resumed.load_state(checkpoint.load(tmp_path / "run_epoch_1.h5"))
    resumed.train()
    expected = make(num_epochs=2)
    expected.train()
    assert_identical(everything(resumed), everything(expected))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 7}, "Solver.load_state: batch_size=6 in the state; expected 7"),
        ({"update_rule": "sgd"}, "Solver.load_state: update_rule='adam' in the state; expected 'sgd'"),
        ({"sampling": "epoch"}, "Solver.load_state: sampling='with_replacement' in the state; expected 'epoch'"),
        ({"seed": None}, "set_state: state is from a PCG64 generator, not from seed=None"),
        (
            {"seed": np.random.Generator(np.random.MT19937(1))},
            "set_state: state is from a PCG64 generator, not from MT19937",
        ),
        (
            {"model": Remembering()},
            r"Solver.load_state: buffers have the shapes {}; expected {'mean': \(4,\), 'count': \(\)} as in the model",
        ),
        (
            {"model": nn.Sequential(nn.Linear(4, CLASSES))},
            "Solver.load_state: params have the shapes .*; expected .*0.weight",
        ),
    ],
)
def test_states_of_other_solvers_raise(options, message):
    solver = make(**options)
    before = everything(solver)
    with pytest.raises(ValueError, match=message):
        solver.load_state(make().state())
    assert_identical(everything(solver), before)


def test_states_of_the_global_generator_and_incomplete_ones_raise():
    with pytest.raises(ValueError, match="set_state: state is from NumPy's global state, not from PCG64"):
        make().load_state(make(seed=None).state())
    state = make().state()
    del state["order"]
    with pytest.raises(ValueError, match=r"Solver\.load_state: state lacks the key 'order'"):
        make().load_state(state)


def test_buffers_travel_with_the_parameters(tmp_path):
    solver = make(Remembering(), checkpoint_name=tmp_path / "run", num_epochs=2)
    seen = {}
    solver.callbacks.append(lambda solver: seen.update({solver.iteration: solver.state()}))
    solver.train()
    best = next(state for state in seen.values() if state["val_acc_history"][-1] == solver.best_val_acc)
    assert_identical(solver.model.buffers, best["buffers"])
    assert_identical(solver.best_buffers, best["buffers"])
    resumed = make(Remembering(), num_epochs=2)
    resumed.load_state(checkpoint.load(tmp_path / "run_epoch_1.h5"))
    assert resumed.model.buffers["count"] == 3
    resumed.train()
    assert_identical(everything(resumed), everything(solver))


def test_an_attribute_buffers_that_is_not_a_dict_is_ignored():
    class Torchlike(Model):
        def buffers(self):
            return iter(())

    solver, expected = make(Torchlike()), make()
    solver.train()
    expected.train()
    assert_identical(everything(solver), everything(expected))


def test_states_from_before_there_were_buffers():
    states = []
    expected = make(callbacks=[lambda solver: states.append(solver.state())])
    expected.train()
    old = {name: value for name, value in states[4].items() if name not in ("buffers", "best_buffers")}
    resumed = make()
    resumed.load_state(old)
    resumed.train()
    assert_identical(everything(resumed), everything(expected))
    with pytest.raises(ValueError, match=r"buffers have the shapes .*; expected .*count"):
        make(Remembering()).load_state(old)


def test_checkpoints_after_some_iterations(tmp_path):
    kept = []
    for name in ("run", "other.h5"):
        path = tmp_path / f"{name.removesuffix('.h5')}.h5"

        def look(solver, path=path):
            kept.append(checkpoint.load(path)["solver"]["iteration"] if path.exists() else None)

        make(checkpoint_name=str(tmp_path / name), checkpoint_every=5, num_epochs=4, callbacks=[look]).train()
    assert kept == [None] * 4 + [5] * 5 + [10] * 2 + [12] + [None] * 4 + [5] * 5 + [10] * 2 + [12]
    assert checkpoint.load(tmp_path / "run.h5.prev")["solver"]["iteration"] == 10
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "other.h5", "other.h5.prev", "run.h5", "run.h5.prev",
    ]  # fmt: skip
    resumed, expected = make(), make()
    resumed.load_state(checkpoint.load(tmp_path / "run.h5.prev"))
    resumed.train()
    expected.train()
    assert_identical(everything(resumed), everything(expected))


def test_a_checkpoint_at_an_early_end_holds_everything(tmp_path):
    options = {"early_stopping": 1, "optim_config": {"learning_rate": 1e-9}}
    solver = make(checkpoint_name=tmp_path / "run", checkpoint_every=100, **options)
    solver.train()
    assert solver.iteration == 3
    resumed = make(Model(seed=9), **options)
    resumed.load_state(checkpoint.load(tmp_path / "run.h5"))
    resumed.train()
    assert_identical(everything(resumed), everything(solver))


def test_with_a_schedule_the_rate_follows_the_solver_not_the_state():
    states = []
    make(schedule=Cosine(), callbacks=[lambda solver: states.append(solver.state())]).train()
    plain, scheduled = (
        make(num_epochs=2, lr_decay=1.0),
        make(schedule=lambda position: 0.5, optim_config={"learning_rate": 0.1}, lr_decay=0.1),
    )
    plain.load_state(states[4])
    plain.train()
    assert plain.optim_configs["W"]["learning_rate"] == states[4]["optim_configs"]["W"]["learning_rate"]
    scheduled.load_state(states[2])
    scheduled.train()
    assert scheduled.optim_configs["W"]["learning_rate"] == 0.1 * 0.1**3 * 0.5


@pytest.mark.parametrize("every", [3, None])
def test_the_last_checkpoint_is_written_after_an_interruption(tmp_path, monkeypatch, every):
    solver = make(checkpoint_name=str(tmp_path / "run"), checkpoint_every=every, num_epochs=4)
    last = 4 * solver.iterations_per_epoch
    save = checkpoint.save

    def interrupted(path, state):
        if state["solver"]["iteration"] == last:
            raise KeyboardInterrupt
        save(path, state)

    monkeypatch.setattr(checkpoint, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        solver.train()
    monkeypatch.setattr(checkpoint, "save", save)
    solver.train()
    name = "run.h5" if every else "run_epoch_4.h5"
    assert checkpoint.load(tmp_path / name)["solver"]["iteration"] == last


def test_an_interrupted_load_leaves_the_generator(monkeypatch):
    solver, other = make(), make(seed=4)
    other.train()
    state = other.state()
    monkeypatch.setattr(solver, "_restore", lambda state: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        solver.load_state(state)
    monkeypatch.undo()
    solver.train()
    expected = make()
    expected.train()
    assert_identical(everything(solver), everything(expected))

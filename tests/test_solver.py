"""The training loop: as in the course, and unharmed by whatever breaks it off."""

import contextlib
import random as python_random
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import fastnn
from fastnn import checkpoint, nn, optim, random
from fastnn.sampling import Sampler, rows
from fastnn.solver import Solver

CLASSES = 3


@pytest.fixture(autouse=True)
def _one_backend():
    """The loop is the same on every backend; a test that asks for `backend` has its own."""
    with fastnn.use_backend("vectorized"):
        yield


class Model:
    """A linear softmax classifier that knows nothing of fastnn: the contract of a Solver's model."""

    def __init__(self, seed=0):
        generator = np.random.default_rng(seed)
        self.params = {"W": generator.standard_normal((4, CLASSES)), "b": np.zeros(CLASSES), "unused": np.ones((2, 2))}

    def loss(self, X, y=None):
        scores = X @ self.params["W"] + self.params["b"]
        if y is None:
            return scores
        shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
        p = shifted / shifted.sum(axis=1, keepdims=True)
        loss = -np.log(p[np.arange(len(y)), y]).mean()
        p[np.arange(len(y)), y] -= 1
        p /= len(y)
        return loss, {"W": X.T @ p, "b": p.sum(axis=0), "unused": np.zeros((2, 2))}


def data(count=20, seed=1):
    generator = np.random.default_rng(seed)
    X = generator.standard_normal((count + 8, 4))
    y = np.argmax(X[:, :CLASSES] + 0.3 * generator.standard_normal((count + 8, CLASSES)), axis=1)
    return {"X_train": X[:count], "y_train": y[:count], "X_val": X[count:], "y_val": y[count:]}


def make(model=None, seed=3, **options):
    options = {"update_rule": "adam", "batch_size": 6, "num_epochs": 4, "verbose": False, "lr_decay": 0.9, **options}
    options.setdefault("num_train_samples", 10)
    return Solver(model or Model(), data(), seed=seed, **options)


def everything(solver):
    """What must be equal where two runs went the same way."""
    state = solver.state()
    return {**state, "params": {name: value.copy() for name, value in solver.model.params.items()}}


def assert_identical(actual, expected, where="state"):
    if isinstance(expected, dict):
        assert list(actual) == list(expected), where
        for key, value in expected.items():
            assert_identical(actual[key], value, f"{where}[{key!r}]")
    else:
        np.testing.assert_array_equal(actual, expected, err_msg=where)


def course_train(model, data, epochs, batch_size, rule, learning_rate, lr_decay, samples):
    """The course's loop, written out."""
    configs = {name: {"learning_rate": learning_rate} for name in model.params}
    losses, train, val, best, best_params = [], [], [], 0, {}
    count = len(data["X_train"])
    per_epoch = max(count // batch_size, 1)

    def accuracy(X, y, number):
        if number is not None and len(X) > number:
            mask = np.random.choice(len(X), number)
            X, y = X[mask], y[mask]
        return np.mean(np.argmax(model.loss(X), axis=1) == y)

    for t in range(epochs * per_epoch):
        mask = np.random.choice(count, batch_size)
        loss, grads = model.loss(data["X_train"][mask], data["y_train"][mask])
        losses.append(loss)
        for name, w in model.params.items():
            model.params[name], configs[name] = rule(w, grads[name], configs[name])
        if (t + 1) % per_epoch == 0:
            for name in configs:
                configs[name]["learning_rate"] *= lr_decay
        if t == 0 or (t + 1) % per_epoch == 0:
            train.append(accuracy(data["X_train"], data["y_train"], samples))
            val.append(accuracy(data["X_val"], data["y_val"], None))
            if val[-1] > best:
                best, best_params = val[-1], {name: w.copy() for name, w in model.params.items()}
    return losses, train, val, best, best_params


@pytest.mark.parametrize("rule", ["sgd", "sgd_momentum", "adam"])
@pytest.mark.parametrize("batch_size", [6, 50])
def test_trains_as_the_course_does(backend, rule, batch_size):
    np.random.seed(231)
    expected = course_train(Model(), data(), 4, batch_size, optim.RULES[rule], 0.1, 0.9, 10)
    np.random.seed(231)
    solver = make(seed=None, update_rule=rule, optim_config={"learning_rate": 0.1}, batch_size=batch_size)
    solver.train()
    np.testing.assert_allclose(solver.loss_history, expected[0], rtol=1e-12)
    assert (solver.train_acc_history, solver.val_acc_history) == expected[1:3]
    assert solver.best_val_acc == expected[3]
    assert solver.epoch == 4
    for name, value in expected[4].items():
        np.testing.assert_allclose(solver.best_params[name], value, rtol=1e-12, atol=1e-15)
        np.testing.assert_array_equal(solver.model.params[name], solver.best_params[name])


def test_prints_the_course_lines(capsys):
    solver = make(num_epochs=2, print_every=2, verbose=True)
    solver.train()
    first, third, fifth = solver.loss_history[0], solver.loss_history[2], solver.loss_history[4]
    train, val = solver.train_acc_history, solver.val_acc_history
    assert capsys.readouterr().out == (
        f"(Iteration 1 / 6) loss: {first:f}\n"
        f"(Epoch 0 / 2) train acc: {train[0]:f}; val_acc: {val[0]:f}\n"
        f"(Iteration 3 / 6) loss: {third:f}\n"
        f"(Epoch 1 / 2) train acc: {train[1]:f}; val_acc: {val[1]:f}\n"
        f"(Iteration 5 / 6) loss: {fifth:f}\n"
        f"(Epoch 2 / 2) train acc: {train[2]:f}; val_acc: {val[2]:f}\n"
    )
    make(num_epochs=1, print_every=0, verbose=True).train()
    assert "Iteration" not in capsys.readouterr().out
    make(num_epochs=1).train()
    assert capsys.readouterr().out == ""


def test_called_again_it_trains_as_many_epochs_again(capsys):
    solver = make(num_epochs=2, print_every=5, verbose=True)
    solver.train()
    capsys.readouterr()
    solver.train()
    assert (solver.epoch, solver.iteration, len(solver.loss_history)) == (4, 12, 12)
    assert len(solver.val_acc_history) == 6
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("(Iteration 1 / 6) loss: ")
    assert lines[1].startswith("(Epoch 2 / 2) train acc: ")
    assert lines[-1].startswith("(Epoch 4 / 2) train acc: ")


def test_check_accuracy():
    solver, parts = make(), data()
    scores = solver.model.loss(parts["X_val"])
    expected = np.mean(np.argmax(scores, axis=1) == parts["y_val"])
    assert solver.check_accuracy(parts["X_val"], parts["y_val"]) == expected
    assert solver.check_accuracy(parts["X_val"], parts["y_val"], batch_size=3) == expected
    assert solver.check_accuracy(parts["X_val"], parts["y_val"], num_samples=8) == expected
    np.random.seed(4)
    mask = np.random.choice(8, 5)
    expected = np.mean(np.argmax(scores[mask], axis=1) == parts["y_val"][mask])
    np.random.seed(4)
    assert make(seed=None).check_accuracy(parts["X_val"], parts["y_val"], num_samples=5, batch_size=2) == expected


def test_updates_in_place_leave_what_the_user_holds_alone():
    model = nn.Sequential(nn.Linear(4, CLASSES, seed=1))
    w, config = model.params["0.weight"], {"learning_rate": 0.1}
    solver = make(model, optim_config=config)
    seen = []
    solver.callbacks.append(lambda solver: seen.append(solver.model.params["0.weight"] is w))
    solver.train()
    assert all(seen)
    assert config == {"learning_rate": 0.1}
    assert solver.best_params["0.weight"] is not model.params["0.weight"]


def test_parameters_that_cannot_be_updated_in_place():
    model = Model()
    model.params["W"] = np.asfortranarray(model.params["W"])
    strided, plain = make(model), make()
    strided.train()
    plain.train()
    assert_identical(everything(strided), everything(plain))


def test_a_rule_of_ones_own():
    def rule(w, dw, config):
        config["steps"] = config.get("steps", 0) + 1
        return w - config["rate"] * dw, config

    own = make(update_rule=rule, optim_config={"rate": 0.1}, lr_decay=1.0)
    expected = make(update_rule="sgd", optim_config={"learning_rate": 0.1}, lr_decay=1.0)
    own.train()
    expected.train()
    np.testing.assert_allclose(own.loss_history, expected.loss_history, rtol=1e-12)
    assert own.optim_configs["W"]["steps"] == 12


def test_learning_rate_decays_after_each_epoch():
    rates = []
    solver = make(optim_config={"learning_rate": 1.0}, lr_decay=0.5, num_epochs=3)
    solver.callbacks.append(lambda solver: rates.append(solver.optim_configs["W"]["learning_rate"]))
    solver.train()
    assert rates == [1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125]


def test_an_epoch_takes_every_image_once():
    seen = []

    class Recording(Model):
        def loss(self, X, y=None):
            if y is not None:
                seen.append(X[:, 0].copy())
            return super().loss(X, y)

    make(Recording(), sampling="epoch", batch_size=5, num_epochs=2).train()
    expected = np.sort(data()["X_train"][:, 0])
    for epoch in (seen[:4], seen[4:]):
        np.testing.assert_array_equal(np.sort(np.concatenate(epoch)), expected)
    assert not np.array_equal(seen[0], seen[4])


def test_an_epoch_of_fewer_images_than_a_batch():
    solver = make(sampling="epoch", batch_size=50, num_epochs=2)
    solver.train()
    assert solver.iterations_per_epoch == 1
    assert solver.iteration == 2


def test_clip_norm():
    solver = make(update_rule="sgd", optim_config={"learning_rate": 1.0}, clip_norm=1e-3, num_epochs=1)
    before = {name: value.copy() for name, value in solver.model.params.items()}
    steps = []

    def measure(solver):
        params = solver.model.params
        steps.append(np.sqrt(sum(((params[name] - before[name]) ** 2).sum() for name in params)))
        before.update({name: value.copy() for name, value in params.items()})

    solver.callbacks.append(measure)
    solver.train()
    np.testing.assert_allclose(steps, 1e-3)


def test_seeds_make_a_solver_independent_of_the_global_state():
    first = make(seed=5)
    np.random.seed(1)
    first.train()
    assert_identical(np.random.get_state(legacy=False), np.random.RandomState(1).get_state(legacy=False))
    for seed in (5, np.int64(5), np.random.default_rng(5)):
        np.random.seed(2)
        second = make(seed=seed)
        second.train()
        assert_identical(everything(second), everything(first))
    third = make(seed=6)
    third.train()
    assert third.loss_history != first.loss_history


def test_data_sets_in_a_file_are_read_by_batches(tmp_path):
    with h5py.File(tmp_path / "data.h5", "w") as file:
        for name, value in data().items():
            file[name] = value
    expected = make()
    expected.train()
    with h5py.File(tmp_path / "data.h5") as file:
        reads = []

        class Watched:
            def __init__(self, dataset):
                self.dataset = dataset

            def __len__(self):
                return len(self.dataset)

            def __getitem__(self, places):
                values = self.dataset[places]
                reads.append(len(values))
                return values

        watched = {name: Watched(file[name]) for name in file}
        actual = Solver(
            Model(), watched, update_rule="adam", batch_size=6, num_epochs=4, verbose=False, lr_decay=0.9, seed=3,
            num_train_samples=10,
        )  # fmt: skip
        actual.train()
    assert max(reads) <= 10
    assert_identical(everything(actual), everything(expected))


def test_lists_are_data_too():
    lists = {name: value.tolist() for name, value in data().items()}
    expected, actual = make(), Solver(
        Model(), lists, update_rule="adam", batch_size=6, num_epochs=4, verbose=False, lr_decay=0.9, seed=3,
        num_train_samples=10,
    )  # fmt: skip
    expected.train()
    actual.train()
    assert_identical(everything(actual), everything(expected))


def test_rows_keep_their_order():
    x = np.arange(10) ** 2

    class Sorted:
        def __getitem__(self, places):
            assert isinstance(places, slice) or (np.diff(places) > 0).all()
            return x[places]

    np.testing.assert_array_equal(rows(Sorted(), np.array([5, 2, 5, 9])), [25, 4, 25, 81])
    np.testing.assert_array_equal(rows(Sorted(), slice(2, 4)), [4, 9])


# Breaking off and going on


class Interruption:
    """Raises KeyboardInterrupt at the n-th line that runs in fastnn or its kernels, as Ctrl-C would."""

    folders = tuple(str(Path(module.__file__).parent) for module in (fastnn, fastnn.kernels))

    def __init__(self, line):
        self.left = line

    def __enter__(self):
        self.before = sys.gettrace()
        sys.settrace(self.calls)

    def __exit__(self, *_):
        sys.settrace(self.before)

    def calls(self, frame, event, argument):
        return self.lines if frame.f_code.co_filename.startswith(self.folders) else None

    def lines(self, frame, event, argument):
        if event == "line":
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self.lines


def run(**options):
    """A solver after a whole run."""
    solver = make(**options)
    solver.train()
    return solver


@pytest.mark.parametrize("snapshot_every", [2, 50])
@pytest.mark.parametrize("options", [{}, {"sampling": "epoch"}, {"update_rule": "sgd_momentum", "seed": None}])
def test_interrupted_anywhere_it_goes_on_exactly(options, snapshot_every, monkeypatch):
    monkeypatch.setattr("fastnn.resumable._SNAPSHOT_EVERY", snapshot_every)
    np.random.seed(231)
    expected, counter = everything(run(**options)), Interruption(10**9)
    with counter:
        run(**options)
    lines = 10**9 - counter.left
    for line in python_random.Random(snapshot_every).sample(range(1, lines), 30):
        np.random.seed(231)
        solver = make(**options)
        with contextlib.suppress(KeyboardInterrupt), Interruption(line):
            solver.train()
        saved = solver.state()
        resumed = make(Model(seed=9), **options)
        resumed.load_state(saved)
        for actual in (resumed, solver):
            random.set_state(actual._generator, saved["generator"])  # which both share where it is the global one
            if not saved["finished"] or not saved["iteration"]:
                actual.train()
            assert_identical(everything(actual), expected, f"line {line} of {lines}")


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("sampling", ["with_replacement", "epoch"])
@pytest.mark.parametrize("rule", sorted(optim.RULES))
def test_resumed_from_a_file_it_goes_on_exactly(tmp_path, rule, sampling, seed):
    def begin(**options):
        return make(nn.Sequential(nn.Linear(4, CLASSES, seed=1)), seed, update_rule=rule, sampling=sampling, **options)

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


def test_an_update_that_is_broken_off_is_taken_back():
    broken = []

    def rule(w, dw, config):
        if len(broken) == 7:
            broken.append("now")
            raise KeyboardInterrupt
        broken.append(w)
        return w - 0.1 * dw, config

    solver, expected = make(update_rule=rule), make(update_rule=lambda w, dw, config: (w - 0.1 * dw, config))
    with pytest.raises(KeyboardInterrupt):
        solver.train()
    assert solver.iteration in (0, 1, 2)
    solver.train()
    expected.train()
    assert solver.loss_history == expected.loss_history
    assert_identical(solver.model.params, expected.model.params)


def test_state_inside_an_update_is_the_last_snapshot():
    states = []

    def rule(w, dw, config):
        states.append(solver.state())
        return w - 0.1 * dw, config

    solver, resumed = make(update_rule=rule), make(update_rule=rule, model=Model(seed=9))
    solver.train()
    expected = everything(solver)
    for state in states[1::7]:
        assert state["iteration"] == 0
        resumed.load_state(state)
        resumed.train()
        assert_identical(everything(resumed), expected)


def test_errors_of_the_model_pass_through_and_nothing_is_lost():
    class Failing(Model):
        calls = 0

        def loss(self, X, y=None):
            self.calls += 1
            if self.calls == 20:
                raise RuntimeError("out of memory")
            return super().loss(X, y)

    solver = make(Failing())
    with pytest.raises(RuntimeError, match="out of memory"):
        solver.train()
    solver.train()
    assert_identical(everything(solver), everything(run()))


def test_state_inside_a_step_is_the_last_whole_one():
    states = []

    class Curious(Model):
        def loss(self, X, y=None):
            states.append(solver.state())
            return super().loss(X, y)

    solver = make(Curious(), update_rule="sgd")
    solver.train()
    expected = make(update_rule="sgd")
    expected.train()
    for state in states[:: len(states) // 6]:
        actual = make(update_rule="sgd")
        actual.load_state(state)
        actual.train()
        assert_identical(everything(actual), everything(expected))


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


def test_broken_off_in_its_second_run_it_goes_on_to_the_end_of_that(capsys):
    def stop(solver):
        if solver.iteration == 8:
            raise KeyboardInterrupt

    solver = make(num_epochs=2, callbacks=[stop], verbose=True, print_every=1)
    solver.train()
    with pytest.raises(KeyboardInterrupt):
        solver.train()
    resumed = make(num_epochs=2, verbose=True, print_every=1)
    resumed.load_state(solver.state())
    capsys.readouterr()
    resumed.train()
    assert resumed.iteration == 12
    assert capsys.readouterr().out.startswith("(Iteration 3 / 6) loss: ")


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
            {"model": nn.Sequential(nn.Linear(4, CLASSES))},
            "Solver.load_state: params have the shapes .*; expected .*0.weight",
        ),
    ],
)
def test_states_of_other_solvers_are_refused(options, message):
    solver = make(**options)
    before = everything(solver)
    with pytest.raises(ValueError, match=message):
        solver.load_state(make().state())
    assert_identical(everything(solver), before)


def test_states_of_the_global_generator_and_incomplete_ones_are_refused():
    with pytest.raises(ValueError, match="set_state: state is from NumPy's global state, not from PCG64"):
        make().load_state(make(seed=None).state())
    state = make().state()
    del state["order"]
    with pytest.raises(ValueError, match=r"Solver\.load_state: state lacks the key 'order'"):
        make().load_state(state)


# Losses that are not finite


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_stops_with_the_best_parameters(value):
    class Diverging(Model):
        def loss(self, X, y=None):
            if y is not None and solver.iteration == 7:
                return value, {}
            return super().loss(X, y)

    solver = make(Diverging())
    with pytest.raises(FloatingPointError, match=rf"Solver: loss = {value} in iteration 8; .*lower learning_rate=0\.0"):
        solver.train()
    assert solver.iteration == 7
    for name, best in solver.best_params.items():
        np.testing.assert_array_equal(solver.model.params[name], best)


def test_the_cause_of_a_loss_that_is_not_finite_is_named():
    parts = data()
    parts["X_train"] = np.full_like(parts["X_train"], np.nan)
    with pytest.raises(FloatingPointError, match=r"iteration 1; .*the batch contains NaN or infinity: check the data"):
        Solver(Model(), parts, verbose=False).train()

    def explode(w, dw, config):
        return w + np.inf, config

    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match=r"iteration 2.*parameters \['W', 'b', "):
        make(update_rule=explode).train()

    class Steep(Model):
        def loss(self, X, y=None):
            loss, grads = super().loss(X, y) if y is not None else (super().loss(X), None)
            return loss if y is None else (loss, {**grads, "b": np.full(CLASSES, np.inf)})

    with pytest.raises(FloatingPointError, match="norm of the gradients = inf in iteration 1"):
        make(Steep(), clip_norm=1.0).train()


# Arguments


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batchsize": 3}, TypeError, "Solver: the keyword batchsize=3 is unknown; .*did you mean 'batch_size'"),
        ({"model_": 3}, TypeError, "Solver: the keyword model_=3 is unknown; expected only update_rule, optim_config"),
        ({"update_rule": "adma"}, ValueError, "Solver: update_rule='adma' is unknown.*did you mean 'adam'"),
        ({"update_rule": 3}, TypeError, "Solver: update_rule=3 is unknown"),
        ({"optim_config": {"lr": 1}}, ValueError, r"Solver: optim_config\['lr'\] is unknown"),
        ({"batch_size": 0}, ValueError, "Solver: batch_size=0 is out of range"),
        ({"num_epochs": 0}, ValueError, "Solver: num_epochs=0 is out of range"),
        ({"lr_decay": 0}, ValueError, "Solver: lr_decay=0 is out of range"),
        ({"print_every": -1}, ValueError, "Solver: print_every=-1 is out of range"),
        ({"num_train_samples": 0}, ValueError, "Solver: num_train_samples=0 is out of range"),
        ({"num_val_samples": 1.5}, ValueError, r"Solver: num_val_samples=1\.5 is not whole"),
        ({"clip_norm": 0}, ValueError, "Solver: clip_norm=0 is out of range"),
        ({"sampling": "epochs"}, ValueError, "Solver: sampling='epochs' is unknown.*did you mean 'epoch'"),
        ({"seed": "a"}, TypeError, "generator: seed='a' is no seed"),
        ({"callbacks": [3]}, TypeError, "Solver: callbacks contains 3; expected functions"),
    ],
)
def test_faulty_arguments(options, error, message):
    with pytest.raises(error, match=message):
        make(**options)


def test_faulty_data():
    parts = data()
    with pytest.raises(ValueError, match="Solver: data lacks the key 'y_val'"):
        Solver(Model(), {name: value for name, value in parts.items() if name != "y_val"})
    with pytest.raises(ValueError, match="Solver: data has 20 rows in X_train and 19 in y_train"):
        Solver(Model(), {**parts, "y_train": parts["y_train"][:-1]})
    with pytest.raises(ValueError, match="Solver: data has 0 rows in X_val and 0 in y_val"):
        Solver(Model(), {**parts, "X_val": parts["X_val"][:0], "y_val": parts["y_val"][:0]})
    Solver(Model(), {**parts, "X_test": 1})


def test_gradients_that_are_missing():
    class Forgetful(Model):
        def loss(self, X, y=None):
            return super().loss(X) if y is None else (1.0, {"W": 0})

    with pytest.raises(ValueError, match="Solver: gradients lacks the key 'b'"):
        make(Forgetful()).train()


def test_sampler_draws_whole_batches():
    generator = np.random.default_rng(0)
    sampler = Sampler("f", 10, 4, "epoch")
    batches = [sampler.draw(iteration, generator) for iteration in range(4)]
    assert sampler.batches == 2
    assert all(len(np.unique(np.concatenate(pair))) == 8 for pair in (batches[:2], batches[2:]))

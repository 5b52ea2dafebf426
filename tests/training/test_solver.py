"""The training loop, as in the course."""

import numpy as np
import pytest
from small_solver import CLASSES, Model, assert_identical, data, everything, make

from fastnn import nn, optim

pytestmark = pytest.mark.usefixtures("one_backend")


def course_train(model, data, epochs, batch_size, rule, learning_rate, lr_decay, samples):
    """The training loop of the course."""
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
    for never in (0, -1):
        make(num_epochs=1, print_every=never, verbose=True).train()
        assert "Iteration" not in capsys.readouterr().out
    make(num_epochs=1).train()
    assert capsys.readouterr().out == ""


def test_histories_in_a_file_of_numpy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    solver = make(num_epochs=2)
    solver.train()
    solver.record_histories_as_npz("adam")
    solver.record_histories_as_npz(tmp_path / "again.npz")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adam.npz", "again.npz"]
    for name in ("adam.npz", "again.npz"):
        with np.load(name) as saved:
            assert sorted(saved) == ["train_accs", "train_losses", "val_accs"]
            assert saved["train_losses"].tolist() == solver.loss_history
            assert saved["train_accs"].tolist() == solver.train_acc_history
            assert saved["val_accs"].tolist() == solver.val_acc_history


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


def test_a_custom_update_rule():
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


def test_lists_are_data_too():
    lists = {name: value.tolist() for name, value in data().items()}
    expected, actual = make(), make(parts=lists)
    expected.train()
    actual.train()
    assert_identical(everything(actual), everything(expected))

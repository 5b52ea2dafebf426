"""Schedules, transforms and early stopping in a Solver."""

import numpy as np
import pytest
from small_solver import Model, Remembering, assert_identical, data, everything, make, noisy, run

from fastnn.schedules import Cosine, Plateau, Position, Step

pytestmark = pytest.mark.usefixtures("one_backend")


def rates_of(**options):
    """Return the learning rate of each update."""
    rates = []

    def rule(w, dw, config):
        rates.append(config["learning_rate"])
        return w - 0.01 * dw, config

    solver = make(update_rule=rule, **options)
    solver.callbacks.append(lambda solver: rates.append(solver.optim_configs["b"]["learning_rate"]))
    solver.train()
    per_iteration = np.reshape(rates, (-1, 4))  # three parameters, and the config seen by the callback
    assert (per_iteration == per_iteration[:, :1]).all()
    return per_iteration[:, 0]


def test_a_schedule_multiplies_rate_and_decay():
    actual = rates_of(schedule=Cosine(), optim_config={"learning_rate": 0.5}, lr_decay=0.9, num_epochs=3)
    expected = [0.5 * 0.9 ** (i // 3) * (1 + np.cos(np.pi * i / 9)) / 2 for i in range(9)]
    np.testing.assert_allclose(actual, expected, rtol=1e-12)


def test_a_schedule_needs_no_rate_where_the_rule_has_a_default():
    solver = make(update_rule="adam", schedule=lambda position: 0.5, num_epochs=1, lr_decay=1.0)
    solver.train()
    assert solver.optim_configs["W"]["learning_rate"] == 0.5e-3


def test_a_factor_of_one_changes_nothing():
    with_schedule, without = (run(schedule=schedule, lr_decay=1.0) for schedule in (lambda position: 1, None))
    assert_identical(with_schedule.model.params, without.model.params)


def test_what_a_schedule_is_told():
    positions = []

    def schedule(position):
        positions.append(position)
        return 1.0

    solver = make(schedule=schedule, num_epochs=2)
    solver.train()
    solver.train()
    accuracies = tuple(solver.val_acc_history)
    known = [0, 1, 1, 2, 2, 2, 3, 4, 4, 5, 5, 5]
    assert positions == [Position(i % 6, 6, 3, accuracies[: known[i]]) for i in range(12)]


def test_a_plateau_lowers_the_rate():
    rates = rates_of(schedule=Plateau(0.1, 0), optim_config={"learning_rate": 1.0}, lr_decay=1.0, batch_size=20)
    assert len(rates) == 4
    assert rates[0] == 1.0
    accuracies = run(update_rule=lambda w, dw, config: (w - 0.01 * dw, config), batch_size=20).val_acc_history
    expected = [Plateau(0.1, 0)(Position(i, 4, 1, tuple(accuracies[:i]))) for i in range(4)]
    np.testing.assert_array_equal(rates, expected)


def test_a_rate_of_zero_moves_nothing():
    solver = make(update_rule="sgd", schedule=lambda position: 0)
    solver.train()
    assert_identical(solver.model.params, Model().params)


def test_a_transform_sees_training_batches_alone():
    given, seen = [], []

    def transform(images, generator):
        given.append(images.copy())
        images += 100
        return images

    class Recording(Model):
        def loss(self, X, y=None):
            seen.append((y is not None, X.copy()))
            return super().loss(X - 100 if y is not None else X, y)

    parts = data()
    solver = make(Recording(), parts=parts, transform=transform, sampling="epoch")
    solver.train()
    assert len(given) == 12
    for images, batch in zip(given, (X for training, X in seen if training), strict=True):
        np.testing.assert_array_equal(batch, images + 100)
    assert all(np.abs(X).max() < 50 for training, X in seen if not training)
    assert_identical(parts, data())


@pytest.mark.parametrize("seed", [None, 3])
def test_a_transform_draws_from_the_solvers_generator(seed):
    runs = []
    for _ in range(2):
        np.random.seed(1)
        runs.append(everything(run(model=Remembering(), transform=noisy, seed=seed)))
    assert_identical(runs[0], runs[1])
    np.random.seed(1)
    assert run(model=Remembering(), seed=seed).loss_history != runs[0]["loss_history"]


class Scripted(Model):
    """A model that gets a scripted number of the eight validation images right in each check."""

    def __init__(self, right):
        super().__init__()
        self.right = iter(right)

    def loss(self, X, y=None):
        if y is not None:
            return super().loss(X, y)
        scores = np.eye(3)[data()["y_val"]]
        wrong = 8 - next(self.right)
        scores[:wrong] = np.roll(scores[:wrong], 1, axis=1)
        return scores


def scripted(right, **options):
    """Return a solver with these validation accuracies, which never checks the accuracy on training images."""
    solver = make(Scripted(right), num_epochs=10, **options)
    check = solver.check_accuracy
    solver.check_accuracy = lambda X, y, count: check(X, y, count) if X is solver.X_val else 0.0
    return solver


@pytest.mark.parametrize(
    ("early_stopping", "right", "epochs"),
    [
        (1, [3, 4, 5, 5], 3),
        (2, [3, 4, 4, 4], 3),
        (2, [3, 2, 4, 3, 5, 5, 2], 6),
        (1, [3, 3], 1),
        (3, [3, 2, 2, 2], 3),
        (10, [3] * 11, 10),
        (None, [3] * 11, 10),
    ],
)
def test_early_stopping(early_stopping, right, epochs, capsys):
    solver = scripted(right, early_stopping=early_stopping, verbose=True)
    solver.train()
    assert (solver.epoch, solver.finished, len(solver.val_acc_history)) == (epochs, True, len(right))
    assert solver.best_val_acc == max(right) / 8
    assert_identical(solver.model.params, solver.best_params)
    unit = "epoch" if early_stopping == 1 else "epochs"
    expected = f"(Epoch {epochs} / 10) stopped early: no better val_acc for {early_stopping} {unit}"
    lines = capsys.readouterr().out.splitlines()
    assert (lines[-1] == expected) == (epochs < 10)
    assert sum("stopped" in line for line in lines) == (epochs < 10)


def test_after_an_early_stop_the_next_call_counts_from_the_start():
    solver = scripted([3, 3, 3, 2, 1, 1, 8, 7, 6], early_stopping=2)
    solver.train()
    assert solver.epoch == 2
    solver.train()
    assert solver.epoch == 4
    assert solver.val_acc_history == [3 / 8, 3 / 8, 3 / 8, 2 / 8, 1 / 8, 1 / 8]


def test_early_stopping_where_an_epoch_is_one_iteration():
    solver = scripted([3, 3, 4, 4, 4], early_stopping=2, batch_size=20)
    solver.train()
    assert solver.epoch == 5


def test_silent_where_not_verbose(capsys):
    solver = scripted([3, 3, 3], early_stopping=2, schedule=Step(1), transform=noisy)
    solver.train()
    assert capsys.readouterr().out == ""

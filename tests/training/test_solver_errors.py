"""Errors of a Solver before and during training."""

import numpy as np
import pytest
from small_solver import CLASSES, Model, data, make

from fastnn.schedules import Cosine
from fastnn.solver import Solver

pytestmark = pytest.mark.usefixtures("one_backend")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_stops_with_the_best_parameters(value):
    class Diverging(Model):
        def loss(self, X, y=None):
            if y is not None and solver.iteration == 7:
                return value, {}
            return super().loss(X, y)

    solver = make(Diverging(), on_nonfinite="raise")
    with pytest.raises(FloatingPointError, match=rf"Solver: loss = {value} in iteration 8; .*lower learning_rate=0\.0"):
        solver.train()
    assert solver.iteration == 7
    for name, best in solver.best_params.items():
        np.testing.assert_array_equal(solver.model.params[name], best)


def test_the_cause_of_a_loss_that_is_not_finite_is_named():
    parts = data()
    parts["X_train"] = np.full_like(parts["X_train"], np.nan)
    with pytest.raises(FloatingPointError, match=r"iteration 1; .*the batch contains NaN or infinity: check the data"):
        Solver(Model(), parts, verbose=False, on_nonfinite="raise").train()

    def explode(w, dw, config):
        return w + np.inf, config

    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match=r"iteration 1.*parameters \['W', 'b', "):
        make(update_rule=explode, on_nonfinite="raise").train()

    class Steep(Model):
        def loss(self, X, y=None):
            loss, grads = super().loss(X, y) if y is not None else (super().loss(X), None)
            return loss if y is None else (loss, {**grads, "b": np.full(CLASSES, np.inf)})

    with pytest.raises(FloatingPointError, match="norm of the gradients = inf in iteration 1"):
        make(Steep(), clip_norm=1.0, on_nonfinite="raise").train()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batchsize": 3}, TypeError, "Solver: the keyword batchsize=3 is unknown; .*did you mean 'batch_size'"),
        ({"model_": 3}, TypeError, "Solver: the keyword model_=3 is unknown; expected only model, data, update_rule"),
        ({"update_rule": "adma"}, ValueError, "Solver: update_rule='adma' is unknown.*did you mean 'adam'"),
        ({"update_rule": 3}, TypeError, "Solver: update_rule=3 is unknown"),
        ({"optim_config": {"lr": 1}}, ValueError, r"Solver: optim_config\['lr'\] is unknown"),
        ({"batch_size": 0}, ValueError, "Solver: batch_size=0 is out of range"),
        ({"num_epochs": 0}, ValueError, "Solver: num_epochs=0 is out of range"),
        ({"lr_decay": 0}, ValueError, "Solver: lr_decay=0 is out of range"),
        ({"print_every": 0.5}, ValueError, r"Solver: print_every=0\.5 is not an integer"),
        ({"num_train_samples": 0}, ValueError, "Solver: num_train_samples=0 is out of range"),
        ({"num_val_samples": 1.5}, ValueError, r"Solver: num_val_samples=1\.5 is not an integer"),
        ({"clip_norm": 0}, ValueError, "Solver: clip_norm=0 is out of range"),
        ({"on_nonfinite": "warm"}, ValueError, "Solver: on_nonfinite='warm' is unknown.*did you mean 'warn'"),
        ({"sampling": "epochs"}, ValueError, "Solver: sampling='epochs' is unknown.*did you mean 'epoch'"),
        ({"seed": "a"}, TypeError, "generator: seed='a' is not a seed"),
        ({"early_stopping": 0}, ValueError, "Solver: early_stopping=0 is out of range"),
        ({"schedule": "cosine"}, TypeError, "Solver: schedule='cosine' is not a function; expected a function or None"),
        ({"transform": 1}, TypeError, "Solver: transform=1 is not a function"),
        ({"checkpoint_every": 0, "checkpoint_name": "run"}, ValueError, "Solver: checkpoint_every=0 is out of range"),
        ({"checkpoint_every": 5}, ValueError, "Solver: checkpoint_every=5 has no file to write"),
        (
            {"schedule": Cosine(), "update_rule": lambda w, dw, config: (w, config), "optim_config": {"rate": 1}},
            ValueError,
            r"Solver: optim_config=\{'rate': 1\} has no learning_rate that a schedule could multiply",
        ),
        (
            {"schedule": Cosine(), "optim_config": {"learning_rate": "1"}},
            TypeError,
            r"Solver: optim_config\['learning_rate'\]='1' is not a number",
        ),
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


@pytest.mark.parametrize(
    ("factor", "error", "message"),
    [
        (-1.0, ValueError, r"Solver: schedule\(position\)=-1\.0 is out of range"),
        (np.nan, ValueError, r"Solver: schedule\(position\)=nan is not finite"),
        (None, TypeError, r"Solver: schedule\(position\)=None is not a number"),
    ],
)
def test_invalid_factors(factor, error, message):
    solver = make(schedule=lambda position: factor)
    with pytest.raises(error, match=message):
        solver.train()
    assert solver.iteration == 0


def test_gradients_that_are_missing():
    class Forgetful(Model):
        def loss(self, X, y=None):
            return super().loss(X) if y is None else (1.0, {"W": 0})

    with pytest.raises(ValueError, match="Solver: gradients lacks the key 'b'"):
        make(Forgetful()).train()

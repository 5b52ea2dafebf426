"""With on_nonfinite="warn", a number that is not finite ends training with a warning, and nothing else."""

import numpy as np
import pytest
from small_solver import CLASSES, Model, assert_identical, data, everything, make

import fastnn
from fastnn import checkpoint, nn
from fastnn.solver import Solver

pytestmark = pytest.mark.usefixtures("one_backend")


class Failing(Model):
    """A model whose loss is NaN in iteration 8; its solver is assigned later."""

    def loss(self, X, y=None):
        if y is not None and self.solver.iteration == 7:
            return np.nan, {}
        return super().loss(X, y)


def failing(**options):
    solver = make(Failing(), **options)
    solver.model.solver = solver
    return solver


def stopped(solver, match):
    """Train until the solver stops; return its only warning."""
    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning, match=match) as caught:
        solver.train()
    assert [warning.filename for warning in caught] == [__file__]
    return str(caught[0].message)


def test_the_best_parameters_come_back_and_the_history_keeps_the_loss():
    solver, expected = failing(), make(num_epochs=2)
    expected.train()
    said = stopped(solver, r"^Solver: loss = nan in iteration 8; expected a finite number; .*lower learning_rate=0\.0")
    assert solver.stopped == said.partition("; training stopped")[0]
    assert said.endswith("; pass on_nonfinite='raise' for an error")
    assert solver.iteration == 7
    assert np.isnan(solver.loss_history[-1])
    assert solver.loss_history[:6] == expected.loss_history
    assert solver.val_acc_history == expected.val_acc_history
    assert_identical(dict(solver.model.params), dict(expected.best_params))
    assert expected.stopped is None


def test_the_layer_is_named():
    model = nn.Sequential(nn.Linear(4, 6, dtype=np.float64, seed=0), nn.ReLU(), nn.Linear(6, CLASSES, seed=0))
    solver = Solver(model, data(), optim_config={"learning_rate": 1e200}, verbose=False, seed=0)
    stopped(solver, "layer . .* is the first whose output is not finite|highest score of X_train")


def test_a_state_between_iterations_is_what_is_saved(tmp_path):
    """Values that a stop adds to histories belong to no iteration: they are not in states, and not left over later."""
    solver, expected = failing(checkpoint_name=tmp_path / "run.h5", checkpoint_every=100), make()
    assert f"the state after iteration 7 is in {tmp_path / 'run.h5'}, for Solver.resume; training" in stopped(
        solver, ""
    )
    solver.save(tmp_path / "later.h5")
    assert len(solver.state()["loss_history"]) == 7
    expected.train()
    resumed = make()
    resumed.load_state(checkpoint.load(tmp_path / "run.h5"))
    resumed.train()
    assert_identical(everything(resumed), everything(expected))
    again = Solver.resume(tmp_path / "later.h5", data(), model=Model(), checkpoint_name=None)
    again.train()
    assert again.iteration == len(again.loss_history) == expected.iteration

    solver.checkpoint_name = None
    solver.model.loss = Model.loss.__get__(solver.model)
    solver.train()
    assert solver.stopped is None
    assert solver.iteration == len(solver.loss_history) == expected.iteration
    assert np.isfinite(solver.loss_history).all()
    assert len(solver.val_acc_history) == 1 + solver.epoch


def explode(w, dw, config):
    return w + np.inf, config


def test_parameters_of_before_come_back_if_none_was_evaluated():
    solver, initial = make(update_rule=explode), Model()
    stopped(solver, r"highest score of X_train\[\d+\] is .*\(after iteration 1\); the parameters \['W', 'b'")
    assert_identical(dict(solver.model.params), initial.params)
    assert np.isnan(solver.loss_history[-1])
    assert len(solver.loss_history) == 2
    accuracy = solver.check_accuracy(solver.X_val, solver.y_val)
    assert solver.val_acc_history == [accuracy] == [solver.best_val_acc]
    assert len(solver.train_acc_history) == 1
    assert solver.state()["val_acc_history"] == []


def test_scores_of_parameters_that_are_too_large_have_advice():
    def enlarge(w, dw, config):
        return np.full_like(w, 1e308), config

    stopped(make(update_rule=enlarge), r"\(after iteration 1\); the scores grew too large: lower learning_rate=")


def test_evaluations_of_a_stop_leave_randomness_as_it_was():
    solver, raising = make(update_rule=explode), make(update_rule=explode, on_nonfinite="raise")
    stopped(solver, "after iteration 1")
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError):
        raising.train()
    assert_identical(solver.state()["generator"], raising.state()["generator"])


def test_data_that_are_not_finite_have_no_accuracy():
    parts = data()
    parts["X_val"][3] = np.nan
    solver = make(parts=parts)
    stopped(solver, r"X_val\[3\] contains NaN or infinity: check the data \(after iteration 1\)")
    assert np.isnan([*solver.train_acc_history, *solver.val_acc_history]).all()
    assert len(solver.val_acc_history) == 1
    assert (solver.best_val_acc, solver.best_params) == (0, {})


def test_a_norm_that_is_not_finite_is_no_loss():
    class Steep(Model):
        def loss(self, X, y=None):
            found = super().loss(X, y)
            return found if y is None else (found[0], {**found[1], "b": np.full(CLASSES, np.inf)})

    solver = make(Steep(), clip_norm=1.0)
    stopped(solver, "norm of the gradients = inf in iteration 1")
    assert np.isnan(solver.loss_history).tolist() == [True]


def test_early_stopping_says_why():
    solver = make(num_epochs=50, early_stopping=2)
    solver.train()
    assert solver.stopped == "no better val_acc for 2 epochs"


def test_warnings_as_errors_leave_a_solver_that_has_stopped():
    solver = failing()
    with pytest.raises(RuntimeWarning, match="iteration 8"):  # pytest turns warnings into errors
        solver.train()
    assert solver.stopped.startswith("Solver: loss = nan in iteration 8")
    assert_identical(dict(solver.model.params), dict(solver.best_params))


def test_a_sweep_of_a_notebook_goes_on():
    """As in the course: train at many rates, and keep the accuracies."""
    accuracies = {}
    for rate in (1e-2, 1e200):
        model = fastnn.classifiers.fc_net.TwoLayerNet(4, 5, CLASSES, seed=0)
        solver = Solver(model, data(), optim_config={"learning_rate": rate}, verbose=False, seed=0)
        stopped(solver, "") if rate > 1 else solver.train()
        accuracies[rate] = solver.val_acc_history[-1]
        assert np.isnan(solver.loss_history[-1]) == (rate > 1)
        assert np.isfinite(model.loss(solver.X_val)).all()
    assert all(0 <= accuracy <= 1 for accuracy in accuracies.values())

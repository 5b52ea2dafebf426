"""A loss that is not finite: the error names the first layer and gives advice, and the previous state is kept."""

import numpy as np
import pytest
from small_solver import CLASSES, Model, assert_identical, data, everything, make

from fastnn import checkpoint, nn
from fastnn.solver import Solver

pytestmark = pytest.mark.usefixtures("one_backend")
OPTIONS = {"dtype": np.float64, "seed": 0}


class Broken(nn.Module):
    """An identity layer with NaN in the output or in the gradient, if asked for."""

    def __init__(self, *where):
        super().__init__()
        self.where = where

    def forward(self, x):
        return x * (np.nan if "output" in self.where else 1), None

    def backward(self, dout, cache, need_dx=True):
        return dout * (np.inf if "gradient" in self.where else 1), {}


def network(*layers, **options):
    return nn.Sequential(nn.Linear(4, 6, **OPTIONS), *layers, nn.Linear(6, CLASSES, **OPTIONS), **options)


def message(model, **options):
    """Return the error of a solver that fails in its first iteration."""
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError) as caught:
        Solver(model, data(), verbose=False, seed=0, on_nonfinite="raise", **options).train()
    return str(caught.value)


def test_the_first_layer_with_an_output_that_is_not_finite_is_named():
    said = message(network(nn.ReLU(), Broken("output"), nn.Tanh()))
    assert said.startswith(
        "Solver: loss = nan in iteration 1; expected a finite number; layer 2 (Broken()) is the first "
    )
    assert said.endswith(
        "whose output is not finite; the scores grew too large: lower learning_rate=0.01, or check the data"
    )


def test_a_layer_that_is_computed_together_with_its_neighbours_is_named_alone():
    model = network(nn.ReLU())
    model.params["0.weight"] = np.full((4, 6), 1e308)
    assert "layer 0 (Linear(4, 6)) is the first whose output is not finite" in message(model)


def test_a_layer_inside_a_sequential_is_named_by_its_position():
    said = message(network(nn.Sequential(nn.Tanh(), Broken("output"))))
    assert "layer 1.1 (Broken()) is the first whose output" in said
    assert "layer 1 (Residual) is the first" in message(network(nn.Residual(Broken("output"))))


def test_the_layer_whose_gradient_is_not_finite_is_named():
    said = message(network(Broken("gradient"), nn.Tanh()), clip_norm=1.0)
    assert "Solver: norm of the gradients = " in said
    assert "layer 1 (Broken()) is the last whose gradient, of its input, is not finite" in said

    class Weighted(Broken):
        def __init__(self):
            super().__init__()
            self.params["scale"] = np.ones(1)

        def backward(self, dout, cache, need_dx=True):
            return dout, {"scale": np.array([np.nan])}

    assert "layer 1 (Weighted()) is the last whose gradient, of 'scale', is not" in message(
        network(Weighted()), clip_norm=1.0
    )


def test_a_loss_function_that_fails_on_finite_scores_is_named():
    said = message(network(loss=lambda scores, y: (np.inf, np.ones_like(scores))))
    assert "the output of every layer is finite, but the value of the loss function is not" in said


def test_of_other_models_the_first_gradient_that_is_not_finite_is_named():
    class Steep(Model):
        def loss(self, X, y=None):
            loss = super().loss(X, y)
            return loss if y is None else (np.nan, {**loss[1], "b": np.full(CLASSES, np.nan)})

    assert "the first gradient that is not finite is that of 'b'; the scores grew" in message(Steep())


def test_a_search_that_fails_hides_nothing():
    class Fickle(Broken):
        def forward(self, x):
            self.where += ("seen",)
            if len(self.where) > 1:
                raise RuntimeError("no second time")
            return x * np.nan, None

    assert message(network(Fickle())).startswith(
        "Solver: loss = nan in iteration 1; expected a finite number; the scor"
    )


def test_the_search_leaves_buffers_and_randomness_as_they_were():
    model = network(nn.BatchNorm1d(6, dtype=np.float64), nn.Dropout(0.5, seed=1), Broken("output"))
    before = {name: value.copy() for name, value in model.buffers.items()}
    solver = Solver(model, data(), verbose=False, seed=0, on_nonfinite="raise")
    generator = solver.state()["generator"]
    with pytest.raises(FloatingPointError):
        solver.train()
    assert_identical(dict(model.buffers), before)
    assert_identical(solver.state()["generator"], generator)


class Interrupted(Model):
    """A model whose loss is NaN in one iteration; its solver is assigned later."""

    def loss(self, X, y=None):
        if y is not None and self.solver.iteration == 7:
            return np.nan, {}
        return super().loss(X, y)


@pytest.mark.parametrize(
    ("options", "name"), [({}, "run_iteration_7.h5"), ({"checkpoint_every": 100}, "run.h5")], ids=["epochs", "every"]
)
def test_the_state_before_is_saved_and_training_resumes_from_it(tmp_path, options, name):
    options = {"checkpoint_name": str(tmp_path / "run"), "on_nonfinite": "raise", **options}
    solver = make(Interrupted(), **options)
    solver.model.solver = solver
    with pytest.raises(FloatingPointError, match=rf"; the state after iteration 7 is in .*{name}, for Solver.resume$"):
        solver.train()
    resumed, expected = make(), make()
    resumed.load_state(checkpoint.load(tmp_path / name))
    assert resumed.iteration == 7
    resumed.train()
    expected.train()
    assert_identical(everything(resumed), everything(expected))


def test_without_a_name_nothing_is_saved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "the state after" not in message(network(Broken("output")))
    assert not list(tmp_path.iterdir())


def test_where_the_parameters_are_not_finite_an_earlier_state_is_saved(tmp_path):
    def explode(w, dw, config):
        config["count"] = config.get("count", 0) + 1
        return w + (np.inf if config["count"] == 5 else 0.1), config

    solver = make(update_rule=explode, checkpoint_name=str(tmp_path / "run"), on_nonfinite="raise")
    with (
        np.errstate(all="ignore"),
        pytest.raises(FloatingPointError, match=r"iteration 6.*the state after iteration 0 is"),
    ):
        solver.train()
    state = checkpoint.load(tmp_path / "run_iteration_0.h5")["solver"]
    assert all(np.isfinite(value).all() for value in state["params"].values())


def test_what_a_model_returns_is_checked():
    class Forgetful(Model):
        def loss(self, X, y=None):
            return super().loss(X) if y is None else 0.5

    with pytest.raises(TypeError, match=r"Solver: model\.loss\(X, y\) returned 0\.5; expected \(loss, gradients\)"):
        make(Forgetful()).train()

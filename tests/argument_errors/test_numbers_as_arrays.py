"""A hyperparameter may be a NumPy array of shape (), which is copied."""

import numpy as np
import pytest
import small_solver

import fastnn
from fastnn import classifiers
from fastnn.checkpoint import config as descriptions
from fastnn.optim import sgd
from fastnn.solver import Solver

from .leaves import called, cases
from .table import TABLE

pytestmark = pytest.mark.usefixtures("files")


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def skipped(name, path):
    """Skip numbers that are data, not hyperparameters."""
    return (
        path[0] in ("cache", "seed", "generator")  # of forward passes; a seed is an int or a Generator
        or path[0] in ("tree", "trials", "values", "choices", "distributions", "results", "stats", "solver")  # data
        or name == "rng.set_state"  # the words of a bit generator
    )


def original(name, path):
    value = TABLE[name].values()
    for key in path:
        value = value[key]
    return value


CASES = list(cases(TABLE, is_number, skipped))


def test_the_cases_cover_what_takes_numbers():
    names = {name for name, _ in CASES}
    assert {"solver.Solver", "optim.adam", "schedules.Plateau", "layers.conv_forward", "nn.Dropout"} <= names
    assert len(CASES) > 250


@pytest.mark.parametrize(("name", "path"), CASES, ids=lambda value: value if isinstance(value, str) else str(value[-1]))
def test_an_array_without_axes_is_its_number(name, path):
    with fastnn.use_backend("vectorized"):
        expected, *_ = called(TABLE[name])
        actual, array = called(TABLE[name], path, np.array)
        assert actual() == expected()
        before = np.array(original(name, path))
        assert array == before, "the caller's array was changed"
        array[...] = before + 1
        assert actual() == expected(), "the caller's array is read later"


@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_a_decayed_rate_is_that_of_each_parameter(rule):
    rate = np.array(0.01)
    solver = small_solver.make(update_rule=rule, optim_config={"learning_rate": rate}, lr_decay=0.5, num_epochs=1)
    solver.train()
    assert [config["learning_rate"] for config in solver.optim_configs.values()] == [0.005] * 3
    assert rate == 0.01


def test_configs_of_a_custom_rule_share_nothing_mutable():
    def rule(w, dw, config):
        config["seen"].append(w.shape)
        config["scale"] *= 0.5
        return sgd(w, dw, {"learning_rate": config["learning_rate"]})[0], config

    given = {"learning_rate": np.array(0.01), "scale": np.ones(2), "seen": []}
    solver = Solver(
        small_solver.Model(), small_solver.data(), update_rule=rule, optim_config=given, lr_decay=0.5, num_epochs=1,
        batch_size=20, seed=0, verbose=False,
    )  # fmt: skip
    solver.train()
    assert [config["learning_rate"] for config in solver.optim_configs.values()] == [0.005] * 3
    for name, config in solver.optim_configs.items():
        assert config["seen"] == [solver.model.params[name].shape]
        np.testing.assert_array_equal(config["scale"], [0.5, 0.5])
    assert given["learning_rate"] == 0.01
    assert given["seen"] == []
    np.testing.assert_array_equal(given["scale"], [1, 1])


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), np.array(0.5)], ids=["float", "float32", "array"])
def test_the_decaying_rate_is_a_python_number(value):
    solver = small_solver.make(optim_config={"learning_rate": value}, num_epochs=1)
    solver.train()
    assert {type(config["learning_rate"]) for config in solver.optim_configs.values()} == {float}


def test_what_a_layer_was_made_with_is_not_the_callers_list():
    sizes = [4, 3]
    model = classifiers.FullyConnectedNet(sizes, 5, 2)
    sizes.append(7)
    assert descriptions.describe(model)["arguments"]["hidden_dims"] == [4, 3]

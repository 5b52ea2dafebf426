"""Tests of the gradients of the naive loops against numeric ones, on arguments drawn from the specifications."""

import numpy as np
import pytest

import fastnn
from fastnn.gradient_check import eval_numerical_gradient_array
from fastnn.kernels.dispatch.specification import Floats
from fastnn.testing.conformance import strategies
from fastnn.testing.conformance.cases import build, outcome
from fastnn.testing.conformance.specs import FUNCTIONS, forward_of

SIZES = {"N": 3, "C": 2, "F": 2, "H": 5, "W": 4, "D": 4, "M": 3, "K": 3, "S": 2, "rank": 3, "pieces": 2, "groups": 2}
WINDOWS = {"KH": 3, "KW": 2, "SH": 2, "SW": 1, "PH": 1, "PW": 1, "QH": 2, "QW": 2, "RH": 1, "RW": 2, "need_dx": True}
BACKWARD = [name for name, function in FUNCTIONS.items() if function.forward]
LOSSES = [name for name, function in FUNCTIONS.items() if function.results[:1] == ("loss",)]


def plan_of(function, draw):
    given = {**SIZES, **WINDOWS}
    chosen = {name: given.get(name, of_name[0]) for name, of_name in strategies.choices(function).items()}
    return {**chosen, "values": "normal", "draw": draw}


def assert_numeric(function, forward, arguments, value, result, weights):
    """Compare every gradient with the numeric gradient of `result`, weighted by `weights`."""
    with fastnn.use_backend("naive"):
        gradients = outcome(function, function.public, arguments)
        for name, gradient in gradients.items():
            differentiated = name.removeprefix("d")
            if name.startswith("d") and isinstance(forward.arguments.get(differentiated), Floats):
                expected = eval_numerical_gradient_array(
                    lambda _: outcome(forward, forward.public, value)[result], value[differentiated], weights
                )
                np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-8, err_msg=name)


@pytest.mark.parametrize("draw", [0, 1])
@pytest.mark.parametrize("name", BACKWARD)
def test_gradients_of_layers(name, draw):
    function, forward = FUNCTIONS[name], forward_of(FUNCTIONS[name])
    plan = plan_of(function, draw)
    arguments = build(function, plan)
    of_forward = build(forward, plan)
    assert_numeric(function, forward, arguments, of_forward, "out", arguments["dout"])


@pytest.mark.parametrize("draw", [0, 1])
@pytest.mark.parametrize("name", LOSSES)
def test_gradients_of_losses(name, draw):
    function = FUNCTIONS[name]
    arguments = build(function, plan_of(function, draw))
    assert_numeric(function, function, arguments, arguments, "loss", 1.0)

"""Invalid solver states raise a clear error and do not change the solver."""

import re

import numpy as np
import pytest
from small_solver import Remembering, assert_identical, everything, make

pytestmark = pytest.mark.usefixtures("one_backend")
NAN = np.array([[np.nan]])

STATES = {
    "a count that is text": (("iteration",), "ten", "iteration='ten' is not a number"),
    "a count below zero": (("epoch",), -1, "epoch=-1 is out of range"),
    "an accuracy that is not finite": (("best_val_acc",), np.nan, "best_val_acc=nan is not finite"),
    "a flag that is a number": (("finished",), 2, "finished in the state is not a boolean; expected True or False"),
    "a history that is a number": (("loss_history",), 3.0, "loss_history in the state is not a list; expected a list"),
    "a history of texts": (("val_acc_history",), ["high"], "val_acc_history[0]='high' is not a number"),
    "a history with NaN": (("loss_history",), [1.0, np.nan], "loss_history[1]=nan is not finite"),
    "parameters that are a list": (("params",), [1, 2], "params in the state is a list; expected a dict"),
    "a generator that is none": (("generator",), "PCG64", "generator in the state is a str; expected a dict"),
    "a parameter that is text": (("params", "W"), "W", "params['W'] in the state is of the type str; expected an ar"),
    "a complex parameter": (
        ("params", "W"),
        np.zeros((4, 3), complex),
        "params['W'] in the state is of the type complex",
    ),
    "a parameter with NaN": (
        ("params", "b"),
        np.full(3, np.nan),
        "params['b'] in the state is not finite; expected",
    ),
    "a buffer with infinity": (("buffers", "mean"), np.full(4, np.inf), "buffers['mean'] in the state is not finite"),
    "the best with NaN": (("best_params", "W"), NAN, "best_params['W'] in the state is not finite"),
    "the best of another shape": (
        ("best_params", "W"),
        np.zeros(2),
        "best_params in the state is in the shapes {'W'",
    ),
    "a config too few": (
        ("optim_configs",),
        {"W": {}},
        "optim_configs in the state is for ['W']; expected for ['W'",
    ),
    "a config that is none": (("optim_configs", "W"), 3, "optim_configs['W'] in the state is a int; expected a dict"),
    "a moment with NaN": (("optim_configs", "W", "m"), NAN, "optim_configs['W']['m'] in the state is not finite"),
    "an order that is a list": (
        ("order",),
        [0, 1],
        "order in the state is not an array of indices; expected an array (N,)",
    ),
    "an order beyond the images": (
        ("order",),
        np.arange(1, 21),
        "order in the state is not a permutation of 20 images",
    ),
    "an order twice": (("order",), np.zeros(20, int), "order in the state is not a permutation of 20 images"),
}


@pytest.mark.parametrize("name", STATES)
def test_invalid_states_raise(name):
    keys, value, message = STATES[name]
    trained = make(Remembering(), sampling="epoch")
    trained.train()
    state = trained.state()
    place = state
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    solver = make(Remembering(seed=7), sampling="epoch")
    before = everything(solver)
    with pytest.raises((ValueError, TypeError), match=r"^Solver\.load_state: " + re.escape(message)):
        solver.load_state(state)
    assert_identical(everything(solver), before)


def test_valid_states_load():
    trained = make(Remembering(), sampling="epoch")
    make(Remembering(), sampling="epoch").load_state(trained.state())
    trained.train()
    make(Remembering(), sampling="epoch").load_state(trained.state())

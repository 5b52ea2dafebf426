"""Inputs and checks of `updates`, for every backend and for the simulated GPU."""

import numpy as np
import pytest

from fastnn.kernels import updates
from fastnn.kernels.updates import rules
from fastnn.testing import against_naive

# beta1 is exact in every dtype, so that no sign depends on rounding: see `rules.Rule.jumps`
NUMBERS = {"learning_rate": 0.01, "beta1": 0.875, "t": 3, "weight_decay": 0.1}
RECORDS = {getattr(updates, record.kernel): record for record in rules.RULES.values()}
RULES = {  # the number of state arrays, and the hyperparameters
    rule: (len(record.state), {name: NUMBERS.get(name, value) for name, value in record.defaults.items()})
    for rule, record in RECORDS.items()
}
each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)


def draw(rule, shape, dtype, seed=0):
    """Return w, dw and the state, with second moments that are not negative."""
    record = RECORDS[rule]
    w, dw, *state = np.random.default_rng(seed).standard_normal((2 + len(record.state), *shape))
    state = [np.abs(one) if name in record.not_negative else one for name, one in zip(record.state, state, strict=True)]
    values = [np.round(16 * one) / 16 if record.jumps else one for one in (w, dw, *state)]
    return [np.array(one, dtype) for one in values]


def updated(rule, in_place=False, **changed):
    """Return the rule as a function that copies its arguments and returns the new weights and state."""

    def apply(w, dw, *state):
        w, state = w.copy(order="C"), [array.copy(order="C") for array in state]
        out = w if in_place else np.full_like(w, np.nan)
        assert rule(w, dw, *state, out, **RULES[rule][1] | changed) is None
        return (out, *state)

    return apply


def check_against_the_loops(rule, decay, shape, dtype):
    arrays = draw(rule, shape, dtype)
    into_another_array = against_naive(updated(rule, weight_decay=decay), *arrays)
    in_place = against_naive(updated(rule, in_place=True, weight_decay=decay), *arrays)
    for actual, expected in zip(in_place, into_another_array, strict=True):
        np.testing.assert_array_equal(actual, expected)


def check_without_weight_decay(rule):
    """Without weight decay the state does not depend on the weights."""
    w, dw, *state = draw(rule, (3,), np.float64)
    expected = updated(rule, weight_decay=0)(w, dw, *state)
    w[1] = np.inf
    actual = updated(rule, weight_decay=0)(w, dw, *state)
    assert actual[0][1] == np.inf
    for one, other in zip(actual[1:], expected[1:], strict=True):
        np.testing.assert_array_equal(one, other)


def check_the_figures_of_the_course():
    def line(first, last):
        return np.linspace(first, last, 20).reshape(4, 5)

    w, dw, out = line(-0.4, 0.6), line(-0.6, 0.4), np.empty((4, 5))
    velocity = line(0.6, 0.9)
    updates.momentum_update(w, dw, velocity, out, learning_rate=1e-3, momentum=0.9)
    assert (out[0, 0], velocity[0, 0]) == pytest.approx((0.1406, 0.5406), rel=1e-12)
    cache = line(0.6, 0.9)
    updates.rmsprop_update(w, dw, cache, out, learning_rate=1e-2, decay_rate=0.99, epsilon=1e-8)
    assert out[0, 0] == pytest.approx(-0.39223849, abs=5e-9)
    assert cache[0, 0] == pytest.approx(0.5976, rel=1e-12)
    m, v = line(0.6, 0.9), line(0.7, 0.5)
    updates.adam_update(w, dw, m, v, out, t=6, learning_rate=1e-2, beta1=0.9, beta2=0.999, epsilon=1e-8)
    assert out[0, 0] == pytest.approx(-0.40094747, abs=5e-9)
    assert (m[0, 0], v[0, 0]) == pytest.approx((0.48, 0.69966), rel=1e-12)

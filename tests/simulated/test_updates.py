"""`updates` on the simulated GPU."""

import numpy as np
import pytest

from fastnn.kernels import updates
from fastnn.testing import against_naive

ADAM = {"t": 3, "learning_rate": 0.01, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
RULES = {  # the arrays of state, and numbers for the rest
    updates.sgd_update: (0, {"learning_rate": 0.1}),
    updates.momentum_update: (1, {"learning_rate": 0.1, "momentum": 0.9}),
    updates.nesterov_update: (1, {"learning_rate": 0.1, "momentum": 0.9}),
    updates.rmsprop_update: (1, {"learning_rate": 0.01, "decay_rate": 0.99, "epsilon": 1e-8}),
    updates.adagrad_update: (1, {"learning_rate": 0.01, "epsilon": 1e-8}),
    updates.adam_update: (2, ADAM),
    updates.adamw_update: (2, ADAM),
}
each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
each_decay = pytest.mark.parametrize("decay", [0.0, 0.1])


def draw(rule, shape, dtype, seed=0):
    """w, dw and the state, whose second moments are not negative."""
    w, dw, *state = np.random.default_rng(seed).standard_normal((2 + RULES[rule][0], *shape))
    if rule not in (updates.momentum_update, updates.nesterov_update):
        state = [*state[:-1], *(np.abs(last) for last in state[-1:])]
    return [np.array(values, dtype) for values in (w, dw, *state)]


def updated(rule, in_place=False, **changed):
    """The rule as a function that leaves its arguments alone and returns the new weights and the new state."""

    def apply(w, dw, *state):
        w, state = w.copy(), [array.copy() for array in state]
        out = w if in_place else np.full_like(w, np.nan)
        assert rule(w, dw, *state, out, **RULES[rule][1] | changed) is None
        return (out, *state)

    return apply


@each_rule
@each_decay
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(0, 3), (), (1,), (3, 5, 7)], ids=str)
def test_against_the_loops(rule, decay, shape, dtype):
    arrays = draw(rule, shape, dtype)
    expected = against_naive(updated(rule, weight_decay=decay), *arrays)
    in_place = against_naive(updated(rule, in_place=True, weight_decay=decay), *arrays)
    for one, other in zip(in_place, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@each_rule
@each_decay
def test_awkward_numbers(rule, decay):
    w, dw, *state = draw(rule, (6,), np.float64)
    w[:3], dw[1:5] = [-0.0, np.inf, np.nan], [0.0, -0.0, np.nan, -np.inf]
    against_naive(updated(rule, weight_decay=decay), w, dw, *state)


@each_rule
def test_without_weight_decay_the_weights_do_not_matter(rule):
    w, dw, *state = draw(rule, (3,), np.float64)
    expected = updated(rule, weight_decay=0)(w, dw, *state)
    w[1] = np.inf
    actual = updated(rule, weight_decay=0)(w, dw, *state)
    assert actual[0][1] == np.inf
    for one, other in zip(actual[1:], expected[1:], strict=True):
        np.testing.assert_array_equal(one, other)


def test_numbers_too_large_for_the_weights():
    w, out = np.array([1.0, -2.0], np.float32), np.empty(2, np.float32)
    updates.sgd_update(w, np.array([1, -1], np.float32), out, learning_rate=1e39)
    assert out.tolist() == [-np.inf, np.inf]


@each_rule
def test_gradients_in_any_layout_and_dtype(rule):
    w, dw, *state = draw(rule, (4, 6), np.float32)
    wide = np.repeat(dw, 2, axis=1)[:, ::2]
    for seen in (np.asfortranarray(dw), wide, dw.astype(np.float64)):
        actual = updated(rule, weight_decay=0.1)(w, seen, *state)
        expected = updated(rule, weight_decay=0.1)(w, dw, *state)
        for one, other in zip(actual, expected, strict=True):
            np.testing.assert_array_equal(one, other)


@each_rule
def test_many_parameters_are_updated_one_after_the_other(rule):
    """Of two dtypes, each with numbers of its own; two of them share their weights."""
    shapes, dtypes = [(3, 4), (), (0, 2), (33,), (12,)], [np.float32, np.float64]

    def drawn():
        rows = [draw(rule, shape, dtypes[place == 3], place) for place, shape in enumerate(shapes)]
        rows[4][0] = rows[0][0].reshape(12)
        return rows

    rows, expected = drawn(), drawn()
    numbers = {name: [value] * 5 for name, value in RULES[rule][1].items()}
    numbers |= {"learning_rate": [0.01, 0.02, 0.03, 0.04, 0.05], "weight_decay": [0.0, 0.1, 0.2, 0.3, 0.0]}
    for place, row in enumerate(expected):
        rule(*row, row[0], **{name: values[place] for name, values in numbers.items()})
    columns = [list(column) for column in zip(*rows, strict=True)]
    rule(*columns, columns[0], **numbers)
    for actual_row, expected_row in zip(rows, expected, strict=True):
        for one, other in zip(actual_row, expected_row, strict=True):
            np.testing.assert_array_equal(one, other)


def test_the_figures_of_the_course():
    def line(first, last):
        return np.linspace(first, last, 20).reshape(4, 5)

    w, dw, out = line(-0.4, 0.6), line(-0.6, 0.4), np.empty((4, 5))
    velocity = line(0.6, 0.9)
    updates.momentum_update(w, dw, velocity, out, learning_rate=1e-3, momentum=0.9)
    assert (out[0, 0], velocity[0, 0]) == pytest.approx((0.1406, 0.5406), rel=1e-12)
    cache = line(0.6, 0.9)
    updates.rmsprop_update(w, dw, cache, out, learning_rate=1e-2, decay_rate=0.99, epsilon=1e-8)
    assert (out[0, 0], cache[0, 0]) == (pytest.approx(-0.39223849, abs=5e-9), pytest.approx(0.5976, rel=1e-12))
    m, v = line(0.6, 0.9), line(0.7, 0.5)
    updates.adam_update(w, dw, m, v, out, t=6, learning_rate=1e-2, beta1=0.9, beta2=0.999, epsilon=1e-8)
    assert out[0, 0] == pytest.approx(-0.40094747, abs=5e-9)
    assert (m[0, 0], v[0, 0]) == pytest.approx((0.48, 0.69966), rel=1e-12)

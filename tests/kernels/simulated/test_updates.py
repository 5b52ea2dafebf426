"""`updates` on the simulated GPU."""

import numpy as np
import pytest
from operation_checks.updates import (
    RULES,
    check_against_the_loops,
    check_the_figures_of_the_course,
    check_without_weight_decay,
    draw,
    each_rule,
    updated,
)

from fastnn.kernels import updates
from fastnn.testing import against_naive

each_decay = pytest.mark.parametrize("decay", [0.0, 0.1])


@each_rule
@each_decay
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(0, 3), (), (1,), (3, 5, 7)], ids=str)
def test_against_the_loops(rule, decay, shape, dtype):
    check_against_the_loops(rule, decay, shape, dtype)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@each_rule
@each_decay
def test_awkward_numbers(rule, decay):
    w, dw, *state = draw(rule, (6,), np.float64)
    w[:3], dw[1:5] = [-0.0, np.inf, np.nan], [0.0, -0.0, np.nan, -np.inf]
    against_naive(updated(rule, weight_decay=decay), w, dw, *state)


@each_rule
def test_without_weight_decay_the_weights_do_not_matter(rule):
    check_without_weight_decay(rule)


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
    """Of two dtypes, with different hyperparameters; two of them share their weights."""
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
    check_the_figures_of_the_course()

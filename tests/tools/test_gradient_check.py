"""Numeric gradients: values, printed lines, and x is restored."""

import random
import re

import numpy as np
import pytest
from numeric_gradients import without_loops

import fastnn
from fastnn.gradient_check import (
    compute_numeric_gradient,
    eval_numerical_gradient,
    eval_numerical_gradient_array,
    eval_numerical_gradient_blobs,
    eval_numerical_gradient_net,
    grad_check_sparse,
    rel_error,
)


def cubes(x):
    return x**3


def test_gradient_of_a_number():
    x = np.array([[1.0, -2.0], [0.5, 3.0]])
    np.testing.assert_allclose(eval_numerical_gradient(lambda x: cubes(x).sum(), x, verbose=False), 3 * x**2, rtol=1e-8)


def test_verbose_prints_each_derivative(capsys):
    eval_numerical_gradient(lambda x: 2 * x.sum(), np.array([[1.0, 2.0]]))
    assert re.fullmatch(r"\(0, 0\) (2\.0|1\.9)\d*\n\(0, 1\) (2\.0|1\.9)\d*\n", capsys.readouterr().out)
    eval_numerical_gradient(lambda x: 2 * x.sum(), np.array([[1.0, 2.0]]), False)
    assert capsys.readouterr().out == ""


def test_gradient_of_an_array():
    x, df = np.array([1.0, -2.0, 0.5]), np.array([1.0, 10.0, 100.0])
    np.testing.assert_allclose(eval_numerical_gradient_array(cubes, x, df), 3 * x**2 * df, rtol=1e-8)
    np.testing.assert_allclose(compute_numeric_gradient(cubes, x, df), 3 * x**2 * df, rtol=1e-6)
    np.testing.assert_allclose(compute_numeric_gradient(cubes, x), 3 * x**2, rtol=1e-6)


def test_results_that_f_overwrites_are_kept_apart():
    buffer = np.empty(3)
    x = np.array([1.0, -2.0, 0.5])
    actual = eval_numerical_gradient_array(lambda x: np.power(x, 3, out=buffer), x, np.ones(3))
    np.testing.assert_allclose(actual, 3 * x**2, rtol=1e-8)


def test_x_of_any_layout_is_moved_in_place_and_restored():
    whole = np.arange(24.0).reshape(4, 6)
    before = whole.copy()
    for x in (whole[::2, 1::3], whole.T, np.asfortranarray(whole), whole[1, 1:2], np.array(3.0), np.empty((0, 2))):
        actual = eval_numerical_gradient(lambda _, x=x: np.sum(x**2), x, verbose=False)
        np.testing.assert_allclose(actual, 2 * x, rtol=1e-6, atol=1e-6)
        assert actual.shape == x.shape
    np.testing.assert_array_equal(whole, before)


def test_x_is_restored_where_f_raises():
    x = np.array([1.0, 2.0])

    def fails(x):
        raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        eval_numerical_gradient(fails, x)
    np.testing.assert_array_equal(x, [1.0, 2.0])


class Blob:
    def __init__(self, vals, diffs):
        self.vals, self.diffs = np.array(vals), np.array(diffs)


class Net:
    def __init__(self, inputs, output):
        self.inputs, self.output = inputs, output

    def forward(self):
        self.output.vals = self.inputs[0].vals * self.inputs[1].vals ** 2


def test_gradients_of_blobs_and_nets():
    inputs = Blob([1.0, 2.0], [0.0, 0.0]), Blob([3.0, -1.0], [0.0, 0.0])
    output = Blob([0.0, 0.0], [1.0, 10.0])

    def f(first, second, result):
        result.vals = first.vals * second.vals**2

    for actual in (
        eval_numerical_gradient_blobs(f, inputs, output),
        eval_numerical_gradient_net(Net(inputs, output), inputs, output),
    ):
        np.testing.assert_allclose(actual[0], [9.0, 10.0], rtol=1e-8)
        np.testing.assert_allclose(actual[1], [6.0, -40.0], rtol=1e-8)


def test_sparse_check_prints_the_course_line(capsys):
    x = np.full((3, 4), 2.0)
    assert grad_check_sparse(lambda x: cubes(x).sum(), x, 3 * x**2, num_checks=2) is None
    line = r"numerical: 12\.000000 analytic: 12\.000000, relative error: \d\.\d{6}e-\d\d\n"
    assert re.fullmatch(line * 2, capsys.readouterr().out)
    np.testing.assert_array_equal(x, 2.0)


def test_sparse_check_draws_as_the_courses(capsys):
    """From Python's generator, axis by axis, so that draws from NumPy's stay the same."""
    x = np.arange(1.0, 13.0).reshape(3, 4)
    random.seed(5)
    expected = [3 * x[random.randrange(3), random.randrange(4)] ** 2 for _ in range(4)]
    np.random.seed(1)
    before = np.random.get_state()[1].copy()
    random.seed(5)
    grad_check_sparse(lambda x: cubes(x).sum(), x, 3 * x**2, num_checks=4)
    printed = [float(line.split()[3].rstrip(",")) for line in capsys.readouterr().out.splitlines()]
    assert printed == expected
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_sparse_check_where_both_are_zero(capsys):
    grad_check_sparse(lambda x: 0.0, np.ones(3), np.zeros(3), num_checks=1)
    assert capsys.readouterr().out == "numerical: 0.000000 analytic: 0.000000, relative error: 0.000000e+00\n"


def test_relative_error():
    assert rel_error(np.array([1.0, 2.0]), np.array([1.0, 3.0])) == pytest.approx(1 / 5)
    assert rel_error(0.0, 0.0) == 0
    assert rel_error(1e-9, 0.0) == pytest.approx(0.1)
    assert rel_error([], []) == 0
    assert np.isnan(rel_error([np.nan, 1.0], [1.0, 1.0]))


@pytest.mark.parametrize(
    ("check", "function"),
    [
        (lambda x: eval_numerical_gradient(np.sum, x), "eval_numerical_gradient"),
        (lambda x: eval_numerical_gradient_array(cubes, x, 1), "eval_numerical_gradient_array"),
        (lambda x: grad_check_sparse(np.sum, x, x), "grad_check_sparse"),
        (lambda x: compute_numeric_gradient(cubes, x), "compute_numeric_gradient"),
    ],
)
def test_what_cannot_be_moved_by_h_raises(check, function):
    with pytest.raises(TypeError, match=f"{function}: x is an array of int64; expected an array of floats"):
        check(np.arange(3, dtype=np.int64))
    with pytest.raises(TypeError, match=f"{function}: x is a list"):
        check([1.0, 2.0])


def test_loops_are_replaced_only_by_what_computes_the_same():
    """The helper of tests that evaluate a function thousands of times."""
    with fastnn.use_backend("naive"):
        with without_loops(lambda: 1.0):
            assert fastnn.get_backend() == "vectorized"
        with pytest.raises(AssertionError), without_loops(lambda: float(len(fastnn.get_backend()))):
            pass
    with fastnn.use_backend("vectorized"), without_loops(lambda: float("nan")):
        assert fastnn.get_backend() == "vectorized"

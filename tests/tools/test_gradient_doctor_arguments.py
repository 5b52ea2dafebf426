"""Invalid arguments of the gradient doctor."""

import itertools

import numpy as np
import pytest

from fastnn.gradient_check import diagnose

X = np.array([1.0, 2.0])


def total(x):
    return float(x.sum())


def test_x_that_cannot_be_moved():
    with pytest.raises(TypeError, match="diagnose: x is an array of int64; expected an array of floats"):
        diagnose(total, np.arange(3, dtype=np.int64), np.ones(3))
    with pytest.raises(TypeError, match="diagnose: x is a list"):
        diagnose(total, [1.0], np.ones(1))
    with pytest.raises(ValueError, match=r"diagnose: x.shape = \(0, 2\) is empty"):
        diagnose(total, np.ones((0, 2)), np.ones((0, 2)))
    with pytest.raises(ValueError, match="diagnose: x contains NaN or infinity; expected finite numbers"):
        diagnose(total, np.array([1.0, np.nan]), np.ones(2))


def test_analytic_that_is_not_a_gradient():
    with pytest.raises(TypeError, match="diagnose: analytic is complex128; expected real numbers"):
        diagnose(total, X, X + 1j)
    with pytest.raises(TypeError, match=r"diagnose: analytic=.* is not an array"):
        diagnose(total, X, [[1.0], [2.0, 3.0]])
    with pytest.raises(TypeError, match="diagnose: analytic is object"):
        diagnose(total, X, None)
    assert diagnose(total, X, [1, 1]).ok


def test_f_that_is_not_a_function_of_x():
    with pytest.raises(ValueError, match=r"diagnose: f\(x\) is float64 of shape \(2,\); .* or pass dout"):
        diagnose(lambda x: x * 2, X, X)
    with pytest.raises(TypeError, match=r"diagnose: f\(x\) is object of shape \(\); expected a real number"):
        diagnose(lambda x: None, X, X)
    with pytest.raises(ValueError, match=r"diagnose: f\(x\)=nan is not finite"):
        diagnose(lambda x: np.nan, X, X)
    counter = itertools.count()
    with pytest.raises(ValueError, match=r"diagnose: f\(x\) differs by 1 between two calls .* fixed seed"):
        diagnose(lambda x: float(next(counter)), X, X)


def test_f_that_changes_x():
    x = X.copy()

    def doubles(x):
        x *= 2
        return total(x)

    with pytest.raises(ValueError, match=r"diagnose: f changed x, of shape \(2,\); expected f only to read it"):
        diagnose(doubles, x, np.ones(2))
    np.testing.assert_array_equal(x, X)


def test_dout_of_another_shape():
    with pytest.raises(ValueError, match=r"diagnose: dout.shape = \(3,\) does not fit; expected \(2,\)"):
        diagnose(lambda x: x * 2, X, X, dout=np.ones(3))


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"h": 0}, ValueError, "diagnose: h=0 is out of range; expected more than 0"),
        ({"h": -1e-5}, ValueError, "diagnose: h=-1e-05 is out of range"),
        ({"h": np.nan}, ValueError, "diagnose: h=nan is not finite"),
        ({"h": "small"}, TypeError, "diagnose: h='small' is not a number"),
        ({"num_checks": 0}, ValueError, "diagnose: num_checks=0 is out of range; expected at least 1"),
        ({"num_checks": 1.5}, ValueError, "diagnose: num_checks=1.5 is not an integer"),
        ({"num_checks": 1, "seed": "x"}, TypeError, "generator: seed='x' is not a seed"),
    ],
)
def test_options_out_of_range(options, error, said):
    with pytest.raises(error, match=said):
        diagnose(total, X, np.ones(2), **options)

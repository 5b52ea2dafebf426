"""The comparison functions detect every kind of wrong result."""

import re

import numpy as np
import pytest

import fastnn
from fastnn.testing import against_naive, assert_same, tolerance

RIGHT = np.array([[1.0, 2.0, np.nan], [np.inf, -np.inf, 1000.0]])


def changed(position, value):
    wrong = RIGHT.copy()
    wrong[position] = value
    return wrong


def test_equal_results_pass():
    assert_same(RIGHT, RIGHT)
    assert_same((RIGHT, None, 3), (RIGHT, None, 3))
    assert_same({"dw": RIGHT, "db": [1, 2.5]}, {"dw": RIGHT, "db": (1, 2.5)})
    assert_same(np.zeros((0, 3)), np.zeros((0, 3)))
    assert_same(RIGHT.astype(np.float32), RIGHT)


@pytest.mark.parametrize(
    "wrong",
    [
        changed((0, 0), 1.0 + 1e-10),
        changed((1, 2), 1000.0 + 1e-7),
        changed((0, 0), np.nan),
        changed((0, 0), np.inf),
        changed((0, 2), 0.0),
        changed((0, 2), np.inf),
        changed((1, 0), 1e300),
        changed((1, 0), -np.inf),
        changed((1, 1), np.nan),
        RIGHT.astype(np.float32) * np.float32(1 + 1e-5),
    ],
)
def test_a_wrong_value_is_caught(wrong):
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_same(wrong, RIGHT)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_tolerance_is_where_it_says(dtype):
    scale, terms = 8.0, 100
    allowed = tolerance(dtype, terms) * scale
    assert tolerance(dtype, terms) == np.finfo(dtype).eps * (16 + 4 * 10)
    expected = np.array([scale, 0.0])
    assert_same(np.array([scale, 0.9 * allowed], dtype), expected, terms)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_same(np.array([scale, 1.1 * allowed], dtype), expected, terms)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_same(np.array([scale, 0.9 * allowed], dtype), expected, terms=1)


@pytest.mark.parametrize(
    ("wrong", "expected", "message"),
    [
        (RIGHT[:1], RIGHT, "result: shape (1, 3) where (2, 3) was expected"),
        (RIGHT[0], RIGHT, "result: shape (3,) where (2, 3) was expected"),
        (RIGHT.ravel(), RIGHT, "result: shape (6,) where (2, 3) was expected"),
        (np.zeros((0, 3)), np.zeros((0, 2)), "result: shape (0, 3) where (0, 2) was expected"),
        (1.0, np.ones(1), "result: shape () where (1,) was expected"),
        ((RIGHT,), (RIGHT, RIGHT), "result: lengths differ"),
        (RIGHT, (RIGHT, RIGHT), "result: lengths differ"),
        ((RIGHT, RIGHT[0]), (RIGHT, RIGHT), "result[1]: shape (3,) where (2, 3) was expected"),
        ({"a": 1}, {"a": 1, "b": 2}, "result: keys differ"),
        (3, {"a": 1}, "result: keys differ"),
        ({"a": {"b": None}}, {"a": {"b": 1.0}}, "result['a']['b']: None where a float was expected"),
        (RIGHT, None, "result: ndarray where None was expected"),
        (None, RIGHT, "result: None where a ndarray was expected"),
        (np.array([1, 2]), np.array([1.0, 2.0]), "result: dtype int64 where float64 was expected"),
        (np.array([True]), np.array([1.0]), "result: dtype bool where float64 was expected"),
        (np.array([1, 2], object), np.array([1.0, 2.0]), "result: dtype object where float64 was expected"),
    ],
)
def test_a_wrong_form_is_caught(wrong, expected, message):
    with pytest.raises(AssertionError, match=re.escape(message)):
        assert_same(wrong, expected)


def test_a_wrong_whole_number_is_caught():
    assert_same(np.array([1, 2], np.uint8), np.array([1, 2]))
    with pytest.raises(AssertionError, match="Arrays are not equal"):
        assert_same(np.array([1, 3]), np.array([1, 2]))


def test_the_message_says_where():
    with pytest.raises(AssertionError, match=re.escape("cache['x'][1]")):
        assert_same({"x": (1.0, 2.0)}, {"x": (1.0, 3.0)}, where="cache")


# ---- against_naive: a kernel that is right on naive and has one fault on other backends ----

X = np.arange(6, dtype=np.float32).reshape(2, 3)


def kernel(fault):
    """Return a kernel that doubles x, with the given fault on backends other than naive."""

    def double(x, scale=2, index=None):
        if fastnn.get_backend() == "naive":
            return x * scale
        return fault(x)

    return double


def modifying(x):
    result = x * 2
    x[0, 0] = 7
    return result


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda x: x * 2 + np.float32(1e-3), "Not equal to tolerance"),
        (lambda x: (x * 2).T, "shape (3, 2) where (2, 3) was expected"),
        (lambda x: x.astype(np.float64) * 2, "result dtype float64 where float32 was expected"),
        (lambda x: (x * 2).astype(int), "dtype int64 where float64 was expected"),
        (lambda x: None, "None where a ndarray was expected"),
        (modifying, "argument 0 was modified"),
    ],
)
def test_against_naive_catches(fault, message):
    with fastnn.use_backend("vectorized"), pytest.raises(AssertionError, match=re.escape(message)):
        against_naive(kernel(fault), X.copy())


def test_against_naive_checks_every_dtype_of_a_tuple():
    def pair(x):
        return x, x.astype(np.float64)

    with fastnn.use_backend("vectorized"), pytest.raises(AssertionError, match="result dtype float64"):
        against_naive(pair, X)


def test_against_naive_catches_a_modified_option():
    def double(x, out):
        if fastnn.get_backend() != "naive":
            out[0] = 5
        return x * 2

    with fastnn.use_backend("vectorized"), pytest.raises(AssertionError, match="argument 'out' was modified"):
        against_naive(double, X, out=np.zeros(2))


def test_against_naive_passes_and_returns_the_backends_result():
    with fastnn.use_backend("vectorized"):
        actual = against_naive(kernel(lambda x: x + x), X)
    assert actual.dtype == np.float32
    np.testing.assert_array_equal(actual, X * 2)


def test_against_naive_computes_the_expected_in_float64():
    seen = []

    def record(x):
        seen.append((fastnn.get_backend(), x.dtype))
        return x

    with fastnn.use_backend("vectorized"):
        against_naive(record, X)
    assert seen == [("vectorized", np.float32), ("naive", np.float64)]

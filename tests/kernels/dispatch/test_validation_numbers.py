"""Tests of the validation of numbers, strings and dicts, with complete error messages."""

import re
from fractions import Fraction

import numpy as np
import pytest

from fastnn.kernels.dispatch import validation, windows


def raises(exception, message):
    return pytest.raises(exception, match=f"^{re.escape(message)}$")


# ---- numbers ----


@pytest.mark.parametrize("value", [3, 3.0, (7 - 1) / 2, np.int8(3), np.float32(3), np.array(3), Fraction(3)])
def test_integer_accepts_integral_values(value):
    actual = validation.integer("f", "a", value, minimum=3, maximum=3)
    assert actual == 3
    assert type(actual) is int


@pytest.mark.parametrize("value", [True, np.True_, "3", None, 3j, [3], np.array([3]), np.array(True)])
def test_integer_rejects_other_objects(value):
    with pytest.raises(TypeError, match=r"^f: a=.+ is not a number; expected an integer; pass an int$"):
        validation.integer("f", "a", value)


@pytest.mark.parametrize("value", [1.5, np.float32(0.5), np.array(2.5), Fraction(1, 3), np.nan, np.inf, -np.inf])
def test_integer_rejects_fractions(value):
    with pytest.raises(ValueError, match=r"^f: a=.+ is not an integer; expected an integer; round it yourself$"):
        validation.integer("f", "a", value)


@pytest.mark.parametrize(
    ("value", "limits", "expected"),
    [
        (0, {"minimum": 1}, "at least 1"),
        (-(10**400), {"minimum": 1}, "at least 1"),
        (257, {"minimum": 1, "maximum": 256}, "at least 1 and at most 256"),
        (0, {"maximum": -1}, "at most -1"),
    ],
)
def test_integer_rejects_numbers_out_of_range(value, limits, expected):
    with raises(ValueError, f"f: a={value} is out of range; expected {expected}; choose such a value"):
        validation.integer("f", "a", value, **limits)


@pytest.mark.parametrize("value", [2, 2.0, (2, 2), [2, 2.0], np.array([2, 2]), np.array(2)])
def test_pair_accepts_one_or_two(value):
    assert validation.pair("f", "a", value, minimum=0) == (2, 2)
    assert validation.pair("f", "a", (1, 2), minimum=0) == (1, 2)


def test_pair_rejects_other_lengths():
    for value in ((), (1,), (1, 2, 3), [1, 2, 3]):
        message = f"f: a={value!r} has {len(value)} entries; expected an integer or (height, width); pass one of these"
        with raises(ValueError, message):
            validation.pair("f", "a", value, minimum=0)


def test_pair_rejects_bad_entries():
    with raises(ValueError, "f: a=0 is out of range; expected at least 1; choose such a value"):
        validation.pair("f", "a", (1, 0), minimum=1)
    with raises(ValueError, "f: a=1.5 is not an integer; expected an integer; round it yourself"):
        validation.pair("f", "a", (1, 1.5), minimum=1)
    with raises(TypeError, "f: a='2' is not a number; expected an integer; pass an int"):
        validation.pair("f", "a", (2, "2"), minimum=1)
    with raises(TypeError, "f: a={'height': 2} is not a number; expected an integer; pass an int"):
        validation.pair("f", "a", {"height": 2}, minimum=1)


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), np.array(0.5), Fraction(1, 2)])
def test_number_accepts_real_numbers(value):
    actual = validation.number("f", "a", value, minimum=0.5, maximum=0.5, above=0, below=1)
    assert actual == 0.5
    assert type(actual) is float


@pytest.mark.parametrize("value", [True, "0.5", None, 1j, [0.5], np.array([0.5])])
def test_number_rejects_other_objects(value):
    with pytest.raises(TypeError, match=r"^f: a=.+ is not a number; expected a real number; pass a float$"):
        validation.number("f", "a", value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, np.float32("inf"), np.array(np.nan), 10**400])
def test_number_rejects_nan_and_infinity(value):
    with pytest.raises(ValueError, match=r"^f: a=.+ is not finite; expected a finite number; check its origin$"):
        validation.number("f", "a", value)


@pytest.mark.parametrize(
    ("value", "limits", "expected"),
    [
        (-0.5, {"minimum": 0}, "at least 0"),
        (0, {"above": 0}, "more than 0"),
        (1, {"minimum": 0, "below": 1}, "at least 0 and less than 1"),
        (1.5, {"above": 0, "maximum": 1}, "more than 0 and at most 1"),
    ],
)
def test_number_rejects_numbers_out_of_range(value, limits, expected):
    with raises(ValueError, f"f: a={value} is out of range; expected {expected}; choose such a value"):
        validation.number("f", "a", value, **limits)


# ---- strings and dicts ----


def test_choice():
    assert validation.choice("f", "mode", "test", ["train", "test"]) == "test"
    with raises(ValueError, "f: mode='tran' is unknown; expected one of 'train', 'test'; did you mean 'train'?"):
        validation.choice("f", "mode", "tran", ["train", "test"])
    with raises(ValueError, "f: mode='x' is unknown; expected one of 'train', 'test'; use one of these"):
        validation.choice("f", "mode", "x", iter(["train", "test"]))
    with raises(TypeError, "f: mode=None is unknown; expected one of 'train', 'test'; use one of these"):
        validation.choice("f", "mode", None, ["train", "test"])


def test_keys():
    assert validation.keys("f", "p", {"a": 1, "b": 2}, required=["a"], optional=["b", "c"]) == {"a": 1, "b": 2}
    with raises(TypeError, "f: p=[1] is not a dict; expected keys ['a', 'b']; pass a dict with them"):
        validation.keys("f", "p", [1], required=["a"], optional=["b"])
    with raises(ValueError, "f: p lacks the key 'a' (it has ['b']); expected ['a']; add 'a'"):
        validation.keys("f", "p", {"b": 2}, required=["a"], optional=["b"])
    with raises(ValueError, "f: p['strid'] is unknown; expected only ['stride', 'pad']; did you mean 'stride'?"):
        validation.keys("f", "p", {"strid": 2}, optional=["stride", "pad"])
    with raises(ValueError, "f: p[1] is unknown; expected only ['stride', 'pad']; use one of these"):
        validation.keys("f", "p", {1: 2}, optional=["stride", "pad"])


def test_keys_returns_a_copy():
    given = {"a": 1}
    validation.keys("f", "p", given, required=["a"])["a"] = 2
    assert given == {"a": 1}


# ---- windows ----


@pytest.mark.parametrize(
    ("window", "pad", "message"),
    [
        (
            (6, 3),
            (0, 0),
            "its height = 6 exceeds the padded image's 4 + 2*0 = 4; expected it to fit at least once; use pad=1",
        ),
        (
            (3, 10),
            (1, 2),
            "its width = 10 exceeds the padded image's 5 + 2*2 = 9; expected it to fit at least once; use pad=3",
        ),
        (
            (9, 3),
            (2, 0),
            "its height = 9 exceeds the padded image's 4 + 2*2 = 8; expected it to fit at least once; use pad=3",
        ),
    ],
)
def test_a_window_that_does_not_fit(window, pad, message):
    with raises(ValueError, f"f: the window does not fit: {message} or a smaller window"):
        windows.checked("f", (1, 1, 4, 5), window, 1, pad)
    enough = int(re.search(r"pad=(\d)", message)[1])
    assert min(windows.checked("f", (1, 1, 4, 5), window, 1, enough).out) >= 1


def test_rows_that_no_window_reaches_are_ignored():
    assert windows.checked("f", (1, 1, 7, 8), (2, 3), (3, 4), (0, 1)).out == (2, 2)

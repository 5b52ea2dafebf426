"""What a user may pass in and what is said otherwise: every sentence of kernels/checks.py, word for word.

The bad values that the public functions are fed, on every backend alike, are in test_bad_values.py.
"""

import re
from fractions import Fraction

import numpy as np
import pytest

from fastnn.kernels import arrays, checks, windows

RAGGED = [[1.0, 2.0], [3.0]]
UINT8 = np.dtype(np.uint8)


class NoArray:
    """Refuses to become an array, as a tensor on another device does."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("it is elsewhere")

    def __repr__(self):
        return "<elsewhere>"


def refused(exception, message):
    return pytest.raises(exception, match=f"^{re.escape(message)}$")


# ---- arrays ----


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1, 2], "f: a.shape = (2,) has 1 axes; expected (N, D); reshape a to that"),
        (np.ones((2, 3, 4)), "f: a.shape = (2, 3, 4) has 3 axes; expected (N, D); reshape a to that"),
        (3.0, "f: a.shape = () has 0 axes; expected (N, D); reshape a to that"),
    ],
)
def test_floats_refuses_a_wrong_rank(value, message):
    with refused(ValueError, message):
        checks.floats("f", a=(value, "N D"))


def test_floats_spells_a_single_axis_and_further_ones():
    with refused(ValueError, "f: a.shape = (2, 3) has 2 axes; expected (N,); reshape a to that"):
        checks.floats("f", a=(np.ones((2, 3)), "N"))
    with refused(ValueError, "f: a.shape = (2,) has 1 axes; expected (N, C, ...); reshape a to that"):
        checks.floats("f", a=(np.ones(2), "N C ..."))


def test_floats_refuses_lengths_that_disagree():
    remedy = "pass arrays that belong together"
    message = f"f: b.shape = (4, 2) has length 4 on axis 0; expected (D, M) with D = 3 as in a; {remedy}"
    with refused(ValueError, message):
        checks.floats("f", a=(np.ones((2, 3)), "N D"), b=(np.ones((4, 2)), "D M"))
    message = f"f: a.shape = (2, 3) has length 3 on axis 1; expected (N, N) with N = 2 as in a; {remedy}"
    with refused(ValueError, message):
        checks.floats("f", a=(np.ones((2, 3)), "N N"))
    message = f"f: a.shape = (2, 3) has length 2 on axis 0; expected (1, C) with 1 = 1 as in the definition; {remedy}"
    with refused(ValueError, message):
        checks.floats("f", a=(np.ones((2, 3)), "1 C"))


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (None, "object"),
        ("a", "<U1"),
        (b"a", "|S1"),
        (1j, "complex128"),
        (np.float16(1), "float16"),
        (np.longdouble(1), str(np.dtype(np.longdouble))),
        (object(), "object"),
        ([None, 1], "object"),
        ({"a": 1}, "object"),
        (10**30, "object"),
        (np.datetime64("2020-01-01"), "datetime64[D]"),
        (np.zeros(2, [("re", "f4"), ("im", "f4")]), "[('re', '<f4'), ('im', '<f4')]"),
    ],
)
def test_floats_refuses_a_dtype(value, dtype):
    message = (
        f"f: a.dtype = {dtype} cannot be computed with; expected float32 or float64 (integers are converted); "
        "convert it with np.asarray(a, dtype=np.float32)"
    )
    with refused(TypeError, message):
        checks.floats("f", a=(value, "..."))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (RAGGED, "[[1.0, 2.0], [3.0]] is no array (setting an array element with a sequence."),
        (RAGGED * 1000, "[[1.0, 2.0], [3.0], [1.0, 2.0], [3.0], [1.0, 2.0], [3.0], ...] is no array (setting"),
        (NoArray(), "<elsewhere> is no array (it is elsewhere)"),
    ],
)
def test_array_refuses_what_is_none(value, said):
    ending = r".*\); expected numbers in rows of equal length; pass a NumPy array$"
    with pytest.raises(TypeError, match="^" + re.escape(f"f: a={said}".rstrip(")")) + ending) as caught:
        checks.floats("f", a=(value, "..."))
    assert isinstance(caught.value.__cause__, (ValueError, RuntimeError))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("f4", "f4"), "f4"),
        (("f4", "f8"), "f8"),
        (("f4", "i8"), "f4"),
        (("i4", "?"), "f8"),
        ((">f4", "<f4"), "f4"),
        ((">f8", "u1"), "f8"),
    ],
)
def test_floats_converts_to_one_dtype(given, expected):
    a, b = checks.floats("f", a=(np.ones((2, 3), given[0]), "N D"), b=(np.ones((0, 3), given[1]), "M D"))
    assert a.dtype == b.dtype == np.dtype(expected)
    assert a.dtype.isnative


@pytest.mark.parametrize(
    "value",
    [
        np.arange(24.0).reshape(2, 3, 4).transpose(2, 0, 1),
        np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)),
        np.arange(24.0).reshape(2, 3, 4)[::-1, :, ::-2],
        np.broadcast_to(np.arange(4.0), (2, 3, 4)),
        np.arange(24.0).reshape(2, 3, 4).astype(">f8"),
        np.frombuffer(b"\0" + np.arange(24.0).tobytes(), np.uint8)[1:].view(np.float64).reshape(2, 3, 4),
        np.arange(24).reshape(2, 3, 4),
        np.ma.arange(24.0).reshape(2, 3, 4),
        np.arange(24.0).reshape(2, 3, 4).tolist(),
        np.zeros((0, 3, 4)),
        np.float64(3),
    ],
)
def test_floats_gives_plain_contiguous_memory_and_the_same_values(value):
    (a,) = checks.floats("f", a=(value, "..."))
    np.testing.assert_array_equal(a, value, strict=isinstance(value, np.ndarray) and value.dtype == a.dtype)
    assert type(a) is np.ndarray
    assert a.flags.c_contiguous
    assert a.flags.aligned


def test_floats_does_not_copy_without_need():
    value = np.ones((2, 3), np.float32)
    (a,) = checks.floats("f", a=(value, "N D"))
    assert a is value
    assert arrays.to_numpy(value) is value


def test_shape():
    checks.shape("f", "a", np.ones((2, 3)), (2, 3))
    message = "f: a.shape = (2, 3) does not fit; expected (2, 4) from the other arguments"
    with refused(ValueError, f"{message}; pass the arrays of one forward pass"):
        checks.shape("f", "a", np.ones((2, 3)), (2, 4))


def test_not_empty():
    checks.not_empty("f", "a", np.ones((1, 1)))
    message = "f: a.shape = (2, 0) is empty; expected at least one element on every axis; check how a was made"
    with refused(ValueError, message):
        checks.not_empty("f", "a", np.ones((2, 0)))


# ---- places and labels ----


@pytest.mark.parametrize(
    ("value", "exception", "message"),
    [
        (
            [0.0, 1.0],
            TypeError,
            "f: a.dtype = float64 holds no places; expected whole numbers; pass a as the forward pass returned it",
        ),
        (
            [True, False],
            TypeError,
            "f: a.dtype = bool holds no places; expected whole numbers; pass a as the forward pass returned it",
        ),
        (
            [0],
            ValueError,
            "f: a.shape = (1,) does not fit; expected (2,) from the other arguments; "
            "pass the arrays of one forward pass",
        ),
        (
            [0, 5],
            ValueError,
            "f: a ranges from 0 to 5; expected 0 to 4; pass a and the size of the window of one forward pass",
        ),
        (
            [-1, 4],
            ValueError,
            "f: a ranges from -1 to 4; expected 0 to 4; pass a and the size of the window of one forward pass",
        ),
    ],
)
def test_index_refuses(value, exception, message):
    with refused(exception, message):
        checks.index("f", "a", value, (2,), 4, UINT8)


@pytest.mark.parametrize("dtype", ["u1", "<i4", ">i4", ">u8", "i8"])
def test_index_comes_in_one_dtype(dtype):
    actual = checks.index("f", "a", np.array([0, 9, 4, 9], dtype)[::2], (2,), 4, UINT8)
    np.testing.assert_array_equal(actual, np.array([0, 4], np.uint8), strict=True)
    assert checks.index("f", "a", np.zeros((0, 2), dtype), (0, 2), 4, UINT8).dtype == UINT8


@pytest.mark.parametrize(
    ("value", "exception", "message"),
    [
        (
            [0.0, 1.0],
            TypeError,
            "f: y.dtype = float64 does not hold labels; expected integers; pass y converted with y.astype(np.int64)",
        ),
        (
            ["cat", "dog"],
            TypeError,
            "f: y.dtype = <U3 does not hold labels; expected integers; pass y converted with y.astype(np.int64)",
        ),
        (
            [[0, 1], [1, 0]],
            ValueError,
            "f: y.shape = (2, 2) does not fit; expected (2,), one label per row of the scores; "
            "pass class numbers, not one-hot rows",
        ),
        (
            [0, 3],
            ValueError,
            "f: y contains the label 3; expected 0 to 2 for 3 classes; renumber the labels or widen the last layer",
        ),
        (
            [-1, 0],
            ValueError,
            "f: y contains the label -1; expected 0 to 2 for 3 classes; renumber the labels or widen the last layer",
        ),
    ],
)
def test_labels_refuses(value, exception, message):
    with refused(exception, message):
        checks.labels("f", "y", value, 2, 3)


def test_labels_are_int64():
    for dtype in ("u1", ">i4", "i8"):
        np.testing.assert_array_equal(checks.labels("f", "y", np.array([2, 0], dtype), 2, 3), [2, 0])
        assert checks.labels("f", "y", np.array([2, 0], dtype), 2, 3).dtype == np.int64
    assert checks.labels("f", "y", [], 0, 3).dtype == np.int64


# ---- numbers ----


@pytest.mark.parametrize("value", [3, 3.0, (7 - 1) / 2, np.int8(3), np.float32(3), np.array(3), Fraction(3)])
def test_integer_accepts_whole_numbers(value):
    actual = checks.integer("f", "a", value, minimum=3, maximum=3)
    assert actual == 3
    assert type(actual) is int


@pytest.mark.parametrize("value", [True, np.True_, "3", None, 3j, [3], np.array([3]), np.array(True)])
def test_integer_refuses_what_is_no_number(value):
    with pytest.raises(TypeError, match=r"^f: a=.+ is not a number; expected a whole number; pass an int$"):
        checks.integer("f", "a", value)


@pytest.mark.parametrize("value", [1.5, np.float32(0.5), np.array(2.5), Fraction(1, 3), np.nan, np.inf, -np.inf])
def test_integer_refuses_what_is_not_whole(value):
    with pytest.raises(ValueError, match=r"^f: a=.+ is not whole; expected a whole number; round it yourself$"):
        checks.integer("f", "a", value)


@pytest.mark.parametrize(
    ("value", "limits", "expected"),
    [
        (0, {"minimum": 1}, "at least 1"),
        (-(10**400), {"minimum": 1}, "at least 1"),
        (257, {"minimum": 1, "maximum": 256}, "at least 1 and at most 256"),
        (0, {"maximum": -1}, "at most -1"),
    ],
)
def test_integer_refuses_what_is_out_of_range(value, limits, expected):
    with refused(ValueError, f"f: a={value} is out of range; expected {expected}; choose such a value"):
        checks.integer("f", "a", value, **limits)


@pytest.mark.parametrize("value", [2, 2.0, (2, 2), [2, 2.0], np.array([2, 2]), np.array(2)])
def test_pair_accepts_one_or_two(value):
    assert checks.pair("f", "a", value, minimum=0) == (2, 2)
    assert checks.pair("f", "a", (1, 2), minimum=0) == (1, 2)


def test_pair_refuses_other_lengths():
    for value in ((), (1,), (1, 2, 3), [1, 2, 3]):
        message = (
            f"f: a={value!r} has {len(value)} entries; expected a whole number or (height, width); pass one of these"
        )
        with refused(ValueError, message):
            checks.pair("f", "a", value, minimum=0)


def test_pair_refuses_bad_entries():
    with refused(ValueError, "f: a=0 is out of range; expected at least 1; choose such a value"):
        checks.pair("f", "a", (1, 0), minimum=1)
    with refused(ValueError, "f: a=1.5 is not whole; expected a whole number; round it yourself"):
        checks.pair("f", "a", (1, 1.5), minimum=1)
    with refused(TypeError, "f: a='2' is not a number; expected a whole number; pass an int"):
        checks.pair("f", "a", (2, "2"), minimum=1)
    with refused(TypeError, "f: a={'height': 2} is not a number; expected a whole number; pass an int"):
        checks.pair("f", "a", {"height": 2}, minimum=1)


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), np.array(0.5), Fraction(1, 2)])
def test_number_accepts_real_numbers(value):
    actual = checks.number("f", "a", value, minimum=0.5, maximum=0.5, above=0, below=1)
    assert actual == 0.5
    assert type(actual) is float


@pytest.mark.parametrize("value", [True, "0.5", None, 1j, [0.5], np.array([0.5])])
def test_number_refuses_what_is_none(value):
    with pytest.raises(TypeError, match=r"^f: a=.+ is not a number; expected a real number; pass a float$"):
        checks.number("f", "a", value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, np.float32("inf"), np.array(np.nan), 10**400])
def test_number_refuses_what_is_not_finite(value):
    with pytest.raises(ValueError, match=r"^f: a=.+ is not finite; expected a finite number; check its origin$"):
        checks.number("f", "a", value)


@pytest.mark.parametrize(
    ("value", "limits", "expected"),
    [
        (-0.5, {"minimum": 0}, "at least 0"),
        (0, {"above": 0}, "more than 0"),
        (1, {"minimum": 0, "below": 1}, "at least 0 and less than 1"),
        (1.5, {"above": 0, "maximum": 1}, "more than 0 and at most 1"),
    ],
)
def test_number_refuses_what_is_out_of_range(value, limits, expected):
    with refused(ValueError, f"f: a={value} is out of range; expected {expected}; choose such a value"):
        checks.number("f", "a", value, **limits)


# ---- words and dicts ----


def test_choice():
    assert checks.choice("f", "mode", "test", ["train", "test"]) == "test"
    with refused(ValueError, "f: mode='tran' is unknown; expected one of 'train', 'test'; did you mean 'train'?"):
        checks.choice("f", "mode", "tran", ["train", "test"])
    with refused(ValueError, "f: mode='x' is unknown; expected one of 'train', 'test'; use one of these"):
        checks.choice("f", "mode", "x", iter(["train", "test"]))
    with refused(TypeError, "f: mode=None is unknown; expected one of 'train', 'test'; use one of these"):
        checks.choice("f", "mode", None, ["train", "test"])


def test_keys():
    assert checks.keys("f", "p", {"a": 1, "b": 2}, required=["a"], optional=["b", "c"]) == {"a": 1, "b": 2}
    with refused(TypeError, "f: p=[1] is not a dict; expected keys ['a', 'b']; pass a dict with them"):
        checks.keys("f", "p", [1], required=["a"], optional=["b"])
    with refused(ValueError, "f: p lacks the key 'a' (it has ['b']); expected ['a']; add 'a'"):
        checks.keys("f", "p", {"b": 2}, required=["a"], optional=["b"])
    with refused(ValueError, "f: p['strid'] is unknown; expected only ['stride', 'pad']; did you mean 'stride'?"):
        checks.keys("f", "p", {"strid": 2}, optional=["stride", "pad"])
    with refused(ValueError, "f: p[1] is unknown; expected only ['stride', 'pad']; use one of these"):
        checks.keys("f", "p", {1: 2}, optional=["stride", "pad"])


def test_keys_returns_a_copy():
    given = {"a": 1}
    checks.keys("f", "p", given, required=["a"])["a"] = 2
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
    with refused(ValueError, f"f: the window does not fit: {message} or a smaller window"):
        windows.output_size("f", (1, 1, 4, 5), window, (1, 1), pad)
    enough = int(re.search(r"pad=(\d)", message)[1])
    assert min(windows.output_size("f", (1, 1, 4, 5), window, (1, 1), (enough, enough))) >= 1


def test_rows_that_no_window_reaches_are_ignored():
    assert windows.output_size("f", (1, 1, 7, 8), (2, 3), (3, 4), (0, 1)) == (2, 2)

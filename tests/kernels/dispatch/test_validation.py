"""Tests of the validation of arrays in kernels/dispatch/validation.py, with complete error messages.

Numbers, strings and dicts are tested in test_validation_numbers.py, bad values of public functions in
test_bad_values.py.
"""

import re

import numpy as np
import pytest

from fastnn.kernels.dispatch import arrays, validation

RAGGED = [[1.0, 2.0], [3.0]]
UINT8 = np.dtype(np.uint8)


class NoArray:
    """An object that cannot be converted to an array, like a tensor on another device."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("it is elsewhere")

    def __repr__(self):
        return "<elsewhere>"


def raises(exception, message):
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
def test_floats_rejects_a_wrong_rank(value, message):
    with raises(ValueError, message):
        validation.floats("f", a=(value, "N D"))


def test_floats_names_the_expected_axes():
    with raises(ValueError, "f: a.shape = (2, 3) has 2 axes; expected (N,); reshape a to that"):
        validation.floats("f", a=(np.ones((2, 3)), "N"))
    with raises(ValueError, "f: a.shape = (2,) has 1 axes; expected (N, C, ...); reshape a to that"):
        validation.floats("f", a=(np.ones(2), "N C ..."))


def test_floats_rejects_lengths_that_disagree():
    remedy = "pass arrays that belong together"
    message = f"f: b.shape = (4, 2) has length 4 on axis 0; expected (D, M) with D = 3 as in a; {remedy}"
    with raises(ValueError, message):
        validation.floats("f", a=(np.ones((2, 3)), "N D"), b=(np.ones((4, 2)), "D M"))
    message = f"f: a.shape = (2, 3) has length 3 on axis 1; expected (N, N) with N = 2 as in a; {remedy}"
    with raises(ValueError, message):
        validation.floats("f", a=(np.ones((2, 3)), "N N"))
    message = f"f: a.shape = (2, 3) has length 2 on axis 0; expected (1, C) with 1 = 1 as in the definition; {remedy}"
    with raises(ValueError, message):
        validation.floats("f", a=(np.ones((2, 3)), "1 C"))


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (None, "object"),
        ("a", "<U1"),
        (b"a", "|S1"),
        (1j, "complex128"),
        (np.float16(1), "float16"),
        (object(), "object"),
        ([None, 1], "object"),
        ({"a": 1}, "object"),
        (10**30, "object"),
        (np.datetime64("2020-01-01"), "datetime64[D]"),
        (np.zeros(2, [("re", "f4"), ("im", "f4")]), "[('re', '<f4'), ('im', '<f4')]"),
    ],
)
def test_floats_rejects_a_dtype(value, dtype):
    message = (
        f"f: a.dtype = {dtype} cannot be computed with; expected float32 or float64 (integers are converted); "
        "convert it with np.asarray(a, dtype=np.float32)"
    )
    with raises(TypeError, message):
        validation.floats("f", a=(value, "..."))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (RAGGED, "[[1.0, 2.0], [3.0]] is not an array (setting an array element with a sequence."),
        (RAGGED * 1000, "[[1.0, 2.0], [3.0], [1.0, 2.0], [3.0], [1.0, 2.0], [3.0], ...] is not an array (setting"),
        (NoArray(), "<elsewhere> is not an array (it is elsewhere)"),
    ],
)
def test_array_rejects_other_objects(value, said):
    ending = r".*\); expected numbers in rows of equal length; pass a NumPy array$"
    with pytest.raises(TypeError, match="^" + re.escape(f"f: a={said}".rstrip(")")) + ending) as caught:
        validation.floats("f", a=(value, "..."))
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
    a, b = validation.floats("f", a=(np.ones((2, 3), given[0]), "N D"), b=(np.ones((0, 3), given[1]), "M D"))
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
        np.arange(24.0).reshape(2, 3, 4).tolist(),
        np.zeros((0, 3, 4)),
        np.float64(3),
    ],
)
def test_floats_returns_a_contiguous_array_with_the_same_values(value):
    (a,) = validation.floats("f", a=(value, "..."))
    np.testing.assert_array_equal(a, value, strict=isinstance(value, np.ndarray) and value.dtype == a.dtype)
    assert type(a) is np.ndarray
    assert a.flags.c_contiguous
    assert a.flags.aligned


def test_floats_does_not_copy_unnecessarily():
    value = np.ones((2, 3), np.float32)
    (a,) = validation.floats("f", a=(value, "N D"))
    assert a is value
    assert arrays.to_numpy(value) is value


def test_shape():
    validation.shape("f", "a", np.ones((2, 3)), (2, 3))
    message = "f: a.shape = (2, 3) does not fit; expected (2, 4) from the other arguments"
    with raises(ValueError, f"{message}; pass the arrays of one forward pass"):
        validation.shape("f", "a", np.ones((2, 3)), (2, 4))


def test_not_empty():
    validation.not_empty("f", "a", np.ones((1, 1)))
    message = "f: a.shape = (2, 0) is empty; expected at least one element on every axis; check how a was made"
    with raises(ValueError, message):
        validation.not_empty("f", "a", np.ones((2, 0)))


# ---- indices and labels ----


@pytest.mark.parametrize(
    ("value", "exception", "message"),
    [
        (
            [0.0, 1.0],
            TypeError,
            "f: a.dtype = float64 is not an integer dtype; expected integers; pass a as the forward pass returned it",
        ),
        (
            [True, False],
            TypeError,
            "f: a.dtype = bool is not an integer dtype; expected integers; pass a as the forward pass returned it",
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
def test_index_rejects(value, exception, message):
    with raises(exception, message):
        validation.index("f", "a", value, (2,), 4, UINT8)


@pytest.mark.parametrize("dtype", ["u1", "<i4", ">i4", ">u8", "i8"])
def test_index_has_one_dtype(dtype):
    actual = validation.index("f", "a", np.array([0, 9, 4, 9], dtype)[::2], (2,), 4, UINT8)
    np.testing.assert_array_equal(actual, np.array([0, 4], np.uint8), strict=True)
    assert validation.index("f", "a", np.zeros((0, 2), dtype), (0, 2), 4, UINT8).dtype == UINT8


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
            "f: y contains the label 3 at index 1; expected 0 to 2 for 3 classes; "
            "renumber the labels or widen the last layer",
        ),
        (
            [-1, 0],
            ValueError,
            "f: y contains the label -1 at index 0; expected 0 to 2 for 3 classes; "
            "renumber the labels or widen the last layer",
        ),
    ],
)
def test_labels_rejects(value, exception, message):
    with raises(exception, message):
        validation.labels("f", "y", value, 2, 3)


def test_labels_are_int64():
    for dtype in ("u1", ">i4", "i8"):
        np.testing.assert_array_equal(validation.labels("f", "y", np.array([2, 0], dtype), 2, 3), [2, 0])
        assert validation.labels("f", "y", np.array([2, 0], dtype), 2, 3).dtype == np.int64
    assert validation.labels("f", "y", [], 0, 3).dtype == np.int64


class Unit(np.ndarray):
    """An array with a physical unit."""


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            np.ma.arange(3.0),
            "f: x is a masked array; masked arrays are not supported; expected a plain array; "
            "fill it with x.filled(value)",
        ),
        (
            [np.ones(2), np.ma.masked_equal([1.0, 2.0], 1)],
            "f: x is a masked array; masked arrays are not supported; expected a plain array; "
            "fill it with x.filled(value)",
        ),
        (
            np.ones((2, 2)).view(np.matrix),
            "f: x is of the type numpy.matrix, a subclass of np.ndarray with a meaning of its own; expected a plain "
            "array; pass np.asarray(x)",
        ),
        (
            np.ones(2).view(Unit),
            "f: x is of the type test_validation.Unit, a subclass of np.ndarray with a meaning of its own; expected "
            "a plain array; pass np.asarray(x)",
        ),
    ],
)
def test_subclasses_of_arrays_are_rejected(value, message):
    with raises(TypeError, message):
        validation.array("f", "x", value)
    with raises(TypeError, message):
        validation.floats("f", x=(value, "..."))


def test_a_tensor_that_requires_a_gradient_is_rejected():
    class Tensor:
        requires_grad = True

        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("call detach")

    with raises(
        TypeError,
        "f: x is a tensor that requires a gradient, which would be lost; expected a plain array; detach it: pass "
        "x.detach()",
    ):
        validation.array("f", "x", Tensor())


def test_objects_with_dlpack_are_accepted():
    class Exchanged:
        def __dlpack__(self, **options):
            return np.arange(3.0).__dlpack__(**options)

        def __dlpack_device__(self):
            return np.arange(3.0).__dlpack_device__()

    np.testing.assert_array_equal(validation.array("f", "x", Exchanged()), [0, 1, 2])

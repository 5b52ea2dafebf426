"""Tests of bad values for each parameter of every public function of the kernels, on every backend.

Every call must raise a ValueError or TypeError that begins with the function's name, the same on every backend, and
must not modify its arguments.
"""

import numpy as np
import pytest
from conftest import AVAILABLE

import fastnn
from fastnn.kernels.dispatch.specification import Flag, Number, Pixels, Shape, Window
from fastnn.testing import assert_same
from fastnn.testing.conformance import strategies
from fastnn.testing.conformance.cases import build
from fastnn.testing.conformance.specs import FUNCTIONS as SPECS

RNG = np.random.default_rng(0)
SIZES = {"N": 3, "C": 4, "F": 4, "H": 6, "W": 5, "KH": 3, "KW": 2, "D": 5, "M": 4, "K": 4, "S": 2, "rank": 3}
IMAGES = {"N": 2, "C": 3}
NUMBERS = {"PH": 1, "PW": 1, "QH": 2, "QW": 2, "RH": 2, "RW": 2, "pieces": 2, "groups": 2, "values": "normal"}
POOLS = {"KH": 2, "KW": 2, "SH": 2, "SW": 2, "PH": 0, "PW": 0}


def valid(function):
    """Return valid arguments of a function, with axes of different lengths."""
    choices = strategies.choices(function)
    given = {**SIZES, **NUMBERS}
    if "H" in choices:
        given |= IMAGES
    if function.operation == "pool2d":
        given |= POOLS
    if "pieces" in choices:
        given["C"] = 2
    plan = {name: given.get(name, of_name[0]) for name, of_name in choices.items()}
    return build(function, {**plan, "draw": 0})


VALID = {name: valid(function) for name, function in SPECS.items()}
FUNCTIONS = {name: function.public for name, function in SPECS.items()}
X, W, B, OUT = (VALID[name][argument] for name, argument in (
    ("conv2d_forward", "x"), ("conv2d_forward", "w"), ("conv2d_forward", "b"), ("conv2d_backward", "dout"),
))  # fmt: skip
SMALL = VALID["max_pool2d_backward"]["dout"]


def has_any_rank(function, parameter):
    """Whether an array with one axis more or less is also valid."""
    open_ended = [name for name, kind in function.arguments.items() if getattr(kind, "axes", "").endswith("...")]
    return open_ended == [parameter]


def bad_values(name, parameter):
    """Return values that the function must reject for this parameter."""
    function, good = SPECS[name], VALID[name][parameter]
    kind = function.arguments[parameter]
    if isinstance(kind, Window):
        values = [None, "2", True, 1.5, np.nan, np.inf, -1, (1,), (1, 2, 3), (1, "a"), (-1, 1), [[1, 2], [3, 4]], {}]
        values += [0, (1, 0)] if kind.minimum else []
        return [*values, 2j, np.ones(3), *([50] if kind.letter in "KQ" else [])]
    if isinstance(kind, Shape):
        return [None, 5, "abcd", (), (2, 3), (2, 3, 6, 5, 1), (-2, 3, 6, 5), (2, 3, 0, 5), (2, 3, 6, 5.5), (1, 3, 6, 5)]
    if isinstance(kind, Flag):
        return [None, "a", 2, 0.5, [True], np.ones(2, bool), {}]
    if isinstance(kind, Number):
        values = [None, "a", True, np.nan, np.inf, -np.inf, 1j, [0.1, 0.2], np.ones(1), {}]
        values += [-1, 1.5] if kind.integer else []
        values += [limit for limit in (kind.above, kind.below) if limit is not None]
        values += [kind.minimum - 1] if kind.minimum is not None else []
        return values + ([kind.maximum + 1] if kind.maximum is not None else [])
    values = [None, "a", object(), {}, [[1.0, 2.0], [3.0]], good.astype(complex), good.astype(str), good.astype(object)]
    if not has_any_rank(function, parameter):
        values += [good[0], good[None], np.stack([good, good], axis=-1)]
    if good.dtype.kind == "f":
        return [*values, good.astype(np.float16), good.astype("M8[s]")]
    if good.dtype.kind == "b":
        return [*values, good.astype(float), good.astype(np.uint8), good[..., :1]]
    beyond = 2**32 if isinstance(kind, Pixels) else 250
    return [*values, good.astype(float), good > 0, good + beyond, good - beyond, good[..., :1]]


def error_of(function, arguments, backend):
    with fastnn.use_backend(backend), pytest.raises((ValueError, TypeError)) as caught:
        function(**arguments)
    return type(caught.value), str(caught.value)


def copied(arguments):
    return {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in arguments.items()}


def assert_untouched(arguments, before):
    for name, value in before.items():
        np.testing.assert_array_equal(arguments[name], value)


PARAMETERS = [(name, parameter) for name in VALID for parameter in VALID[name]]


@pytest.mark.parametrize("name", VALID)
def test_valid_values_are_accepted(name, backend):
    FUNCTIONS[name](**copied(VALID[name]))


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
def test_bad_values_raise_the_same_error(name, parameter):
    for value in bad_values(name, parameter):
        arguments = copied(VALID[name])
        before = copied(arguments)
        arguments[parameter] = value
        first, *others = (error_of(FUNCTIONS[name], arguments, backend) for backend in AVAILABLE)
        assert first[1].startswith(f"{name}: ")
        assert first[1].count("; ") >= 2, "an error states what is wrong; what was expected; what to do"
        assert all(other == first for other in others)
        assert_untouched(arguments | {parameter: before[parameter]}, before)


def outcome(function, arguments, backend):
    """Return the results of a call, or its error."""
    try:
        with fastnn.use_backend(backend):
            return function(**copied(arguments))
    except (ValueError, TypeError) as error:
        return type(error).__name__, str(error)


@pytest.mark.parametrize(
    ("name", "parameter"), [pair for pair in PARAMETERS if isinstance(VALID[pair[0]][pair[1]], np.ndarray)]
)
def test_one_element_more_or_less_on_an_axis_gives_the_same_outcome(name, parameter):
    value = VALID[name][parameter]
    for axis in range(value.ndim):
        for count in (0, value.shape[axis] - 1, value.shape[axis] + 1):
            arguments = VALID[name] | {parameter: np.take(value, np.arange(count) % value.shape[axis], axis)}
            expected, *others = (outcome(FUNCTIONS[name], arguments, backend) for backend in AVAILABLE)
            if isinstance(expected, tuple) and isinstance(expected[0], str):
                assert expected[1].startswith(f"{name}: ")
                assert all(other == expected for other in others)
            for other in others:
                assert_same(other, expected, terms=200)


@pytest.mark.parametrize("name", [name for name in VALID if "stride" in VALID[name]])
def test_float_pads_and_strides_that_are_whole_are_accepted(name, backend):
    windows = [parameter for parameter, kind in SPECS[name].arguments.items() if isinstance(kind, Window)]
    scalars = {parameter: float(np.max(VALID[name][parameter])) for parameter in windows}
    expected = FUNCTIONS[name](**VALID[name])
    actual = FUNCTIONS[name](**VALID[name] | scalars)
    assert_same(actual, expected)


def test_the_course_writes_its_pad_as_a_division(backend):
    w = RNG.normal(size=(4, 3, 7, 7))
    with pytest.raises(ValueError, match=r"^conv2d_forward: pad=2.5 is not an integer; expected an integer; round it"):
        FUNCTIONS["conv2d_forward"](X, w, B, 1, (6 - 1) / 2)
    assert FUNCTIONS["conv2d_forward"](X, w, B, 1, (7 - 1) / 2).shape == (2, 4, 6, 5)


@pytest.mark.parametrize(
    ("name", "changed", "message"),
    [
        (
            "max_pool2d_forward",
            {"pad": 2},
            "pad=(2, 2) exceeds half of size=(2, 2); expected at most half, so that every",
        ),
        (
            "avg_pool2d_forward",
            {"size": (3, 1), "pad": 1},
            "pad=(1, 1) exceeds half of size=(3, 1); expected at most half",
        ),
        (
            "max_pool2d_forward",
            {"x": X[:, :, :0]},
            "x.shape=(2, 3, 0, 5) is not a shape of images; expected (N, C, H, W)",
        ),
        (
            "global_avg_pool2d_forward",
            {"x": X[..., :0]},
            "x.shape=(2, 3, 6, 0) is not a shape of images; expected (N, C",
        ),
        (
            "max_pool2d_backward",
            {"x_shape": (2, 3, 0, 5)},
            "x_shape=(2, 3, 0, 5) is not a shape of images; expected (N, C",
        ),
        (
            "max_pool2d_backward",
            {"dout": SMALL[:1]},
            "dout.shape = (1, 3, 3, 2) does not fit; expected (2, 3, 3, 2) from",
        ),
        (
            "conv2d_backward",
            {"dout": OUT[:, :, 1:]},
            "dout.shape = (2, 4, 5, 6) does not fit; expected (2, 4, 6, 6) from the",
        ),
        (
            "conv2d_forward",
            {"w": W[:0], "b": B[:0]},
            "w.shape = (0, 3, 3, 2) is empty; expected at least one element on",
        ),
        (
            "conv2d_forward",
            {"w": W[:, :2]},
            "w.shape = (4, 2, 3, 2) has length 2 on axis 1; expected (F, C, KH, KW) with C = 3",
        ),
        (
            "conv2d_forward",
            {"pad": (0, 0), "w": W.repeat(3, 2)},
            "the window does not fit: its height = 9 exceeds the padded",
        ),
        (
            "affine_backward",
            {"dout": VALID["affine_backward"]["dout"][:, 1:]},
            "dout.shape = (3, 3) has length 3 on axis 1; expected (N, M) with M = 4",
        ),
    ],
)
def test_arguments_that_do_not_match(name, changed, message, backend):
    with pytest.raises(ValueError) as caught:
        FUNCTIONS[name](**VALID[name] | changed)
    assert str(caught.value).startswith(f"{name}: {message}")

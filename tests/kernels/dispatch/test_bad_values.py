"""Every public function of the kernels is fed bad values, one parameter at a time, on every backend.

Expected is a ValueError or TypeError that begins with the function's name, the same one on every backend, with nothing
computed and nothing modified.
"""

import importlib
import inspect

import numpy as np
import pytest
from conftest import AVAILABLE

import fastnn
from fastnn import kernels
from fastnn.testing import assert_same

RNG = np.random.default_rng(0)
X, W, B = RNG.normal(size=(2, 3, 6, 5)), RNG.normal(size=(4, 3, 3, 2)), RNG.normal(size=4)
OUT = RNG.normal(size=(2, 4, 6, 6))
ROWS, MATRIX, SCORES = RNG.normal(size=(3, 5)), RNG.normal(size=(5, 4)), RNG.normal(size=(3, 4))
SMALL, INDEX, POOLED = RNG.normal(size=(2, 3, 3, 2)), RNG.integers(0, 4, (2, 3, 3, 2)), RNG.integers(0, 4, (2, 4, 3, 3))
WINDOW = {"size": 2, "stride": 2, "pad": 0}
SHAPE = (2, 3, 6, 5)
CONVOLUTION = {"stride": 1, "pad": 1}
POOLING = {**CONVOLUTION, "pool_size": 2, "pool_stride": 2}

VALID = {
    "conv2d_forward": {"x": X, "w": W, "b": B, **CONVOLUTION},
    "conv2d_backward": {"dout": OUT, "x": X, "w": W, **CONVOLUTION},
    "max_pool2d_forward": {"x": X, **WINDOW},
    "max_pool2d_backward": {"dout": SMALL, "index": INDEX, "x_shape": SHAPE, **WINDOW},
    "avg_pool2d_forward": {"x": X, **WINDOW},
    "avg_pool2d_backward": {"dout": SMALL, "x_shape": SHAPE, **WINDOW},
    "global_avg_pool2d_forward": {"x": X},
    "global_avg_pool2d_backward": {"dout": SMALL[:, :, 0, 0], "x_shape": SHAPE},
    "affine_forward": {"x": ROWS, "w": MATRIX, "b": B},
    "affine_backward": {"dout": SCORES, "x": ROWS, "w": MATRIX},
    "affine_relu_forward": {"x": ROWS, "w": MATRIX, "b": B},
    "affine_relu_backward": {"dout": SCORES, "x": ROWS, "w": MATRIX, "out": abs(SCORES)},
    "conv2d_relu_forward": {"x": X, "w": W, "b": B, **CONVOLUTION},
    "conv2d_relu_backward": {"dout": OUT, "x": X, "w": W, "out": abs(OUT), **CONVOLUTION},
    "conv2d_relu_pool_forward": {"x": X, "w": W, "b": B, **POOLING},
    "conv2d_relu_pool_backward": {"dout": OUT[:, :, :3, :3], "x": X, "w": W, "index": POOLED, **POOLING},
}
CUBE, OTHER, HALF = RNG.normal(size=(3, 4, 2)), RNG.normal(size=(3, 4, 2)), RNG.normal(size=(3, 2, 2))
for kind, stored, number in (
    ("relu", "x", {}),
    ("leaky_relu", "x", {"slope": 0.1}),
    ("prelu", "x", {"slope": B}),
    ("elu", "x", {"alpha": 0.5}),
    ("sigmoid", "out", {}),
    ("tanh", "out", {}),
    ("gelu", "x", {}),
):
    VALID[f"{kind}_forward"] = {"x": CUBE, **number}
    VALID[f"{kind}_backward"] = {"dout": OTHER, stored: CUBE, **number}
VALID |= {
    "maxout_forward": {"x": CUBE, "pieces": 2},
    "maxout_backward": {"dout": HALF, "index": RNG.integers(0, 2, (3, 2, 2)), "pieces": 2},
    "softmax_loss": {"x": SCORES, "y": np.array([0, 3, 1]), "label_smoothing": 0.1},
    "svm_loss": {"x": SCORES, "y": np.array([0, 3, 1])},
    "mse_loss": {"x": CUBE, "target": OTHER},
    "dropout_forward": {"x": CUBE, "p": 0.5, "seed": 7},
    "dropout_backward": {"dout": OTHER, "mask": CUBE > 0, "p": 0.5},
    "augment_images": {"x": X, "flip": np.array([True, False])},
    "linear_svm_loss": {"W": MATRIX, "X": ROWS, "y": np.array([0, 3, 1]), "reg": 0.1},
    "linear_softmax_loss": {"W": MATRIX, "X": ROWS, "y": np.array([0, 3, 1]), "reg": 0.1},
}
for place in ("top", "left", "hole_top", "hole_left", "hole_size"):
    VALID["augment_images"][place] = np.array([2, 1])
GIVEN = {"gamma": B, "mean": B, "var": B * B, "epsilon": 1e-5}
OF_GROUPS = {"gamma": B, "groups": 2, "mean": CUBE[:, :2, 0], "var": CUBE[:, :2, 1] ** 2, "epsilon": 1e-5}
VALID |= {
    "batchnorm_forward": {"x": CUBE, "gamma": B, "beta": B, "epsilon": 1e-5},
    "batchnorm_inference": {"x": CUBE, "beta": B, **GIVEN},
    "batchnorm_backward": {"dout": OTHER, "x": CUBE, **GIVEN},
    "batchnorm_backward_alt": {"dout": OTHER, "x": CUBE, **GIVEN},
    "batchnorm_inference_backward": {"dout": OTHER, "x": CUBE, **GIVEN},
    "groupnorm_forward": {"x": CUBE, "gamma": B, "beta": B, "groups": 2, "epsilon": 1e-5},
    "groupnorm_backward": {"dout": OTHER, "x": CUBE, **OF_GROUPS},
}
HIDDEN = {"dout": SCORES, "between": -SCORES, "out": abs(SCORES)}
for name, layer, images in (
    ("affine", {"x": ROWS, "w": MATRIX}, HIDDEN),
    ("conv2d", {"x": X, "w": W, **CONVOLUTION}, {"dout": OUT, "between": -OUT, "out": abs(OUT)}),
):
    without_between = {key: value for key, value in images.items() if key != "between"}
    VALID |= {
        f"{name}_batchnorm_relu_forward": {**layer, "b": B, "gamma": B, "beta": B, "epsilon": 1e-5},
        f"{name}_batchnorm_relu_inference": {**layer, "b": B, "beta": B, **GIVEN},
        f"{name}_batchnorm_relu_backward": {**layer, **images, **GIVEN},
        f"{name}_batchnorm_relu_inference_backward": {**layer, **without_between, "b": B, **GIVEN},
    }
CONVOLVED, SPREAD = {"x": X, "w": W, **POOLING}, {"dout": OUT[:, :, :3, :3], "index": POOLED}
VALID |= {
    "conv2d_batchnorm_relu_pool_forward": {**CONVOLVED, "b": B, "gamma": B, "beta": B, "epsilon": 1e-5},
    "conv2d_batchnorm_relu_pool_inference": {**CONVOLVED, "b": B, "beta": B, **GIVEN},
    "conv2d_batchnorm_relu_pool_backward": {**CONVOLVED, **SPREAD, "between": OUT, **GIVEN},
    "conv2d_batchnorm_relu_pool_inference_backward": {**CONVOLVED, **SPREAD, "b": B, **GIVEN},
    "affine_layernorm_relu_forward": {"x": ROWS, "w": MATRIX, "b": B, "gamma": B, "beta": B, "epsilon": 1e-5},
    "affine_layernorm_relu_backward": {
        "x": ROWS, "w": MATRIX, **HIDDEN,
        "gamma": B, "mean": SCORES[:, :1], "var": abs(SCORES[:, :1]), "epsilon": 1e-5,
    },
}  # fmt: skip
ADAM = {"t": 3, "learning_rate": 0.1, "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-8}
for kind, states, numbers in (
    ("sgd", "", {"learning_rate": 0.1}),
    ("momentum", "velocity", {"learning_rate": 0.1, "momentum": 0.9}),
    ("nesterov", "velocity", {"learning_rate": 0.1, "momentum": 0.9}),
    ("rmsprop", "cache", {"learning_rate": 0.1, "decay_rate": 0.9, "epsilon": 1e-8}),
    ("adagrad", "cache", {"learning_rate": 0.1, "epsilon": 1e-8}),
    ("adam", "m v", ADAM),
    ("adamw", "m v", ADAM),
):
    written = {state: np.ones_like(CUBE) for state in (*states.split(), "out")}
    VALID[f"{kind}_update"] = {"w": CUBE, "dw": OTHER, **written, **numbers, "weight_decay": 0.01}
VALID |= {
    "weight_penalty": {"w": CUBE, "dw": OTHER.copy(), "reg": 0.1},
    "global_norm": {"dw": CUBE},
}
PAIRS = {"stride", "pad", "size", "pool_size", "pool_stride"}
ANY_RANK = {(name, "x") for name in VALID if name.endswith(("lu_forward", "id_forward", "nh_forward", "ut_forward"))}
ANY_RANK |= {(name, "x") for name in ("batchnorm_forward", "batchnorm_inference", "groupnorm_forward")}
ANY_RANK |= {("global_norm", "dw")}

ENDINGS = ("_forward", "_inference", "_backward", "_alt", "_loss", "_update", "_images", "_penalty", "_norm")

FUNCTIONS = {
    name: function
    for operation in kernels.OPERATIONS
    for name, function in inspect.getmembers(importlib.import_module(f"fastnn.kernels.{operation}"), inspect.isfunction)
    if name.endswith(
        ("_forward", "_inference", "_backward", "_alt", "_loss", "_update", "_images", "_penalty", "_norm")
    )
}


def bad_values(name, parameter):
    """Values that this function may not accept for this parameter."""
    good = VALID[name][parameter]
    if parameter in PAIRS:
        values = [
            None,
            "2",
            True,
            1.5,
            np.nan,
            np.inf,
            -1,
            (1,),
            (1, 2, 3),
            (1, "a"),
            (-1, 1),
            [[1, 2], [3, 4]],
            {},
            2j,
        ]
        values += [0, (1, 0)] if parameter != "pad" else []
        return [*values, np.ones(3), *([50] if "size" in parameter else [])]
    if parameter == "x_shape":
        return [None, 5, "abcd", (), (2, 3), (2, 3, 6, 5, 1), (-2, 3, 6, 5), (2, 3, 0, 5), (2, 3, 6, 5.5), (1, 3, 6, 5)]
    if isinstance(good, (int, float)):
        values = [None, "a", True, np.nan, np.inf, -np.inf, 1j, [0.1, 0.2], np.ones(1), {}]
        values += [-1, 1.5] if isinstance(good, int) else []
        values += [0] if isinstance(good, int) and parameter != "seed" else []
        return values + ([-0.5] if parameter not in ("slope", "alpha") else [])
    values = [None, "a", object(), {}, [[1.0, 2.0], [3.0]], good.astype(complex), good.astype(str), good.astype(object)]
    if (name, parameter) not in ANY_RANK:
        values += [good[0], good[None], np.stack([good, good], axis=-1)]
    if good.dtype.kind == "f":
        return [*values, good.astype(np.float16), good.astype("M8[s]")]
    if good.dtype.kind == "b":
        return [*values, good.astype(float), good.astype(np.uint8), good[..., :1]]
    beyond = 2**32 if name == "augment_images" else 250
    return [*values, good.astype(float), good > 0, good + beyond, good - beyond, good[..., :1]]


def refusal(function, arguments, backend):
    with fastnn.use_backend(backend), pytest.raises((ValueError, TypeError)) as caught:
        function(**arguments)
    return type(caught.value), str(caught.value)


def copied(arguments):
    return {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in arguments.items()}


def assert_untouched(arguments, before):
    for name, value in before.items():
        np.testing.assert_array_equal(arguments[name], value)


PARAMETERS = [(name, parameter) for name in VALID for parameter in VALID[name]]


def test_every_public_function_is_fed():
    assert FUNCTIONS.keys() == VALID.keys()
    for name, function in FUNCTIONS.items():
        assert set(inspect.signature(function).parameters) - {"need_dx"} == set(VALID[name])


@pytest.mark.parametrize("name", VALID)
def test_what_is_valid_is_accepted(name, backend):
    FUNCTIONS[name](**copied(VALID[name]))


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
def test_bad_values_are_refused_alike(name, parameter):
    for value in bad_values(name, parameter):
        arguments = copied(VALID[name])
        before = copied(arguments)
        arguments[parameter] = value
        first, *others = (refusal(FUNCTIONS[name], arguments, backend) for backend in AVAILABLE)
        assert first[1].startswith(f"{name}: ")
        assert first[1].count("; ") >= 2, "an error says what is wrong; what was expected; what to do"
        assert all(other == first for other in others)
        assert_untouched(arguments | {parameter: before[parameter]}, before)


def outcome(function, arguments, backend):
    """What a call returns, or its error."""
    try:
        with fastnn.use_backend(backend):
            return function(**copied(arguments))
    except (ValueError, TypeError) as error:
        return type(error).__name__, str(error)


@pytest.mark.parametrize(
    ("name", "parameter"), [pair for pair in PARAMETERS if isinstance(VALID[pair[0]][pair[1]], np.ndarray)]
)
def test_one_element_more_or_less_on_an_axis_is_refused_or_computed_alike(name, parameter):
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
    scalars = {parameter: float(value) for parameter, value in VALID[name].items() if parameter in PAIRS}
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
            {"dout": SCORES[:, 1:]},
            "dout.shape = (3, 3) has length 3 on axis 1; expected (N, M) with M = 4",
        ),
    ],
)
def test_arguments_that_do_not_belong_together(name, changed, message, backend):
    with pytest.raises(ValueError) as caught:
        FUNCTIONS[name](**VALID[name] | changed)
    assert str(caught.value).startswith(f"{name}: {message}")

"""The generated data set `shapes`, and the toy data."""

import subprocess
import sys

import numpy as np
import pytest

from fastnn.data_utils import SHAPES_CLASSES, get_shapes_data, get_toy_data, shapes


@pytest.fixture(scope="module")
def data():
    return get_shapes_data(1000, 200, 100, dtype=np.float64)


def test_the_dict_is_that_of_cifar10(data):
    assert list(data) == ["X_train", "y_train", "X_val", "y_val", "X_test", "y_test"]
    for name, count in (("train", 1000), ("val", 200), ("test", 100)):
        X, y = data[f"X_{name}"], data[f"y_{name}"]
        assert X.shape == (count, 3, 32, 32)
        assert X.dtype == np.float64
        assert X.flags.c_contiguous
        assert y.shape == (count,)
        assert y.dtype == np.int64
    assert get_shapes_data(1, 0, 0)["X_train"].dtype == np.float32
    np.testing.assert_array_equal(np.bincount(data["y_train"]), [100] * 10)
    assert len(SHAPES_CLASSES) == 10


def test_the_training_mean_is_removed_and_the_pixels_are_scaled(data):
    raw = get_shapes_data(1000, 200, 100, subtract_mean=False, dtype=np.float64)
    pixels = raw["X_train"] * 64
    assert pixels.min() == 0
    assert pixels.max() == 255
    np.testing.assert_array_equal(pixels, np.rint(pixels))
    np.testing.assert_allclose(data["X_train"].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(data["X_val"], raw["X_val"] - raw["X_train"].mean(axis=0), atol=1e-12)
    assert 0.8 < data["X_train"].std() < 1.1


def test_the_same_seed_gives_the_same_images_in_any_process(data):
    program = (
        "import zlib; from fastnn.data_utils import get_shapes_data as g; d = g(30, 10, 10, dtype='float64');"
        "print(*(zlib.crc32(a.tobytes()) for a in d.values()))"
    )
    runs = {subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout for _ in range(2)}
    assert len(runs) == 1
    again = get_shapes_data(1000, 200, 100, seed=0, dtype=np.float64)
    other = get_shapes_data(1000, 200, 100, seed=1, dtype=np.float64)
    for name in data:
        np.testing.assert_array_equal(again[name], data[name])
        assert not np.array_equal(other[name], data[name])


def test_a_larger_set_begins_with_the_smaller_one(data):
    small = get_shapes_data(300, 20, 10, subtract_mean=False)
    large = get_shapes_data(600, 20, 260, subtract_mean=False)
    for name, array in small.items():
        np.testing.assert_array_equal(large[name][: len(array)], array)


def test_the_three_sets_differ(data):
    assert not np.array_equal(data["X_train"][:100], data["X_val"][:100])
    assert not np.array_equal(data["X_val"][:100], data["X_test"])


def test_seeds_follow_the_house_rule():
    np.random.seed(3)
    first = get_shapes_data(10, 0, 0, seed=None)["X_train"]
    assert not np.array_equal(get_shapes_data(10, 0, 0, seed=None)["X_train"], first)
    np.random.seed(3)
    np.testing.assert_array_equal(get_shapes_data(10, 0, 0, seed=None)["X_train"], first)
    state = np.random.get_state()[1].copy()
    expected = get_shapes_data(10, 0, 0, seed=np.random.default_rng(5))["X_train"]
    np.testing.assert_array_equal(get_shapes_data(10, 0, 0, seed=5)["X_train"], expected)
    np.testing.assert_array_equal(np.random.get_state()[1], state)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num_training": 0}, ValueError, "get_shapes_data: num_training=0 is out of range; expected at least 1"),
        ({"num_validation": -1}, ValueError, "num_validation=-1 is out of range"),
        ({"num_test": 1.5}, ValueError, "num_test=1.5 is not an integer"),
        ({"dtype": np.int64}, TypeError, "get_shapes_data: dtype=.* expected float32 or float64"),
        ({"seed": "x"}, TypeError, "seed='x' is not a seed"),
    ],
)
def test_invalid_arguments_raise(arguments, error, message):
    with pytest.raises(error, match=message):
        get_shapes_data(**arguments)


def test_no_class_has_a_mean_image_of_its_own(data):
    """Mean images of classes hardly differ: for 100 images by about 0.1 sigma."""
    for label in range(10):
        mean = data["X_train"][data["y_train"] == label].mean(axis=0)
        assert np.abs(mean).mean() < 0.25 * data["X_train"].std()


def test_nearest_neighbours_of_the_outline_know_the_class(data):
    """Edge strength, a feature that ignores colour, distinguishes classes far above chance."""

    def edges(X):
        grey = X.mean(axis=1)
        down, right = np.diff(grey, axis=1)[:, :, :-1], np.diff(grey, axis=2)[:, :-1]
        strength = np.hypot(down, right)
        pooled = strength[:, :30, :30].reshape(len(X), 10, 3, 10, 3).mean(axis=(2, 4)).reshape(len(X), -1)
        return pooled / np.linalg.norm(pooled, axis=1, keepdims=True)

    nearest = np.argmax(edges(data["X_val"]) @ edges(data["X_train"]).T, axis=1)
    assert np.mean(data["y_train"][nearest] == data["y_val"]) > 0.3


@pytest.mark.parametrize(
    ("name", "area"), [("disk", np.pi * 0.81), ("ring", np.pi * (0.98**2 - 0.58**2)), ("square", 1.56**2)]
)
def test_shapes_cover_the_area_that_geometry_says(name, area):
    axis = (np.arange(600) - 299.5) / 250
    actual = np.mean(shapes._SHAPES[name](axis[None, :], axis[:, None]) < 0) * (600 / 250) ** 2
    assert actual == pytest.approx(area, rel=5e-3)


def test_polygon_distance_by_hand():
    square = [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)]
    x, y = np.array([0.0, 0.5, 2.0, 4.0, -1.5]), np.array([0.0, 0.0, 0.0, 5.0, 0.9])
    expected = [-1.0, -0.5, 1.0, 5.0, 0.5]
    np.testing.assert_allclose(shapes._polygon(x, y, square), expected)
    np.testing.assert_allclose(shapes._box(x, y, 1.0, 1.0), expected)
    np.testing.assert_allclose(shapes._polygon(x, y, square[::-1]), expected)


def test_toy_data_is_the_course_s():
    """The scores and the loss (reg = 0.05) that the course's two-layer notebook prints for its toy model."""
    state = np.random.get_state()[1].copy()
    X, y, params = get_toy_data()
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    assert X.shape == (5, 4)
    assert {name: array.shape for name, array in params.items()} == {
        "W1": (4, 10),
        "b1": (10,),
        "W2": (10, 3),
        "b2": (3,),
    }
    np.testing.assert_array_equal(y, [0, 1, 2, 2, 1])
    actual = np.maximum(0, X @ params["W1"] + params["b1"]) @ params["W2"] + params["b2"]
    expected = [
        [-0.81233741, -1.27654624, -0.70335995],
        [-0.17129677, -1.18803311, -0.47310444],
        [-0.51590475, -1.01354314, -0.8504215],
        [-0.15419291, -0.48629638, -0.52901952],
        [-0.00618733, -0.12435261, -0.15226949],
    ]
    np.testing.assert_allclose(actual, expected, atol=1e-8)
    log_sums = np.log(np.exp(actual).sum(axis=1))
    loss = np.mean(log_sums - actual[np.arange(5), y]) + 0.05 * sum(np.sum(params[name] ** 2) for name in ("W1", "W2"))
    assert loss == pytest.approx(1.30378789133, abs=1e-10)

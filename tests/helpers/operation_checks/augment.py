"""Inputs and checks of `augment`, for every backend and for the simulated GPU."""

import numpy as np

import fastnn
from fastnn.kernels.augment import augment_images
from fastnn.testing import against_naive

EXTREME = [-(2**31), 2**31 - 1]


def draw(shape, dtype=np.float64, seed=0, reach=6):
    """Draw images and for each an offset, a flip and a hole; some numbers are extreme."""
    generator = np.random.default_rng(seed)
    numbers = generator.integers(-reach, reach + 1, (5, shape[0]))
    numbers = np.where(generator.random(numbers.shape) < 0.1, generator.choice(EXTREME, numbers.shape), numbers)
    numbers[4] = np.maximum(numbers[4], 0)
    top, left, *hole = numbers
    return generator.standard_normal(shape).astype(dtype), top, left, generator.random(shape[0]) < 0.5, *hole


def only(count=1, **changed):
    """Return the arguments after x that leave the images unchanged, except the given ones."""
    names = ("top", "left", "flip", "hole_top", "hole_left", "hole_size")
    return {name: np.full(count, changed.get(name, 0), bool if name == "flip" else int) for name in names}


def check_bits(arguments):
    """Values are copied bit by bit."""
    x, *_ = arguments
    actual = augment_images(*arguments)
    with fastnn.use_backend("naive"):
        assert actual.tobytes() == augment_images(*arguments).tobytes()
    odd = np.array([np.nan, -0.0, np.inf, -np.inf, 5e-324, 1], x.dtype).reshape(1, 1, 2, 3)
    assert augment_images(odd, **only()).tobytes() == odd.tobytes()


def check_layouts_and_integers(shape):
    x, *numbers = draw(shape)
    for seen in (np.asfortranarray(x), x[:, ::-1, :, ::-2], x.transpose(0, 1, 3, 2)):
        against_naive(augment_images, seen, *numbers)
    spaced = [np.repeat(number, 2)[::2] for number in numbers]
    spaced[0] = spaced[0].clip(-100, 100).astype(np.int8)
    spaced[5] = spaced[5].astype(np.uint64)
    against_naive(augment_images, x, *spaced)
    whole = np.arange(12).reshape(1, 1, 3, 4)
    actual = augment_images(whole, **only())
    assert actual.dtype == np.float64
    np.testing.assert_array_equal(actual, whole)


def check_numbers_worked_by_hand():
    x = np.arange(1.0, 13).reshape(1, 1, 3, 4)  # rows 1 2 3 4, 5 6 7 8, 9 10 11 12

    def result(**changed):
        return augment_images(x, **only(**changed))[0, 0].tolist()

    assert result() == x[0, 0].tolist()
    assert result(top=1) == [[5, 6, 7, 8], [9, 10, 11, 12], [0] * 4]
    assert result(top=-2) == [[0] * 4, [0] * 4, [1, 2, 3, 4]]
    assert result(left=1) == [[2, 3, 4, 0], [6, 7, 8, 0], [10, 11, 12, 0]]
    assert result(flip=True) == [[4, 3, 2, 1], [8, 7, 6, 5], [12, 11, 10, 9]]
    assert result(flip=True, left=1) == [[0, 4, 3, 2], [0, 8, 7, 6], [0, 12, 11, 10]]  # shifted first, then mirrored
    assert result(hole_top=1, hole_left=0, hole_size=2) == [[1, 2, 3, 4], [0, 0, 7, 8], [0, 0, 11, 12]]
    erased = [[4, 3, 2, 1], [0, 0, 6, 5], [0, 0, 10, 9]]
    assert result(flip=True, hole_top=1, hole_left=0, hole_size=2) == erased  # mirrored first, then erased
    assert result(hole_top=-1, hole_left=3, hole_size=3) == [[1, 2, 3, 0], [5, 6, 7, 0], [9, 10, 11, 12]]
    assert result(hole_top=1, hole_left=1) == x[0, 0].tolist()
    for far in ({"top": 3}, {"left": -4}, {"left": 4}, {"hole_top": -9, "hole_left": -9, "hole_size": 2**31 - 1}):
        assert result(**far) == [[0] * 4] * 3

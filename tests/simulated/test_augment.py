"""`augment` on the simulated GPU."""

import numpy as np
import pytest

import fastnn
from fastnn.augment import Augment
from fastnn.kernels.augment import augment_images
from fastnn.testing import against_naive

DTYPES = [np.float32, np.float64]
EXTREME = [-(2**31), 2**31 - 1]


def draw(shape, dtype=np.float64, seed=0, reach=6):
    """Images, and for each an offset, whether it is mirrored, and a hole; now and then an absurd one."""
    generator = np.random.default_rng(seed)
    numbers = generator.integers(-reach, reach + 1, (5, shape[0]))
    numbers = np.where(generator.random(numbers.shape) < 0.1, generator.choice(EXTREME, numbers.shape), numbers)
    numbers[4] = np.maximum(numbers[4], 0)
    top, left, *hole = numbers
    return generator.standard_normal(shape).astype(dtype), top, left, generator.random(shape[0]) < 0.5, *hole


def only(count=1, **changed):
    """The arguments behind x that change nothing, but for those given."""
    names = ("top", "left", "flip", "hole_top", "hole_left", "hole_size")
    return {name: np.full(count, changed.get(name, 0), bool if name == "flip" else int) for name in names}


SHAPES = [(1, 1, 1, 1), (7, 2, 5, 3), (3, 2, 7, 11), (31, 1, 2, 5)]
EMPTY = [(0, 3, 2, 2), (2, 0, 3, 3), (2, 3, 0, 2), (2, 3, 2, 0)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES + EMPTY)
def test_against_the_loops(shape, dtype):
    for seed, reach in enumerate((1, 3, 9)):
        actual = against_naive(augment_images, *draw(shape, dtype, seed, reach))
        assert actual.shape == shape


@pytest.mark.parametrize("dtype", DTYPES)
def test_values_are_copied_bit_by_bit(dtype):
    arguments = draw((5, 2, 7, 8), dtype)
    actual = augment_images(*arguments)
    with fastnn.use_backend("naive"):
        assert actual.tobytes() == augment_images(*arguments).tobytes()
    odd = np.array([np.nan, -0.0, np.inf, -np.inf, 5e-324, 1], dtype).reshape(1, 1, 2, 3)
    assert augment_images(odd, **only()).tobytes() == odd.tobytes()


def test_any_layout_and_integers():
    x, *numbers = draw((4, 2, 5, 6))
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


def test_numbers_worked_by_hand():
    x = np.arange(1.0, 13).reshape(1, 1, 3, 4)  # rows 1 2 3 4, 5 6 7 8, 9 10 11 12

    def result(**changed):
        return augment_images(x, **only(**changed))[0, 0].tolist()

    assert result() == x[0, 0].tolist()
    assert result(top=-2) == [[0] * 4, [0] * 4, [1, 2, 3, 4]]
    assert result(flip=True, left=1) == [[0, 4, 3, 2], [0, 8, 7, 6], [0, 12, 11, 10]]  # shifted first, then mirrored
    erased = [[4, 3, 2, 1], [0, 0, 6, 5], [0, 0, 10, 9]]
    assert result(flip=True, hole_top=1, hole_left=0, hole_size=2) == erased  # mirrored first, then erased
    assert result(hole_top=-1, hole_left=3, hole_size=3) == [[1, 2, 3, 0], [5, 6, 7, 0], [9, 10, 11, 12]]
    for far in ({"top": 3}, {"left": -4}, {"left": 4}, {"hole_top": -9, "hole_left": -9, "hole_size": 2**31 - 1}):
        assert result(**far) == [[0] * 4] * 3


def test_the_same_seed_gives_the_images_of_the_other_backends():
    images = np.random.default_rng(0).standard_normal((5, 2, 6, 7)).astype(np.float32)
    transform = Augment(padding=2, flip=0.5, cutout=3)
    actual = transform(images, 7)
    with fastnn.use_backend("vectorized"):
        np.testing.assert_array_equal(transform(images, 7), actual)

"""`augment` on the simulated GPU."""

import numpy as np
import pytest
from operation_checks.augment import check_bits, check_layouts_and_integers, check_numbers_worked_by_hand, draw

import fastnn
from fastnn.augment import Augment
from fastnn.kernels.augment import augment_images
from fastnn.testing import against_naive

DTYPES = [np.float32, np.float64]
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
    check_bits(draw((5, 2, 7, 8), dtype))


def test_any_layout_and_integers():
    check_layouts_and_integers((4, 2, 5, 6))


def test_numbers_worked_by_hand():
    check_numbers_worked_by_hand()


def test_the_same_seed_gives_the_images_of_the_other_backends():
    images = np.random.default_rng(0).standard_normal((5, 2, 6, 7)).astype(np.float32)
    transform = Augment(padding=2, flip=0.5, cutout=3)
    actual = transform(images, 7)
    with fastnn.use_backend("vectorized"):
        np.testing.assert_array_equal(transform(images, 7), actual)

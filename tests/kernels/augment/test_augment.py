"""`fastnn.kernels.augment` against the loops and against slices; random draws of `fastnn.augment`."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes
from operation_checks.augment import check_bits, check_layouts_and_integers, check_numbers_worked_by_hand, draw, only

import fastnn
from fastnn.augment import Augment
from fastnn.kernels.augment import augment_images
from fastnn.testing import against_naive

DTYPES = [np.float32, np.float64]
anything = settings(max_examples=40)


@anything
@given(
    shape=array_shapes(min_dims=4, max_dims=4, min_side=0, max_side=7),
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from(DTYPES),
)
def test_every_backend_agrees_with_the_loops(backend, shape, seed, dtype):
    actual = against_naive(augment_images, *draw(shape, dtype, seed))
    assert actual.shape == shape
    assert actual.flags.c_contiguous


@pytest.mark.parametrize("dtype", DTYPES)
def test_values_are_copied_bit_by_bit(backend, dtype):
    check_bits(draw((41, 3, 9, 11), dtype, reach=9))


def test_any_layout_and_integers(backend):
    check_layouts_and_integers((6, 2, 5, 8))


def test_numbers_worked_by_hand(backend):
    check_numbers_worked_by_hand()


def test_a_crop_of_the_padded_image(backend):
    pad = 3
    x, top, left, flip, *_ = draw((50, 2, 6, 5), reach=pad)
    top, left = top.clip(-pad, pad), left.clip(-pad, pad)
    actual = augment_images(x, top, left, flip, *np.zeros((3, 50), int))
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    for n in range(50):
        expected = padded[n, :, pad + top[n] : pad + top[n] + 6, pad + left[n] : pad + left[n] + 5]
        np.testing.assert_array_equal(actual[n], expected[:, :, ::-1] if flip[n] else expected)


def test_the_number_of_threads_changes_nothing():
    threads = pytest.importorskip("fastnn.kernels.cpu.threads", reason="the backend njit needs numba")
    arguments = draw((67, 3, 8, 9), np.float32)
    results = []
    with fastnn.use_backend("njit"):
        for count in (1, 3):
            with threads.use_num_threads(count):
                results.append(augment_images(*arguments).tobytes())
    assert results[0] == results[1]


ERRORS = [
    ({"x": np.ones((2, 3, 4))}, ValueError, r"x.shape = \(2, 3, 4\) has 3 axes; expected \(N, C, H, W\)"),
    ({"x": np.ones((2, 1, 3, 3), complex)}, TypeError, "x.dtype = complex128"),
    ({"top": np.zeros(3, int)}, ValueError, r"top.shape = \(3,\) does not fit; expected \(2,\), one for each image"),
    ({"left": 0}, ValueError, r"left.shape = \(\) does not fit"),
    ({"hole_top": np.zeros(2)}, TypeError, "hole_top.dtype = float64 is not an integer dtype"),
    ({"hole_left": [0, 2**31]}, ValueError, "hole_left ranges from 0 to 2147483648; expected -2147483648 to 214748"),
    ({"hole_size": [0, -1]}, ValueError, "hole_size ranges from -1 to 0; expected 0 to 2147483647"),
    ({"flip": [0, 1]}, TypeError, "flip.dtype = int64 is not bool; expected bool"),
    ({"flip": [True]}, ValueError, r"flip.shape = \(1,\) does not fit"),
]


@pytest.mark.parametrize(("wrong", "error", "message"), ERRORS)
def test_errors_are_the_same_on_every_backend(backend, wrong, error, message):
    with pytest.raises(error, match=f"^augment_images: {message}"):
        augment_images(**{"x": np.ones((2, 1, 3, 3)), **only(2), **wrong})


# ---- Augment ----


def test_the_same_state_gives_the_same_images(backend):
    images = np.random.default_rng(0).standard_normal((9, 3, 8, 7)).astype(np.float32)
    transform = Augment(padding=2, flip=0.5, cutout=3)
    before = images.copy()
    actual = transform(images, np.random.default_rng(7))
    assert actual.dtype == np.float32
    assert not np.shares_memory(actual, images)
    np.testing.assert_array_equal(images, before)
    np.testing.assert_array_equal(transform(images, 7), actual)
    assert (transform(images, 8) != actual).any()
    with fastnn.use_backend("naive"):
        np.testing.assert_array_equal(transform(images, np.random.default_rng(7)), actual)
    results = []
    for _ in range(2):
        np.random.seed(3)
        results.append([transform(images, np.random), transform(images)])
    np.testing.assert_array_equal(results[0], results[1])
    assert (results[0][0] != results[0][1]).any()


@pytest.mark.parametrize("source", [np.random.default_rng(5), None], ids=["generator", "global"])
def test_what_is_drawn_is_uniform(source):
    np.random.seed(5)
    count, H, W = 6000, 5, 7
    places = np.arange(1.0, H * W + 1).reshape(1, 1, H, W).repeat(count, 0)

    def share(seen):
        return np.bincount(np.asarray(seen, int)) / count

    with fastnn.use_backend("vectorized"):
        moved = Augment(padding=2)(places, source)[:, 0, 2, 3]  # the pixel that moved to the middle
        expected = np.zeros((H, W))
        expected[:, 1:6] = 1 / 25
        np.testing.assert_allclose(share(moved)[1:], expected.reshape(-1)[: int(moved.max())], atol=0.015)
        flipped = Augment(flip=0.3)(places, source)[:, 0, 0, 0]
        assert set(flipped) == {1, W}
        assert abs((flipped == W).mean() - 0.3) < 5 * np.sqrt(0.21 / count)
        erased = Augment(cutout=1)(places, source)[:, 0] == 0
        assert (erased.sum(axis=(1, 2)) == 1).all()
        np.testing.assert_allclose(erased.mean(axis=0), np.full((H, W), 1 / 35), atol=5 * np.sqrt(1 / 35 / count))
        holes = (Augment(cutout=3)(places, source)[:, 0] == 0).sum(axis=(1, 2))
        assert set(holes) == {4, 6, 9}  # at a corner, at an edge, inside
        assert set((Augment(cutout=4)(places, source)[:, 0] == 0).sum(axis=(1, 2))) == {4, 6, 8, 9, 12, 16}


def test_what_is_off_draws_nothing(backend):
    images = np.random.default_rng(0).standard_normal((3, 2, 4, 4))
    generator = np.random.default_rng(1)
    before = generator.bit_generator.state
    actual = Augment()(images, generator)
    assert generator.bit_generator.state == before
    np.testing.assert_array_equal(actual, images)
    assert not np.shares_memory(actual, images)


def test_certain_flips_and_holes_that_cover_everything(backend):
    images = np.random.default_rng(0).standard_normal((3, 2, 4, 5))
    np.testing.assert_array_equal(Augment(flip=1)(images, 0), images[..., ::-1])
    assert not Augment(cutout=10)(images, 0).any()
    for shape in ((0, 3, 4, 4), (2, 3, 0, 4), (2, 0, 3, 3)):
        assert Augment(4, 0.5, 2)(np.ones(shape, np.float32), 0).shape == shape


def test_repr_can_be_read_back():
    transform = Augment(padding=4.0, flip=0.5, cutout=8)
    assert repr(transform) == "Augment(padding=4, flip=0.5, cutout=8)"
    assert vars(eval(repr(transform))) == vars(transform)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"padding": -1}, ValueError, "padding=-1 is out of range; expected at least 0"),
        ({"padding": 1.5}, ValueError, "padding=1.5 is not an integer"),
        ({"flip": 1.1}, ValueError, "flip=1.1 is out of range; expected at least 0 and at most 1"),
        ({"flip": True}, TypeError, "flip=True is not a number"),
        ({"cutout": -2}, ValueError, "cutout=-2 is out of range"),
        ({"cutout": 2**31}, ValueError, "cutout=2147483648 is out of range"),
    ],
)
def test_arguments_are_checked(arguments, error, message):
    with pytest.raises(error, match=f"^Augment: {message}"):
        Augment(**arguments)


def test_images_and_generators_are_checked():
    with pytest.raises(ValueError, match=r"^Augment: images.shape = \(3, 4, 4\) has 3 axes; expected \(N, C, H, W\)"):
        Augment()(np.ones((3, 4, 4)), 0)
    with pytest.raises(TypeError, match=r"^generator: seed='a' is not a seed"):
        Augment()(np.ones((1, 1, 2, 2)), "a")

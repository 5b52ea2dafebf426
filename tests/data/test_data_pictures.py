"""Images from files, as pixels of the size that a network expects."""

import numpy as np
import pytest
from PIL import Image

from fastnn import data_utils
from fastnn.data_utils import read_images

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
TWO = np.stack([PIXELS, PIXELS[::-1]])


def saved(path, image, **options):
    Image.fromarray(image).save(path, **options)
    return path


def test_an_image_of_the_right_size_comes_as_it_is(tmp_path):
    actual = read_images(saved(tmp_path / "a.png", PIXELS), (3, 4, 6))
    np.testing.assert_array_equal(actual, PIXELS.transpose(2, 0, 1)[None])
    assert actual.dtype == np.uint8


def test_an_image_of_other_proportions_is_cut_around_its_middle(tmp_path):
    stripes = np.repeat(np.array([10, 100, 100, 200], np.uint8), 8)[None, :, None].repeat(16, 0).repeat(3, 2)
    for name, image in (("wide", stripes), ("tall", stripes.transpose(1, 0, 2))):
        actual = read_images(saved(tmp_path / f"{name}.png", image), (3, 8, 8))
        assert actual.shape == (1, 3, 8, 8)
        np.testing.assert_allclose(actual, 100, atol=6)  # the filter includes some pixels beyond the edges
        np.testing.assert_array_equal(actual[..., 3:5, 3:5], 100)


def test_colours_become_grey_and_grey_becomes_three_planes(tmp_path):
    grey = saved(tmp_path / "grey.png", PIXELS[..., 0])
    np.testing.assert_array_equal(read_images(grey, (3, 4, 6)), np.stack([PIXELS[..., 0]] * 3)[None])
    red = np.zeros((2, 2, 3), np.uint8)
    red[..., 0] = 255
    np.testing.assert_array_equal(read_images(saved(tmp_path / "red.png", red), (1, 2, 2)), np.full((1, 1, 2, 2), 76))


def test_what_is_transparent_is_white(tmp_path):
    image = np.zeros((2, 2, 4), np.uint8)
    image[0, 0] = 9, 8, 7, 255
    actual = read_images(saved(tmp_path / "a.png", image), (3, 2, 2))
    np.testing.assert_array_equal(actual[0, :, 0], [[9, 255], [8, 255], [7, 255]])
    assert (actual[0, :, 1] == 255).all()


def test_a_photograph_is_turned_as_its_camera_says(tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6  # rotate clockwise by 90 degrees
    expected = np.rot90(PIXELS, -1).transpose(2, 0, 1)[None]
    np.testing.assert_array_equal(read_images(saved(tmp_path / "a.png", PIXELS, exif=turned), (3, 6, 4)), expected)


def test_a_jpeg_is_read(tmp_path):
    flat = np.full((8, 8, 3), 77, np.uint8)
    assert abs(read_images(saved(tmp_path / "a.jpg", flat), (3, 8, 8)).astype(int) - 77).max() <= 2


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (PIXELS, PIXELS.transpose(2, 0, 1)[None]),
        (PIXELS.transpose(2, 0, 1), PIXELS.transpose(2, 0, 1)[None]),
        (np.stack([PIXELS, PIXELS[::-1]]), np.stack([PIXELS, PIXELS[::-1]]).transpose(0, 3, 1, 2)),
        (
            np.stack([PIXELS, PIXELS[::-1]]).transpose(0, 3, 1, 2),
            np.stack([PIXELS, PIXELS[::-1]]).transpose(0, 3, 1, 2),
        ),
        (PIXELS[..., 0], np.stack([PIXELS[..., 0]] * 3)[None]),
        (PIXELS[..., :1], np.stack([PIXELS[..., 0]] * 3)[None]),
    ],
)
def test_arrays_of_pixels(tmp_path, array, expected):
    np.save(tmp_path / "a.npy", array)
    np.testing.assert_array_equal(read_images(tmp_path / "a.npy", (3, 4, 6)), expected)


def test_files_that_hold_no_image(tmp_path):
    (tmp_path / "a.png").write_text("hello")
    with pytest.raises(ValueError, match=r"read_images: path=.*a\.png' contains no readable image"):
        read_images(tmp_path / "a.png", (3, 4, 4))
    (tmp_path / "cut.png").write_bytes(saved(tmp_path / "b.png", PIXELS).read_bytes()[:80])
    with pytest.raises(ValueError, match=r"cut\.png' contains no readable image"):
        read_images(tmp_path / "cut.png", (3, 4, 4))
    Image.fromarray(PIXELS).save(tmp_path / "a.eps")  # which Pillow has a PostScript interpreter execute
    with pytest.raises(ValueError, match=r"a\.eps' contains no readable image"):
        read_images(tmp_path / "a.eps", (3, 4, 4))
    (tmp_path / "a.npy").write_text("hello")
    with pytest.raises(
        ValueError, match=r"read_images: path=.*a\.npy' contains no array .*; expected what numpy\.save"
    ):
        read_images(tmp_path / "a.npy", (3, 4, 4))
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (10**13, 4, 3)})
    with pytest.raises(
        ValueError, match=r"contains no array \(it claims the shape \(10000000000000, 4, 3\), and has 0"
    ):
        read_images(tmp_path / "a.npy", (3, 4, 4))
    np.save(tmp_path / "a.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match="contains no array"):
        read_images(tmp_path / "a.npy", (3, 4, 4))
    with pytest.raises(FileNotFoundError, match=r"read_images: path=.*nothing\.png' is not a file"):
        read_images(tmp_path / "nothing.png", (3, 4, 4))


@pytest.mark.parametrize("array", [PIXELS / 255, PIXELS[..., :2], PIXELS[0, 0], PIXELS[:0], PIXELS[None, None]])
def test_arrays_that_hold_no_pixels(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ValueError, match=r"read_images: path=.* holds .*; expected pixels as uint8 or uint16 \(H, W\)"):
        read_images(tmp_path / "a.npy", (3, 4, 4))


def test_an_image_that_would_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(ValueError, match=r"contains no readable image \(Image size .* decompression bomb"):
        read_images(saved(tmp_path / "a.png", PIXELS), (3, 4, 4))


@pytest.mark.parametrize("shape", [(3072,), (2, 4, 4), (3, 0, 4)])
def test_invalid_image_shapes(shape):
    with pytest.raises(
        ValueError, match=r"^read_images: shape=.*; expected (a tuple of 3|at least 1|\(C, H, W\) with C of 1 or 3)"
    ):
        read_images("a.png", shape)


def test_a_data_set_says_how_its_inputs_were_made():
    plain, told = (data_utils.get_shapes_data(20, 5, 5, preprocessing=wanted) for wanted in (False, True))
    assert list(told) == [*plain, "mean_image", "scale", "class_names"]
    assert told["mean_image"].shape == (3, 32, 32)
    assert told["class_names"].tolist() == list(data_utils.SHAPES_CLASSES)
    pixels = data_utils.get_shapes_data(20, 5, 5, subtract_mean=False)["X_test"] * 64
    actual = data_utils.splits.inputs(
        np.rint(pixels).astype(np.uint8), told["mean_image"], told["scale"], np.dtype("f4")
    )
    np.testing.assert_array_equal(actual, plain["X_test"])

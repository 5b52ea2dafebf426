"""Features of images, compared with direct loops over pixels, with matplotlib's hues and SciPy's filter."""

import colorsys
import functools
import math

import matplotlib.colors
import numpy as np
import pytest
import scipy.ndimage

from fastnn import features
from fastnn.features import color_histogram_hsv, extract_features, hog_feature, rgb2gray

DTYPES = [np.uint8, np.float32, np.float64]


def draw(*shape, dtype=np.float64, seed=0):
    """Images of whole pixels from 0 to 255."""
    return np.random.default_rng(seed).integers(0, 256, shape).astype(dtype)


def hog_by_loops(gray):
    """The histograms, a pixel at a time; rows and columns are multiples of 8."""
    H, W = gray.shape
    histograms = np.zeros((W // 8, H // 8, 9))
    for i in range(H):
        for j in range(W):
            gx = gray[i, j + 1] - gray[i, j] if j + 1 < W else 0.0
            gy = gray[i + 1, j] - gray[i, j] if i + 1 < H else 0.0
            angle = math.atan2(gy, gx + 1e-15) * (180 / math.pi) + 90
            if 0 < angle < 180:
                histograms[j // 8, i // 8, int(angle // 20)] += math.hypot(gx, gy) / 64
    return histograms.ravel()


def hog_by_filters(gray):
    """The means over cells as values of a uniform filter of 8 x 8 pixels, at the centres of the cells."""
    gx, gy = np.zeros_like(gray), np.zeros_like(gray)
    gx[:, :-1], gy[:-1] = gray[:, 1:] - gray[:, :-1], gray[1:] - gray[:-1]
    angles = np.degrees(np.arctan2(gy, gx + 1e-15)) + 90
    parts = [
        scipy.ndimage.uniform_filter(np.hypot(gx, gy) * ((angles >= low) & (angles < low + 20) & (angles > 0)), 8)
        for low in range(0, 180, 20)
    ]
    return np.stack(parts, axis=-1)[4::8, 4::8].swapaxes(0, 1).ravel()


def hues_by_loops(image, nbin, xmin=0.0, xmax=255.0):
    """The numbers of pixels with hues in each bin."""
    counts = np.zeros(nbin, int)
    for pixel in image.reshape(-1, 3):
        hue = colorsys.rgb_to_hsv(*(float(value) / xmax for value in pixel))[0] * xmax
        place = (hue - xmin) / (xmax - xmin) * nbin
        if 0 <= place <= nbin:
            counts[min(int(place), nbin - 1)] += 1
    return counts


# ---- HOG ----


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(32, 32, 3), (16, 24, 3), (8, 8, 4), (32, 32)])
def test_hog_against_loops_and_filters(shape, dtype):
    image = draw(*shape, dtype=dtype)
    wide = image.astype(np.float64)
    gray = wide if wide.ndim == 2 else 0.299 * wide[..., 0] + 0.587 * wide[..., 1] + 0.144 * wide[..., 2]
    actual = hog_feature(image)
    assert (actual.shape, actual.dtype) == ((shape[0] // 8 * (shape[1] // 8) * 9,), np.float64)
    np.testing.assert_allclose(actual, hog_by_loops(gray), rtol=0, atol=1e-11)
    np.testing.assert_allclose(actual, hog_by_filters(gray), rtol=0, atol=1e-11)


def test_hog_of_slopes_worked_by_hand():
    """Angles of whole degrees: a slope along x has 90, one along -x has 270, which does not count."""
    ramp = np.tile(np.arange(8.0), (8, 1))
    expected = np.zeros(9)
    expected[4] = 7 / 8  # magnitude 1 in seven of eight columns
    np.testing.assert_allclose(hog_feature(ramp), expected, rtol=1e-15)
    assert not hog_feature(ramp[:, ::-1]).any()
    assert not hog_feature(-1e6 * ramp.T).any()  # along -y: exactly 0 degrees, which does not count
    diagonal = hog_feature(ramp + ramp.T)  # 135 degrees; 90 in the last row, nearly 180 in the last column
    np.testing.assert_allclose(diagonal[[4, 6, 8]], [7 / 64, 49 / 64 * math.sqrt(2), 7 / 64], rtol=1e-15)


def test_angles_below_an_edge_are_in_the_bin_below_it():
    edges = features.WIDTH * np.arange(1, 10)
    assert (np.nextafter(edges, 0) / features.WIDTH).astype(int).tolist() == list(range(9))
    assert (edges / features.WIDTH).astype(int).tolist() == list(range(1, 10))


def test_pixels_beyond_the_last_cell_count_only_in_gradients():
    image = draw(21, 30)
    np.testing.assert_array_equal(hog_feature(image), hog_feature(image[:17, :25]))
    assert hog_feature(image[:16, :24]).tolist() != hog_feature(image).tolist()
    assert hog_feature(image[:7]).shape == (0,)


def test_rgb2gray_has_the_weights_of_the_course():
    gray = rgb2gray(np.array([[[100, 200, 50], [0, 0, 255]]], np.uint8))
    np.testing.assert_allclose(gray, [[154.5, 36.72]], rtol=1e-15)
    assert rgb2gray(np.ones((2, 5), np.float32)).dtype == np.float64


# ---- hues ----


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("nbin", [1, 10, 7])
def test_hues_against_loops_and_matplotlib(dtype, nbin):
    image = draw(20, 30, 3, dtype=dtype)
    image[0] = image[0, :, :1]  # gray
    image[1, :, 1:] = 0  # red, with hue 0
    image[2] = 0
    counts = color_histogram_hsv(image, nbin=nbin, normalized=False) / (255 / nbin)
    hues = matplotlib.colors.rgb_to_hsv(image / 255)[..., 0] * 255
    np.testing.assert_allclose(counts, np.histogram(hues, np.linspace(0, 255, nbin + 1))[0], rtol=1e-13)
    if dtype != np.float32:  # which decides about hues on the edge of a bin
        np.testing.assert_allclose(counts, hues_by_loops(image, nbin), rtol=1e-13)
    actual = color_histogram_hsv(image, nbin)
    assert (actual.shape, actual.dtype) == ((nbin,), np.float64)
    np.testing.assert_allclose(actual, counts / 600, rtol=1e-13)


def test_the_range_of_the_histogram():
    image = draw(20, 30, 3) / 255
    actual = color_histogram_hsv(image, 5, xmin=0.25, xmax=1.0)
    counts = hues_by_loops(image, 5, 0.25, 1.0)
    np.testing.assert_allclose(actual, counts / counts.sum(), rtol=1e-13)
    assert color_histogram_hsv(np.zeros((4, 4, 3)), 5, xmin=10).tolist() == [0] * 5  # no hue in the range
    assert color_histogram_hsv(np.zeros((4, 4, 3)), 5).tolist() == [1, 0, 0, 0, 0]


def test_hues_worked_by_hand():
    image = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 0, 1]]])  # 0, 85, 170, almost 255
    assert color_histogram_hsv(image, 4).tolist() == [0.25, 0.25, 0.25, 0.25]
    assert color_histogram_hsv(image, 2, normalized=False).tolist() == [255, 255]


# ---- all images ----


@pytest.mark.parametrize("dtype", DTYPES)
def test_all_images_at_once_give_the_features_of_each(monkeypatch, dtype):
    monkeypatch.setattr(features, "BLOCK", 7)
    monkeypatch.setattr(features, "TOGETHER", 3)
    images = draw(10, 16, 16, 3, dtype=dtype)
    histogram = functools.partial(color_histogram_hsv, nbin=6)
    functions = [
        hog_feature,
        histogram,
        lambda image: color_histogram_hsv(image, nbin=3),
        color_histogram_hsv,
        np.ravel,
    ]
    actual = extract_features(images, functions)
    expected = [np.concatenate([one(image) for one in functions]) for image in images]
    assert actual.dtype == np.float64
    np.testing.assert_allclose(actual, expected, rtol=1e-13, atol=1e-12)


def test_gray_images_with_and_without_an_axis_of_length_1():
    images = draw(5, 16, 8)
    expected = [hog_feature(image) for image in images]
    for given in (images, images[..., None]):
        np.testing.assert_allclose(extract_features(given, [hog_feature]), expected, rtol=1e-13, atol=1e-12)
        assert extract_features(given, [lambda image: np.array(image.shape)]).tolist() == [[16, 8]] * 5


def test_progress_is_printed_after_every_block(monkeypatch, capsys):
    monkeypatch.setattr(features, "BLOCK", 3)
    images = draw(7, 8, 8, 3)
    extract_features(images, [hog_feature])
    assert capsys.readouterr().out == ""
    extract_features(images, [hog_feature], verbose=True)
    lines = [f"Done extracting features for {count} / 7 images" for count in (3, 6)]
    assert capsys.readouterr().out.splitlines() == lines


def test_progress_is_printed_every_1000_images():
    assert features.BLOCK == 1000


def test_no_images_and_no_functions():
    assert extract_features(np.empty((0, 8, 8, 3)), [hog_feature]).shape == (0, 0)
    assert extract_features(draw(3, 8, 8, 3), []).shape == (3, 0)


def test_inputs_are_not_modified():
    images = draw(3, 8, 8, 3)
    before = images.copy()
    extract_features(images, [hog_feature, color_histogram_hsv])
    np.testing.assert_array_equal(images, before)


ERRORS = [
    (np.ones((2, 3, 8, 8, 3)), [hog_feature], r"extract_features: imgs.shape = .* has 5 axes; expected \(N, H, W, C\)"),
    (np.ones((2, 8, 8, 3)), [lambda image: image[0]], r"extract_features: .* the shape \(8, 3\); expected \(F,\)"),
    (np.ones((2, 8, 8, 2)), [hog_feature], r"hog_feature: im.shape = \(8, 8, 2\) is not an image"),
    (np.ones((2, 8, 8, 4)), [color_histogram_hsv], r"color_histogram_hsv: im.shape = \(8, 8, 4\) is not a colour"),
    (-np.ones((2, 8, 8, 3)), [color_histogram_hsv], "color_histogram_hsv: im ranges from -1.0 to -1.0; expected"),
]


@pytest.mark.parametrize(("imgs", "functions", "message"), ERRORS)
def test_errors(imgs, functions, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        extract_features(imgs, functions)


@pytest.mark.parametrize("block", [2, 4])
def test_every_image_has_as_many_features(monkeypatch, block):
    monkeypatch.setattr(features, "BLOCK", block)
    lengths = iter([3, 3, 4, 4])
    with pytest.raises(ValueError, match=r"^extract_features: .* returns 4 features for an image, and 3 for another"):
        extract_features(np.ones((4, 8, 8, 3)), [lambda image: np.ones(next(lengths))])

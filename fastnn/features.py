"""Features of images: histograms of oriented gradients (HOG) and of hues, as in CS231n.

    features = extract_features(X_train, [hog_feature, functools.partial(color_histogram_hsv, nbin=10)])

Images are arrays (H, W, 3) of RGB pixels, usually from 0 to 255.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from fastnn import arguments
from fastnn.kernels.dispatch import signatures, validation
from fastnn.output.streams import say

__all__ = ["color_histogram_hsv", "extract_features", "hog_feature", "rgb2gray"]

BLOCK = 1000  # images after which progress is printed
TOGETHER = 32  # images whose features are computed at a time, so that they stay in the cache
CELL = 8  # rows and columns of a cell
ORIENTATIONS = 9
WIDTH = 180 / ORIENTATIONS  # of a bin, in degrees
GRAY = (0.299, 0.587, 0.144)  # the course's weights; those of ITU-R BT.601 end with 0.114


@signatures.checked
def extract_features(imgs: Any, feature_fns: Iterable[Callable], verbose: bool = False) -> np.ndarray:
    """Compute the features of N images: (N, F) float64, the features of all functions next to one another.

    imgs: (N, H, W, C) of any real dtype, or (N, H, W)
    feature_fns: functions of one image, whose axes of length 1 are removed, that return features (F_i,)
    verbose: print a line after every 1000 images

    `hog_feature` and `color_histogram_hsv`, also as functools.partial, compute many images at once; other functions,
    and a lambda around one of these, are called for each image.
    Returns (0, 0) for no images. Raises ValueError if a function does not return the same number of features for each
    image, TypeError for arguments of another type.
    """
    function = "extract_features"
    imgs = arguments.real(function, "imgs", imgs)
    if imgs.ndim not in (3, 4):
        raise ValueError(
            f"{function}: imgs.shape = {imgs.shape} has {imgs.ndim} axes; expected (N, H, W, C) or (N, H, W); "
            f"pass imgs[None] for a single image"
        )
    functions = arguments.callbacks(function, "feature_fns", feature_fns)
    verbose = validation.flag(function, "verbose", verbose)
    if not len(imgs) or not functions:
        return np.zeros((len(imgs), 0))
    blocks: list[np.ndarray] = []
    for first in range(0, len(imgs), BLOCK):
        block = imgs[first : first + BLOCK]
        block = block.reshape(len(block), *block[0].squeeze().shape)
        blocks.append(np.hstack([_of_block(one, block) for one in functions]))
        if blocks[-1].shape[1] != blocks[0].shape[1]:
            raise ValueError(_unequal(blocks[-1].shape[1], blocks[0].shape[1]))
        if verbose and len(block) == BLOCK:
            say(f"Done extracting features for {first + BLOCK} / {len(imgs)} images")
    return np.vstack(blocks)


@signatures.checked
def hog_feature(im: Any) -> np.ndarray:
    """Return the histograms of oriented gradients of an image: (F,) float64.

    im (H, W, 3): RGB image, or (H, W) if it is gray

        gx[i, j] = gray[i, j+1] - gray[i, j],    gy[i, j] = gray[i+1, j] - gray[i, j],    0 in the last column or row
        angle = arctan2(gy, gx + 1e-15) in degrees + 90

    For each cell of 8 x 8 pixels and each of the nine bins [0, 20), [20, 40), ..., [160, 180) of angles, the feature is
    the mean over the cell of the magnitude sqrt(gx^2 + gy^2) of those gradients whose angle is in the bin. As in the
    course, other angles do not count, nor does exactly 0. F = (W // 8) * (H // 8) * 9, in this order; pixels beyond the
    last whole cell only count in gradients.
    The computation is in float64. Raises ValueError for another shape, TypeError for other dtypes.
    Source: Dalal & Triggs, Histograms of oriented gradients for human detection (2005), as simplified in CS231n.
    """
    function = "hog_feature"
    im = arguments.real(function, "im", im)
    if im.ndim not in (2, 3) or (im.ndim == 3 and im.shape[2] < 3):
        raise ValueError(
            f"{function}: im.shape = {im.shape} is not an image; expected (H, W, 3), or (H, W) for a gray image; "
            f"pass one image, with the colours on the last axis"
        )
    return _hog(im[None])[0]


@signatures.checked
def color_histogram_hsv(
    im: Any, nbin: int = 10, xmin: float = 0, xmax: float = 255, normalized: bool = True
) -> np.ndarray:
    """Return the histogram of the hues of an image: (nbin,) float64.

    im (H, W, 3): RGB image
    xmin, xmax: range of the histogram, on the scale of hues from 0 to xmax; xmax is also the largest value of a pixel
    nbin: number of bins of equal width
    normalized: True: fractions of the pixels in the range; False: counts times the width of a bin, as in the course

    The hue of a pixel is that of HSV: 0 is red, xmax/3 green, 2/3 * xmax blue; gray pixels have hue 0. It is computed
    in float32 if the pixels are float32, else in float64. Without pixels in the range, all bins are 0.
    Raises ValueError for another shape, and for pixels below 0 or above xmax; TypeError for other dtypes.
    Source: Smith, Color gamut transform pairs (1978), the hexcone model.
    """
    im = arguments.real("color_histogram_hsv", "im", im)
    return _hue_histogram(im[None], **_histogram_options(nbin, xmin, xmax, normalized))[0]


@signatures.checked
def rgb2gray(rgb: Any) -> np.ndarray:
    """Return 0.299 * R + 0.587 * G + 0.144 * B of RGB pixels, in float64: (...).

    rgb (..., 3): pixels; further channels are ignored
    The weights are the course's. Raises ValueError for fewer than three channels.
    """
    function = "rgb2gray"
    rgb = arguments.real(function, "rgb", rgb)
    if rgb.ndim == 0 or rgb.shape[-1] < 3:
        raise ValueError(
            f"{function}: rgb.shape = {rgb.shape} has fewer than three channels; expected (..., 3); put the colours on "
            f"the last axis"
        )
    return np.dot(rgb[..., :3].astype(np.float64, copy=False), GRAY)


# ---- blocks of images ----


def _of_block(function: Callable, images: np.ndarray) -> np.ndarray:
    """Return the features (N, F) of images (N, ...) by a function of one image."""
    inner, options = function, {}
    if isinstance(function, functools.partial) and not function.args:
        inner, options = function.func, function.keywords
    if inner is hog_feature and not options and (images.ndim == 3 or (images.ndim == 4 and images.shape[3] >= 3)):
        return _together(_hog, images)
    if inner is color_histogram_hsv and "im" not in options:
        return _together(functools.partial(_hue_histogram, **_histogram_options(**options)), images)
    features: list[np.ndarray] = []
    for image in images:
        found = np.asarray(function(image))
        if found.ndim != 1:
            raise ValueError(
                f"extract_features: feature_fns contains a function that returns the shape {found.shape}; expected "
                f"(F,), one-dimensional; flatten it with .ravel()"
            )
        if features and found.size != features[0].size:
            raise ValueError(_unequal(found.size, features[0].size))
        features.append(found)
    return np.array(features, np.float64)


def _together(function: Callable, images: np.ndarray) -> np.ndarray:
    """Return the features (N, F) by a function of several images."""
    return np.vstack([function(images[first : first + TOGETHER]) for first in range(0, len(images), TOGETHER)])


def _hog(images: np.ndarray) -> np.ndarray:
    """Return the HOG features (N, F) of images (N, H, W, C) or (N, H, W)."""
    gray = rgb2gray(images) if images.ndim == 4 else images.astype(np.float64, copy=False)
    gx, gy = np.zeros_like(gray), np.zeros_like(gray)
    with np.errstate(all="ignore"):  # NaN and infinity propagate
        np.subtract(gray[:, :, 1:], gray[:, :, :-1], out=gx[:, :, :-1])
        np.subtract(gray[:, 1:], gray[:, :-1], out=gy[:, :-1])
        magnitudes = np.sqrt(gx**2 + gy**2)
        angles = np.arctan2(gy, gx + 1e-15) * (180 / np.pi) + 90
        bins = (angles / WIDTH).astype(np.intp)  # a quotient is never rounded up to a whole number
    N, rows, columns = len(gray), gray.shape[1] // CELL, gray.shape[2] // CELL
    inside = slice(None), slice(rows * CELL), slice(columns * CELL)
    magnitudes, angles, bins = magnitudes[inside], angles[inside], bins[inside]
    cells = np.arange(columns * CELL) // CELL * rows + (np.arange(rows * CELL) // CELL)[:, None]
    places = (np.arange(N)[:, None, None] * (rows * columns) + cells) * ORIENTATIONS + bins
    counted = (angles > 0) & (angles < 180)
    length = rows * columns * ORIENTATIONS
    sums = np.bincount(places[counted], magnitudes[counted], N * length)
    return sums.reshape(N, length) / CELL**2


def _hue_histogram(images: np.ndarray, nbin: int, xmin: float, xmax: float, normalized: bool) -> np.ndarray:
    """Return the histograms (N, nbin) of the hues of images (N, H, W, 3)."""
    function = "color_histogram_hsv"
    if images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(
            f"{function}: im.shape = {images.shape[1:]} is not a colour image; expected (H, W, 3); pass one image, "
            f"with the colours on the last axis"
        )
    if images.size and (images.min() < 0 or images.max() > xmax):
        raise ValueError(
            f"{function}: im ranges from {images.min()} to {images.max()}; expected pixels from 0 to xmax={xmax:g}; "
            f"pass the image before its mean is subtracted, or its largest possible value as xmax"
        )
    edges = np.linspace(xmin, xmax, nbin + 1)
    hues = _hues(*(channel / xmax for channel in np.moveaxis(images, 3, 0))) * xmax
    bins = np.searchsorted(edges, hues, side="right") - 1
    bins[hues == edges[-1]] = nbin - 1
    counted = (bins >= 0) & (bins < nbin)
    places = np.arange(len(images))[:, None, None] * nbin + bins
    counts = np.bincount(places[counted], minlength=len(images) * nbin).reshape(len(images), nbin)
    if not normalized:
        return counts * np.diff(edges)
    return counts / np.maximum(1, counts.sum(axis=1, keepdims=True))


def _hues(red: np.ndarray, green: np.ndarray, blue: np.ndarray) -> np.ndarray:
    """Return the hues of pixels, from 0 to 1; 0 for gray ones."""
    largest = np.maximum(np.maximum(red, green), blue)
    spread = largest - np.minimum(np.minimum(red, green), blue)
    divisor = np.where(spread > 0, spread, 1)
    hue = np.where(red == largest, (green - blue) / divisor, 0)
    hue = np.where(green == largest, 2 + (blue - red) / divisor, hue)
    hue = np.where(blue == largest, 4 + (red - green) / divisor, hue)
    return np.where(spread > 0, hue / 6 % 1, 0).astype(red.dtype, copy=False)


# ---- checks ----


def _histogram_options(nbin: Any = 10, xmin: Any = 0, xmax: Any = 255, normalized: Any = True) -> dict[str, Any]:
    """Check the options of `color_histogram_hsv`."""
    function = "color_histogram_hsv"
    xmax = validation.number(function, "xmax", xmax, above=0)
    return {
        "nbin": arguments.length(function, "nbin", nbin),
        "xmin": validation.number(function, "xmin", xmin, below=xmax),
        "xmax": xmax,
        "normalized": validation.flag(function, "normalized", normalized),
    }


def _unequal(count: int, first: int) -> str:
    return (
        f"extract_features: feature_fns contains a function that returns {count} features for an image, and {first} "
        f"for another one; expected as many for each; pass images of one size to it"
    )

"""Plots of the features and reconstructions of an autoencoder."""

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import arguments
from fastnn.kernels.dispatch import signatures, validation

from . import figures
from .weights import first_layer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_GAP = 1  # white pixels between two tiles


@figures.drawing()
@signatures.checked
def show_autoencoder_features(
    model: Any, path: str | os.PathLike | None = None, image_shape: Sequence[int] | None = None
) -> "Figure":
    """Draw the image that maximally activates each hidden unit, in a grid (a square if H is a square number).

    That image is proportional to the unit's weights. Their mean is subtracted, as from the images, and the result is
    scaled so that 0 is grey and the weight of largest magnitude is black or white.

    model: an object with `params["W1"]`, or W1 (D, H) itself
    path: file to which the figure is saved, in the format of its suffix; None: it is not
    image_shape: (h, w) of the D inputs, by default a square
    Returns the Figure.
    Raises ValueError or TypeError for invalid arrays, or if D pixels do not form such an image.
    Source: Ng, Sparse autoencoder, CS294A lecture notes (2011), section 4.
    """
    path = arguments.path_or_none("show_autoencoder_features", "path", path)
    function = "show_autoencoder_features"
    weights = first_layer(function, model)
    (weights,) = validation.floats(function, W1=(weights, "D H"))
    validation.not_empty(function, "W1", weights)
    shape = _shape(function, "W1", len(weights), image_shape)
    features = weights.T - weights.T.mean(axis=1, keepdims=True)
    peaks = np.abs(features).max(axis=1, keepdims=True)
    features = 0.5 + 0.5 * features / np.where(peaks > 0, peaks, 1)
    columns = math.isqrt(len(features) - 1) + 1
    return _draw(_tiles(features.reshape(-1, *shape), columns), f"{len(features)} hidden units", path)


@figures.drawing()
@signatures.checked
def show_reconstructions(
    X: Any,
    reconstructed: Any,
    path: str | os.PathLike | None = None,
    count: int = 10,
    image_shape: Sequence[int] | None = None,
) -> "Figure":
    """Draw the first `count` images above their reconstructions, each pair scaled together from black to white.

    X, reconstructed (N, D): images and the results of `reconstruct`
    path: file to which the figure is saved, in the format of its suffix; None: it is not
    count: number of images
    image_shape: (h, w) of the D pixels, by default a square
    Returns the Figure.
    Raises ValueError or TypeError for invalid arrays, or if D pixels do not form such an image.
    """
    path = arguments.path_or_none("show_reconstructions", "path", path)
    function = "show_reconstructions"
    X, reconstructed = validation.floats(function, X=(X, "N D"), reconstructed=(reconstructed, "N D"))
    validation.not_empty(function, "X", X)
    shown = min(validation.integer(function, "count", count, minimum=1), len(X))
    shape = _shape(function, "X", X.shape[1], image_shape)
    pairs = np.stack((X[:shown], reconstructed[:shown]))  # (2, shown, D)
    low, high = pairs.min(axis=(0, 2), keepdims=True), pairs.max(axis=(0, 2), keepdims=True)
    pairs = (pairs - low) / np.where(high > low, high - low, 1)
    return _draw(_tiles(pairs.reshape(2 * shown, *shape), shown), "above: images; below: reconstructions", path)


def _shape(function: str, name: str, pixels: int, image_shape: Sequence[int] | None) -> tuple[int, int]:
    side = math.isqrt(pixels)
    height, width = (side, side) if image_shape is None else validation.pair(function, "image_shape", image_shape, 1)
    if height * width != pixels:
        raise ValueError(
            f"{function}: {name} has {pixels} pixels, which do not form an image of {height} x {width}; expected "
            f"{'a square' if image_shape is None else 'height times width'}; pass image_shape=(height, width)"
        )
    return height, width


def _tiles(images: np.ndarray, columns: int) -> np.ndarray:
    """Arrange images (N, h, w), values 0 to 1, in rows of `columns` on white."""
    N, h, w = images.shape
    rows = -(-N // columns)
    canvas = np.ones((rows * (h + _GAP) - _GAP, columns * (w + _GAP) - _GAP))
    for n in range(N):
        top, left = n // columns * (h + _GAP), n % columns * (w + _GAP)
        canvas[top : top + h, left : left + w] = images[n]
    return canvas


def _draw(canvas: np.ndarray, title: str, path: str | os.PathLike | None) -> "Figure":
    width = 4.8 if canvas.shape[1] <= 2 * canvas.shape[0] else 9.6
    figure = figures.new(width, width * canvas.shape[0] / canvas.shape[1] + 0.3)
    axes = figure.subplots()
    figures.draw_image(axes, canvas[..., None])
    axes.set_title(title, loc="left", fontsize=11, color=figures.INK)
    return figures.finish(figure, path)

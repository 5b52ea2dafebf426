"""Arrangements of images: the course's grid, a mosaic, samples of each class."""

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import arguments
from fastnn.kernels.dispatch import signatures, validation

from . import figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@signatures.checked
def visualize_grid(Xs: Any, ubound: float = 255.0, padding: int = 1) -> np.ndarray:
    """Arrange images in a square grid, each scaled to the range from 0 to `ubound`.

    Xs (N, H, W, C): images, channels last, any numbers
    ubound: the largest value
    padding: number of black pixels between images
    Returns the grid (G*H + (G-1)*padding, G*W + (G-1)*padding, C), float64, with G = ceil(sqrt(N)). Empty cells, and
    images whose pixels are all equal, are 0.
    Raises ValueError or TypeError for an array of another shape or dtype.
    """
    function = "visualize_grid"
    (Xs,) = validation.floats(function, Xs=(Xs, "N H W C"))
    ubound = validation.number(function, "ubound", ubound)
    padding = validation.integer(function, "padding", padding, minimum=0)
    N, H, W, C = Xs.shape
    size = math.isqrt(N - 1) + 1 if N else 0
    validation.fits(function, "padding", padding, (size * padding) ** 2)
    grid = np.zeros((max(0, size * (H + padding) - padding), max(0, size * (W + padding) - padding), C))
    for n in range(N if H * W * C else 0):
        top, left = n // size * (H + padding), n % size * (W + padding)
        grid[top : top + H, left : left + W] = ubound * rescaled(Xs[n])
    return grid


def rescaled(image: np.ndarray) -> np.ndarray:
    """Scale numbers to the range from 0 to 1; all 0 if they are equal."""
    low, high = image.min(), image.max()
    return (image - low) / (high - low) if low != high else np.zeros_like(image)


def mosaic(images: np.ndarray, padding: int) -> np.ndarray:
    """Arrange images (N, H, W, C), each scaled to [0, 1], on white.

    The grid has no empty cells if possible with at most twice as many rows as columns; else it is nearly square.
    """
    N, H, W, C = images.shape
    columns = next(n for n in range(math.isqrt(N), 0, -1) if N % n == 0)
    if 2 * columns * columns < N:
        columns = math.isqrt(N - 1) + 1
    rows = -(-N // columns)
    grid = np.ones((rows * (H + padding) - padding, columns * (W + padding) - padding, C))
    for n in range(N):
        top, left = n // columns * (H + padding), n % columns * (W + padding)
        grid[top : top + H, left : left + W] = rescaled(images[n])
    return grid


@figures.drawing()
@signatures.checked
def show_examples(
    X: Any,
    y: Any,
    class_names: Sequence[str],
    samples_per_class: int = 7,
    path: str | os.PathLike | None = None,
) -> "Figure":
    """Draw the first `samples_per_class` images of each class, one column per class.

    X (N, C, H, W): numbers of any range, scaled together from black to white; also (N, H, W, C) with C of 1 or 3
    y (N,): labels from 0 to len(class_names) - 1
    class_names: names of the classes
    samples_per_class: number of images of each
    path: file to which the figure is saved, in the format of its suffix; None: it is not
    Returns the Figure.
    Raises ValueError if X is empty or has another shape, or a label has no name.
    """
    path = arguments.path_or_none("show_examples", "path", path)
    function = "show_examples"
    (X,) = validation.floats(function, X=(X, "N A B C"))
    class_names = arguments.strings(function, "class_names", class_names)
    labels = validation.labels(function, "y", y, len(X), len(class_names))
    count = validation.integer(function, "samples_per_class", samples_per_class, minimum=1)
    picked = [np.flatnonzero(labels == label)[:count] for label in range(len(class_names))]
    rows = max(map(len, picked), default=0)
    if not rows:
        raise ValueError(f"{function}: X.shape = {X.shape} is empty; expected at least one image; pass images")
    images = X if X.shape[1] not in (1, 3) else X.transpose(0, 2, 3, 1)
    if images.shape[3] not in (1, 3):
        raise ValueError(
            f"{function}: X.shape = {X.shape} does not contain images; expected (N, C, H, W) or (N, H, W, C), C "
            f"of 1 or 3; reshape X to that"
        )
    everything = images[np.concatenate(picked)]
    low, high = np.nanmin(everything), np.nanmax(everything)
    figure = figures.new(0.95 * len(class_names), 0.95 * rows + 0.25)
    columns = figure.subplots(rows, len(class_names), squeeze=False)
    for label, name in enumerate(class_names):
        columns[0, label].set_title(name, fontsize=9, color=figures.INK, pad=4)
        for row in range(rows):
            axes = columns[row, label]
            axes.set_axis_off()
            if row < len(picked[label]):
                figures.draw_image(axes, (images[picked[label][row]] - low) / ((high - low) or 1))
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02)
    return figures.finish(figure, path)

"""The data set `shapes`: generated 3 x 32 x 32 images in ten classes, which need no download.

Each image shows one shape of random position, size, rotation and colour on a shaded background with specks and noise.
The shape is brighter or darker than the background with equal probability, so that the mean image of every class is
the same grey: a linear classifier reaches an accuracy of at most 0.24, while a convolutional network detects edges.

Shapes are drawn from their signed distance functions (negative inside; Quilez, 2D distance functions): the fraction of
a pixel that a shape covers is 1/2 minus the signed distance of the pixel's centre, clipped to [0, 1].
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn import arguments
from fastnn import rng as random
from fastnn.kernels.dispatch import signatures
from fastnn.kernels.dispatch import validation as checks

from . import splits

SIZE = 32  # rows and columns of an image
SCALE = 1 / 64  # gives pixels from 0 to 255 a standard deviation near 1
_BLOCK = 250  # images per block; saves memory, and makes a larger set begin with the same images


@signatures.checked
def get_shapes_data(
    num_training: int = 8000,
    num_validation: int = 1000,
    num_test: int = 1000,
    *,
    seed: Any = 0,
    subtract_mean: bool = True,
    dtype: Any = np.float32,
    preprocessing: bool = False,
) -> dict[str, np.ndarray]:
    """Generate the data set, as the dict that Solver takes, like `get_CIFAR10_data`.

    num_training, num_validation, num_test: images of each set; the ten classes are equally frequent
    seed: the same seed gives the same images, and a larger set begins with those of a smaller one; None draws from
        NumPy's global state, a `np.random.Generator` from itself
    subtract_mean: subtract the mean image of the training images from all three sets
    dtype: float32 or float64
    preprocessing: also return mean_image, scale and class_names, which a Solver saves for `fastnn predict`
    Returns X_train, y_train, X_val, y_val, X_test, y_test: images (N, 3, 32, 32), C-contiguous, pixels from 0 to 255
    minus the mean, divided by 64; labels (N,) int64, with the names in SHAPES_CLASSES.
    Raises ValueError or TypeError for an invalid number, seed or dtype.
    """
    function = "get_shapes_data"
    counts = (
        checks.integer(function, "num_training", num_training, 1),
        checks.integer(function, "num_validation", num_validation, 0),
        checks.integer(function, "num_test", num_test, 0),
    )
    for name, count in zip(("num_training", "num_validation", "num_test"), counts, strict=True):
        checks.fits(function, name, count, count * 3 * SIZE * SIZE)
    dtype, subtract_mean = arguments.dtype(function, dtype), checks.flag(function, "subtract_mean", subtract_mean)
    preprocessing = checks.flag(function, "preprocessing", preprocessing)
    source = random.generator(seed)
    seeds = [int(source.uniform(0, 2**53)) for _ in counts]
    training, validation, test = (
        _generate(np.random.default_rng(child), count) for child, count in zip(seeds, counts, strict=True)
    )
    class_names = SHAPES_CLASSES if preprocessing else None
    return splits.dictionary(training, validation, test, subtract_mean, dtype, SCALE, class_names)


def _generate(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (count, 3, 32, 32) uint8 and labels (count,) int64."""
    images = np.empty((count, 3, SIZE, SIZE), np.uint8)
    labels = np.empty(count, np.int64)
    for start in range(0, count, _BLOCK):
        block, kinds = _draw_block(rng)
        images[start : start + _BLOCK] = block[: count - start]
        labels[start : start + _BLOCK] = kinds[: count - start]
    return images, labels


def _draw_block(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    labels = rng.permutation(np.arange(_BLOCK) % len(_SHAPES))
    axis = np.arange(SIZE, dtype=np.float32) - (SIZE - 1) / 2
    x, y = axis[None, None, :], axis[None, :, None]  # in pixels from the centre of the image, y downwards

    sign = rng.choice([-1.0, 1.0], _BLOCK)
    grey, contrast = rng.uniform(85, 170, _BLOCK), sign * rng.uniform(35, 75, _BLOCK)
    background, foreground = _tinted(rng, grey - contrast), _tinted(rng, grey + contrast)

    images = background + _shading(rng, x, y)[:, None]
    for _ in range(4):
        images += _speck(rng, x, y)
    images += _coverage(rng, labels, x, y)[:, None] * (foreground - images)
    images += 10 * rng.standard_normal(images.shape, dtype=np.float32)
    return np.rint(np.clip(images, 0, 255)).astype(np.uint8), labels


def _coverage(rng: np.random.Generator, labels: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The covered fraction (N, 32, 32) of each pixel, for shapes of random position, size and rotation."""
    radius = _column(rng.uniform(8, 11, _BLOCK))  # pixels
    right, down = _column(rng.uniform(-2.5, 2.5, _BLOCK)), _column(rng.uniform(-2.5, 2.5, _BLOCK))
    turn = _column(rng.uniform(-0.4, 0.4, _BLOCK))  # radians
    x, y = (x - right) / radius, (y - down) / radius
    x, y = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    distance = np.empty_like(x)
    for label, shape in enumerate(_SHAPES.values()):
        chosen = labels == label
        distance[chosen] = shape(x[chosen], y[chosen])
    return np.clip(0.5 - distance * radius, 0, 1)


def _tinted(rng: np.random.Generator, grey: np.ndarray) -> np.ndarray:
    """Colours (N, 3, 1, 1) whose mean over the channels is `grey`."""
    tint = rng.uniform(-40, 40, (len(grey), 3))
    return _column(grey[:, None] + tint - tint.mean(axis=1, keepdims=True))


def _shading(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A ramp (N, 32, 32) in a random direction."""
    direction, slope = rng.uniform(0, 2 * np.pi, _BLOCK), rng.uniform(0, 2, _BLOCK)
    return _column(slope * np.cos(direction)) * x + _column(slope * np.sin(direction)) * y


def _speck(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A small spot of colour in each image (N, 3, 32, 32)."""
    right, down = _column(rng.uniform(-16, 16, _BLOCK)), _column(rng.uniform(-16, 16, _BLOCK))
    distance = np.hypot(x - right, y - down) - _column(rng.uniform(0.8, 1.6, _BLOCK))
    return np.clip(0.5 - distance, 0, 1)[:, None] * _column(rng.uniform(-40, 40, (_BLOCK, 3)))


def _column(numbers: np.ndarray) -> np.ndarray:
    """Reshape numbers (...) to float32 (..., 1, 1), to broadcast over the pixels."""
    return numbers[..., None, None].astype(np.float32)


def _disk(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.hypot(x, y) - 0.9


def _ring(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.abs(np.hypot(x, y) - 0.78) - 0.2


def _square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _box(x, y, 0.78, 0.78)


def _frame(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.abs(_box(x, y, 0.68, 0.68)) - 0.17


def _triangle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _polygon(x, y - 0.15, _corners([1.1] * 3))


def _cross(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.minimum(_box(x, y, 0.95, 0.28), _box(x, y, 0.28, 0.95))


def _star(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _polygon(x, y, _corners([1.1, 0.46] * 5))


def _crescent(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(np.hypot(x + 0.1, y) - 0.95, 0.75 - np.hypot(x - 0.4, y))


def _bars(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _box(x, np.minimum(np.abs(y), np.abs(np.abs(y) - 0.68)), 0.9, 0.2)


def _dots(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.minimum(np.hypot(np.abs(x) - 0.55, y - 0.5), np.hypot(x, y + 0.55)) - 0.38


def _box(x: np.ndarray, y: np.ndarray, width: float, height: float) -> np.ndarray:
    """Signed distance from a rectangle with the half sides `width` and `height`."""
    right, down = np.abs(x) - width, np.abs(y) - height
    return np.hypot(np.maximum(right, 0), np.maximum(down, 0)) + np.minimum(np.maximum(right, down), 0)


def _corners(radii: list[float]) -> list[tuple[float, float]]:
    """Corners at these distances from the centre, at equal angles from the top."""
    angles = 2 * np.pi * np.arange(len(radii)) / len(radii)
    return [(radius * np.sin(angle), -radius * np.cos(angle)) for radius, angle in zip(radii, angles, strict=True)]


def _polygon(x: np.ndarray, y: np.ndarray, corners: list[tuple[float, float]]) -> np.ndarray:
    """Signed distance from a polygon; a point is inside if a ray to the left crosses an odd number of edges."""
    squared, is_inside = np.full(x.shape, np.inf, x.dtype), np.zeros(x.shape, bool)
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        along = np.clip(((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / ((x1 - x0) ** 2 + (y1 - y0) ** 2), 0, 1)
        squared = np.minimum(squared, (x - x0 - along * (x1 - x0)) ** 2 + (y - y0 - along * (y1 - y0)) ** 2)
        is_right = (x - x0) * (y1 - y0) > (y - y0) * (x1 - x0)
        is_inside ^= ((y0 <= y) & (y < y1) & is_right) | ((y1 <= y) & (y < y0) & ~is_right)
    return np.where(is_inside, -1, 1) * np.sqrt(squared)


_SHAPES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "disk": _disk,
    "ring": _ring,
    "square": _square,
    "frame": _frame,
    "triangle": _triangle,
    "cross": _cross,
    "star": _star,
    "crescent": _crescent,
    "bars": _bars,
    "dots": _dots,
}
SHAPES_CLASSES = tuple(_SHAPES)

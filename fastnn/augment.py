"""Random augmentation of training images."""

from typing import Any

import numpy as np

from fastnn.kernels import augment
from fastnn.kernels.dispatch import signatures, validation

from . import rng

_LARGEST = 2**30  # pixels, in padding and in cutout: sums of two fit into 32 bits


class Augment:
    """Shift, mirror and partly erase images at random, each image independently.

        solver = Solver(model, data, transform=Augment(padding=4, flip=0.5, cutout=8))

    padding: largest shift in pixels; both shifts, down and across, are uniform on -padding, ..., padding, and pixels
        from outside the image are 0
    flip: probability of mirroring an image left to right
    cutout: side of the square that is set to 0; its centre is a uniformly drawn pixel, so that the square may extend
        beyond the image; for an even side the centre is the pixel below and to the right of the middle
    Nothing is drawn for an option that is 0.
    Raises ValueError or TypeError for values out of range.
    Source: He, Zhang, Ren & Sun, Deep residual learning (2016), section 4.2; DeVries & Taylor, Improved regularization
    of convolutional neural networks with cutout (2017), section 3.
    """

    @signatures.checked
    def __init__(self, padding: int = 0, flip: float = 0.0, cutout: int = 0) -> None:
        self.padding = validation.integer("Augment", "padding", padding, minimum=0, maximum=_LARGEST)
        self.flip = validation.number("Augment", "flip", flip, minimum=0, maximum=1)
        self.cutout = validation.integer("Augment", "cutout", cutout, minimum=0, maximum=_LARGEST)

    @signatures.checked
    def __call__(self, images: Any, generator: Any = None) -> np.ndarray:
        """Return augmented copies of images (N, C, H, W).

        generator: source of random numbers (see `fastnn.rng`); the same state gives the same changes on every backend
        """
        (images,) = validation.floats("Augment", images=(images, "N C H W"))
        return augment.augment_images(images, *self._drawn(images.shape, rng.generator(generator)))

    def _drawn(self, shape: tuple[int, ...], source: Any) -> list[np.ndarray]:
        """Draw the arguments of `augment_images` that follow the images (N, C, H, W)."""
        N, _, H, W = shape
        top, left = (self._offsets(source, N) for _ in range(2))
        flip = source.uniform(size=N) < self.flip if self.flip else np.zeros(N, bool)
        hole_top, hole_left = (self._hole(source, N, length) for length in (H, W))
        return [top, left, flip, hole_top, hole_left, np.full(N, self.cutout)]

    def _offsets(self, source: Any, count: int) -> np.ndarray:
        if not self.padding:
            return np.zeros(count, np.int64)
        return source.choice(2 * self.padding + 1, count) - self.padding

    def _hole(self, source: Any, count: int, length: int) -> np.ndarray:
        """Draw the first row or column of each erased square, on an axis of `length` pixels."""
        if not self.cutout or not length:
            return np.zeros(count, np.int64)
        return source.choice(length, count) - self.cutout // 2

    def __repr__(self) -> str:
        return f"Augment(padding={self.padding}, flip={self.flip}, cutout={self.cutout})"

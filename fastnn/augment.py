"""Random changes of training images that leave their label true."""

from typing import Any

import numpy as np

from fastnn.kernels import augment
from fastnn.kernels.dispatch import signatures, validation

from . import rng

_LARGEST = 2**30  # pixels, in padding and in cutout: sums of two fit into 32 bits


class Augment:
    """Images moved at random, mirrored at random, with a square erased at a random place; each image for itself.

        solver = Solver(model, data, transform=Augment(padding=4, flip=0.5, cutout=8))

    padding: an image moves by -padding to padding pixels down and as many across, each as likely; zeros follow
    flip: the probability that left and right are swapped
    cutout: the side of the square that is set to 0; its centre is any pixel, so that parts of it may lie outside; for
        an even side the centre is the pixel below and to the right of the middle
    With a side of 0, a padding of 0 or a probability of 0 nothing is drawn for it.
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
        """New images (N, C, H, W) made of the given ones, which stay as they are.

        generator: where the changes are drawn from (see `fastnn.rng`); the same state gives the same changes on
            every backend
        """
        (images,) = validation.floats("Augment", images=(images, "N C H W"))
        return augment.augment_images(images, *self._drawn(images.shape, rng.generator(generator)))

    def _drawn(self, shape: tuple[int, ...], source: Any) -> list[np.ndarray]:
        """What `augment_images` is to do with images (N, C, H, W): its arguments after them."""
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
        """Where the squares begin in an axis of so many pixels."""
        if not self.cutout or not length:
            return np.zeros(count, np.int64)
        return source.choice(length, count) - self.cutout // 2

    def __repr__(self) -> str:
        return f"Augment(padding={self.padding}, flip={self.flip}, cutout={self.cutout})"

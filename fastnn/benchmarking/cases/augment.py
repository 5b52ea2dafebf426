"""Augmentation of a batch of images."""

import dataclasses
from typing import Any, ClassVar

import numpy as np

from .base import Arrays, Calls, Case, size

NAMES = ("x", "top", "left", "flip", "hole_top", "hole_left", "hole_size")


@dataclasses.dataclass(frozen=True)
class Augmentation(Case):
    """Images (N, C, H, W) shifted by up to four pixels, mirrored, and a square of eight erased. PyTorch has no peer."""

    operation: ClassVar[str] = "augment"
    passes: ClassVar[tuple[str, ...]] = ("forward",)

    x: tuple[int, int, int, int]

    @property
    def function(self) -> str:
        return "augment_images"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"x": self.x}

    def inputs(self, dtype: Any) -> Arrays:
        generator, (N, _, H, W) = np.random.default_rng(1), self.x
        shifts = {name: generator.integers(-4, 5, N) for name in ("top", "left")}
        holes = {"hole_top": generator.integers(0, H, N), "hole_left": generator.integers(0, W, N)}
        flip = generator.random(N) < 0.5
        return {**super().inputs(dtype), **shifts, "flip": flip, **holes, "hole_size": np.full(N, 8)}

    def calls(self, arrays: Arrays) -> Calls:
        from fastnn.kernels.augment import augment_images

        arguments = [arrays[name] for name in NAMES]
        return {"forward": lambda: augment_images(*arguments)}

    def cost(self, direction: str, itemsize: int) -> tuple[float, str]:
        return float(2 * itemsize * size(self.x)), "B/s"

    def tiny(self) -> "Augmentation":
        return dataclasses.replace(self, x=(3, 2, 10, 11))


CASES: tuple[Case, ...] = (Augmentation((128, 3, 32, 32)),)

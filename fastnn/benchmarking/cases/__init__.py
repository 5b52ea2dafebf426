"""What is timed: `CASES`, a table of every operation at the sizes of the courses' networks.

A case gives its inputs, the calls of each pass on the active backend, PyTorch's calls that do the same work where it
has any, what a pass costs, and the tolerance of its values: see `base.Case`. One file for each family of operations.
"""

import dataclasses
from collections.abc import Iterable

import numpy as np

from . import activations, affine, augment, convolution, dropout, fused, l2, losses, normalization, pooling, updates
from .base import Arrays, Calls, Case

FAMILIES = (convolution, fused, pooling, affine, activations, normalization, dropout, losses, l2, updates, augment)

CASES: tuple[Case, ...] = tuple(case for family in FAMILIES for case in family.CASES)

HEADLINE: tuple[Case, ...] = tuple(case for case in CASES if case.headline)


def select(operations: Iterable[str]) -> tuple[Case, ...]:
    """The cases of the operations named, as in `kernels.OPERATIONS`."""
    wanted = set(operations)
    return tuple(case for case in CASES if case.operation in wanted)


def with_images(case: Case, images: int) -> Case:
    """The same case on a batch of another size."""
    return dataclasses.replace(case, x=(images, *case.x[1:]))


def in_float64(arrays: Arrays) -> Arrays:
    """The inputs of a case with every float widened, for the reference result."""
    return {name: array.astype(np.float64) if array.dtype.kind == "f" else array for name, array in arrays.items()}


__all__ = ["CASES", "FAMILIES", "HEADLINE", "Arrays", "Calls", "Case", "in_float64", "select", "with_images"]

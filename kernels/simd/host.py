"""How wide the registers of this CPU are and how many it has: what the shape of a register tile follows from.

A pure function of the CPU that numba compiles for (NUMBA_CPU_NAME and NUMBA_CPU_FEATURES included): numba's cache of
machine code is keyed on exactly that, so a cached kernel never meets a tile of another shape.
"""

import functools
from typing import NamedTuple

import numpy as np
from numba.core.registry import cpu_target


class Tile(NamedTuple):
    """Rows x vectors of accumulators that a kernel keeps in registers, and the lanes of one vector."""

    rows: int
    vectors: int
    lanes: int


@functools.cache
def registers() -> tuple[int, int]:
    """Bytes in a vector register, and the number of these registers."""
    triple, _, features = cpu_target.target_context.codegen().magic_tuple()
    has = {word[1:] for word in features.split(",") if word.startswith("+")}
    if "avx512f" in has:
        return 64, 32
    if triple.startswith(("aarch64", "arm64")):
        return 16, 32
    return (32, 16) if "avx" in has else (16, 16)


def outer_tile(dtype: np.dtype) -> Tile:
    """The tile of `intrinsics.outer_tile`: measured best with 32 and with 16 registers."""
    size, count = registers()
    return Tile(4, 4 if count == 32 else 3, size // dtype.itemsize)


def dot_tile(dtype: np.dtype) -> Tile:
    """The tile of `intrinsics.dot_tile`."""
    size, count = registers()
    return Tile(4, 5, size // dtype.itemsize) if count == 32 else Tile(3, 3, size // dtype.itemsize)

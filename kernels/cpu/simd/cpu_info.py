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


def lanes(dtype: np.dtype) -> int:
    """Elements of a vector register."""
    return registers()[0] // dtype.itemsize


def panel_tile(dtype: np.dtype) -> Tile:
    """The largest tile of `gemm_tiles.panel_tile`; its rows are a power of two."""
    return Tile(8 if registers()[1] == 32 else 4, 3, lanes(dtype))


# Vectors for a number of rows, and the weight of such a tile when one is chosen: with 32 registers, and with 16.
_OUTER = {
    32: {8: (2, 0.96), 6: (4, 0.96), 5: (4, 0.96), 4: (4, 0.95), 3: (6, 0.93), 2: (8, 0.72), 1: (8, 0.37)},
    16: {4: (3, 1.00), 3: (3, 0.90), 2: (5, 0.80), 1: (8, 0.40)},
}
SHORT_SUM = 64
_DOT = {32: {8: (3, 0.96), 6: (4, 0.94), 5: (5, 0.92), 4: (5, 0.92)}, 16: {3: (3, 0.9)}}


def outer_tile(rows: int, terms: int, dtype: np.dtype) -> Tile:
    """The tile of `tiles.outer_tile` that suits a matrix of so many rows, each element of it a sum of so many terms.

    The last block of rows overlaps the one before. Where the sums are short, writing them takes most of the time, and
    a low tile writes longer rows.
    """
    return _best(_OUTER, rows, dtype, at_most=min(rows, 4 if terms < SHORT_SUM else rows))


def dot_tile(rows: int, dtype: np.dtype) -> Tile:
    """The tile of `tiles.dot_tile` that suits a matrix of so many rows, which are rounded up to whole tiles."""
    return _best(_DOT, rows, dtype, at_most=rows + 7)


def outer_vectors(rows: int) -> int:
    """The vectors of an outer tile with this many rows."""
    return _OUTER[registers()[1]].get(rows, (1, 0.0))[0]


def dot_vectors(rows: int) -> int:
    """The vectors of a dot tile with this many rows."""
    return _DOT[registers()[1]].get(rows, (1, 0.0))[0]


def _best(tiles: dict, rows: int, dtype: np.dtype, at_most: int) -> Tile:
    fitting = {height: tile for height, tile in tiles[registers()[1]].items() if height <= at_most}
    best = max(fitting, key=lambda height: fitting[height][1] * rows / (-(-rows // height) * height))
    return Tile(best, fitting[best][0], lanes(dtype))

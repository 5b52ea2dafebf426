"""Width and number of the vector registers of this CPU, and the shapes of register tiles that fit them.

All of it depends only on the CPU that Numba compiles for (NUMBA_CPU_NAME and NUMBA_CPU_FEATURES included), which is
part of the key of cached machine code: a cached kernel always meets tiles of the shape it was compiled for.
"""

import functools
from typing import NamedTuple

import numpy as np
from numba.core.registry import cpu_target

from . import sizes
from .size_model import LONG_SUM


class Tile(NamedTuple):
    """The shape of a register tile: rows x vectors of accumulators, and the lanes of one vector."""

    rows: int
    vectors: int
    lanes: int


@functools.cache
def registers() -> tuple[int, int]:
    """Return the bytes of a vector register and the number of registers."""
    triple, _, features = cpu_target.target_context.codegen().magic_tuple()
    has = {word[1:] for word in features.split(",") if word.startswith("+")}
    if "avx512f" in has:
        return 64, 32
    if triple.startswith(("aarch64", "arm64")):
        return 16, 32
    return (32, 16) if "avx" in has else (16, 16)


def lanes(dtype: np.dtype) -> int:
    """Return the number of elements in a vector register."""
    return registers()[0] // dtype.itemsize


def has_masks() -> bool:
    """Return whether a load can leave out lanes at no cost."""
    return registers()[0] == 64


def panel_tile(dtype: np.dtype) -> Tile:
    """Return the usual tile of `gemm_tiles`; with 32 registers there is one of 6 rows x 4 vectors too."""
    return Tile(8 if registers()[1] == 32 else 4, 3, lanes(dtype))


def has_panel_tile(rows: int, vectors: int) -> bool:
    """Return whether the registers hold the accumulators of this tile, its vectors of the panel and a factor."""
    return rows * vectors + vectors + 1 <= registers()[1]


# By the number of registers: rows of a tile -> (vectors, relative speed, by which `_best` chooses).
_OUTER = {
    32: {8: (3, 0.96), 6: (4, 0.92), 5: (4, 0.90), 4: (4, 0.84), 3: (6, 0.80), 2: (8, 0.72), 1: (8, 0.37)},
    16: {4: (3, 1.00), 3: (3, 0.90), 2: (5, 0.80), 1: (8, 0.40)},
}
_DOT = {32: {8: (3, 0.96), 6: (4, 0.94), 5: (5, 0.92), 4: (5, 0.92)}, 16: {3: (3, 0.9)}}


def outer_tile(rows: int, terms: int, dtype: np.dtype) -> Tile:
    """Return the best tile of `tiles.outer_tile` for a matrix of `rows` rows whose elements are sums of `terms` terms.

    The last block of rows overlaps the previous one. If the sums are short, most of the time goes into writing them,
    and a tile of few rows writes longer runs of memory.
    """
    short_rows = sizes.of_convolution(terms, dtype).short_rows
    return _best(_OUTER, rows, dtype, at_most=min(rows, short_rows if terms < LONG_SUM else rows))


def dot_tile(rows: int, dtype: np.dtype) -> Tile:
    """Return the best tile of `tiles.dot_tile` for a matrix of `rows` rows, rounded up to whole tiles."""
    return _best(_DOT, rows, dtype, at_most=rows + 7)


def outer_vectors(rows: int) -> int:
    """Return the number of vectors of an outer tile with this many rows."""
    return _OUTER[registers()[1]].get(rows, (1, 0.0))[0]


def tail_vectors(rows: int) -> int:
    """Return the number of vectors of the outer tile for the ends of rows: 2 where tiles have 3, else that of all."""
    return 2 if rows == 8 else outer_vectors(rows)


def dot_vectors(rows: int) -> int:
    """Return the number of vectors of a dot tile with this many rows."""
    return _DOT[registers()[1]].get(rows, (1, 0.0))[0]


def _best(tiles: dict, rows: int, dtype: np.dtype, at_most: int) -> Tile:
    fitting = {height: tile for height, tile in tiles[registers()[1]].items() if height <= at_most}
    best = max(fitting, key=lambda height: fitting[height][1] * rows / (-(-rows // height) * height))
    return Tile(best, fitting[best][0], lanes(dtype))

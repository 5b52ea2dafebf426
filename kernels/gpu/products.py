"""Products of matrices on a GPU, twice: plainly, and on tiles. A convolution is one of them.

    out[i, j] = bias + sum_k left[i, k] * right[k, j],    but not below a floor

A matrix is memory and two tables, and element (i, k) lies at outer[i] + terms[k]. So a matrix may be read the other way
round; and the windows of an image are one, of which no copy is made: a window and a place in it add up to an address.

`plain_product` is the definition: a thread computes one output and reads two numbers for two operations. All threads of
a row read the same numbers of the left matrix, all of a column the same of the right one; no memory delivers them so
often.

`tiled_product` reads each number once for a whole tile. The threads of a block fetch a strip of both matrices, DEPTH
terms deep, into memory that they share; then each thread adds the strip to its OWN x OWN outputs, which stay in
registers. A number that was fetched once serves SIDE outputs, and one read from shared memory serves OWN. The threads
wait for one another twice: until a strip is there, and until nobody needs it any more. Where there are few tiles and
long sums, as in a convolution's dw, sums are cut into parts, and `_add_parts` adds these in order: no bit depends on
which of them was done first.

Source: NVIDIA, CUDA C++ Programming Guide, "Shared Memory"; Kerr et al., CUTLASS: Fast Linear Algebra in CUDA C++.
"""

import functools
import os
from typing import Any, NamedTuple

import numpy as np
from numba import float32, float64

from .driver import SIMULATED
from .launch import Kernel, cuda, device, kernel, split
from .memory import to_device, xp
from .reduce import add_up

SIDE, OWN, DEPTH = (4, 2, 4) if SIMULATED else (64, 4, 16)  # outputs along a tile, of a thread; terms of a strip
ACROSS = SIDE // OWN  # threads along a tile
THREADS = ACROSS * ACROSS  # of a block: a multiple of SIDE, so that a thread fetches from one row and one column alone
STRIP, SUMS = SIDE * DEPTH, OWN * OWN
BLOCKS, SHORTEST = (4, 16) if SIMULATED else (512, 512)  # blocks wanted at least; terms of a part at least
INDEX = np.int32
TF32 = "FASTNN_TF32"


class Matrix(NamedTuple):
    """Memory of which element (i, k) lies at outer[i] + terms[k]; both tables int32, on the device."""

    memory: Any
    outer: Any
    terms: Any


@functools.lru_cache(maxsize=1024)
def steps(count: int, step: int = 1) -> Any:
    """The table 0, step, 2 * step and so on, `count` of them."""
    return to_device(np.arange(count, dtype=INDEX) * INDEX(step))


def multiply(left, right, out, bias=None, bias_of=(0, 0), floor=-np.inf):
    """Write left times right into the matrix `out`, whose element (i, j) lies at outer[i] + terms[j].

    bias: memory, of which element bias_of[0]*i + bias_of[1]*j is added; out is not below `floor`, NaN stays
    """
    M, N, K = len(out.outer), len(out.terms), len(left.terms)
    dtype = out.memory.dtype
    biases = (out.memory if bias is None else bias, *bias_of, int(bias is not None))
    CHOSEN(M, N, K, (*left, *right, *biases), (dtype.type(0), dtype.type(floor)), out)


def affine(x, w, b, floor=-np.inf):
    """x @ w + b, not below `floor`."""
    (N, D), M = x.shape, w.shape[1]
    out = xp.empty((N, M), x.dtype)
    matrix = Matrix(out, steps(N, M), steps(M))
    multiply(Matrix(x, steps(N, D), steps(D)), Matrix(w, steps(M), steps(D, M)), matrix, b, (0, 1), floor)
    return out


def affine_gradients(dout, x, w, need_dx):
    """dx (or None), dw and db."""
    (N, M), D = dout.shape, x.shape[1]
    dx, dw, db = xp.empty_like(x) if need_dx else None, xp.empty_like(w), xp.empty(M, x.dtype)
    if need_dx:  # dout @ w.T
        rows = Matrix(dx, steps(N, D), steps(D))
        multiply(Matrix(dout, steps(N, M), steps(M)), Matrix(w, steps(D, M), steps(M)), rows)
    columns = Matrix(dout, steps(M), steps(N, M))
    multiply(Matrix(x, steps(D), steps(N, D)), columns, Matrix(dw, steps(D, M), steps(M)))  # x.T @ dout
    add_up(dout, (N, M, 1), db)
    return dx, dw, db


def plainly(M, N, K, operands, numbers, out):
    """Compute a product with a thread for each output."""
    plain_product(M * N, M, N, K, *operands, *numbers, *out)


def on_tiles(M, N, K, operands, numbers, out):
    """Compute a product with a block of threads for each tile, or for each part of its sums."""
    tile = tile_of(out.memory.dtype)
    columns, tiles = -(-N // tile.wide), -(-M // tile.tall) * -(-N // tile.wide)
    parts = max(1, min(BLOCKS // max(1, tiles), K // SHORTEST))
    if parts == 1:
        tile.kernel.launch(tiles, columns, 1, M, N, K, *operands, *numbers, *out)
        return
    sums, (zero, floor) = xp.empty((parts, M, N), out.memory.dtype), numbers
    no_bias, no_floor = (sums, 0, 0, 0), zero.dtype.type(-np.inf)
    here = sums, steps(M, N), steps(N)
    tile.kernel.launch(tiles * parts, columns, parts, M, N, K, *operands[:6], *no_bias, zero, no_floor, *here)
    _add_parts(M * N, parts, M, N, sums, *operands[6:], floor, *out)


class Tile(NamedTuple):
    """The outputs that a block of threads computes, and how."""

    kernel: Kernel
    tall: int
    wide: int


def tile_of(dtype) -> Tile:
    """The tile for a dtype: on tensor cores where that is allowed."""
    if dtype.itemsize == 4 and uses_tf32():
        from . import tensor_cores

        return Tile(tensor_cores.tensor_product, tensor_cores.TALL, tensor_cores.WIDE)
    return Tile(_TILED[dtype.itemsize], SIDE, SIDE)


def uses_tf32() -> bool:
    """Whether products of float32 matrices may round their factors to TF32: FASTNN_TF32=1."""
    value = os.environ.get(TF32) or "0"
    if value not in ("0", "1"):
        raise ValueError(f"{TF32}: {value!r} is unknown; expected 0 or 1; set one of these, or leave it out for 0")
    return value == "1"


CHOSEN = plainly if SIMULATED else on_tiles  # threads that wait for one another take the simulator longest


@kernel
def plain_product(
    M, N, K, left, left_rows, left_terms, right, right_columns, right_terms, bias, bias_row, bias_column, has_bias,
    zero, floor, out, out_rows, out_columns,
):  # fmt: skip
    place = cuda.grid(1)
    if place < M * N:
        i, j = split(place, N)
        total = bias[i * bias_row + j * bias_column] if has_bias else zero
        for k in range(K):
            total += left[left_rows[i] + left_terms[k]] * right[right_columns[j] + right_terms[k]]
        out[out_rows[i] + out_columns[j]] = floor if total < floor else total


@device
def fetch(memory, outer, terms, first, end, zero, strip, side, pitch, depth, threads):
    """A thread's share of a strip: `depth` terms of one row or column, which begins at `outer`, -1 for none."""
    deep, along = split(cuda.threadIdx.x, side)
    for ahead in range(0, depth, threads // side):
        k = first + ahead + deep
        strip[(ahead + deep) * pitch + along] = memory[outer + terms[k]] if outer >= 0 and k < end else zero


def _tiled_product_of(kind) -> Kernel:
    """The kernel for a dtype: what memory a kernel has of its own must be known when it is compiled."""

    def tiled_product(
        columns, parts, M, N, K, left, left_rows, left_terms, right, right_columns, right_terms, bias, bias_row,
        bias_column, has_bias, zero, floor, out, out_rows, out_columns,
    ):  # fmt: skip
        left_strip = cuda.shared.array(STRIP, kind)
        right_strip = cuda.shared.array(STRIP, kind)
        sums = cuda.local.array(SUMS, kind)
        tile, part = split(cuda.blockIdx.x, parts)
        down, across = split(tile, columns)
        y, x = split(cuda.threadIdx.x, ACROSS)
        along = split(cuda.threadIdx.x, SIDE)[1]
        i, j = down * SIDE + along, across * SIDE + along  # the row and the column that this thread fetches from
        row = left_rows[i] if i < M else -1
        column = right_columns[j] if j < N else -1
        begin, end = split(K * part, parts)[0], split(K * (part + 1), parts)[0]
        for place in range(SUMS):
            sums[place] = zero
        for first in range(begin, end, DEPTH):
            fetch(left, row, left_terms, first, end, zero, left_strip, SIDE, SIDE, DEPTH, THREADS)
            fetch(right, column, right_terms, first, end, zero, right_strip, SIDE, SIDE, DEPTH, THREADS)
            cuda.syncthreads()
            for term in range(DEPTH):
                for a in range(OWN):
                    for b in range(OWN):
                        sums[a * OWN + b] += (
                            left_strip[term * SIDE + y * OWN + a] * right_strip[term * SIDE + x * OWN + b]
                        )
            cuda.syncthreads()
        for a in range(OWN):
            for b in range(OWN):
                i, j = down * SIDE + y * OWN + a, across * SIDE + x * OWN + b
                if i < M and j < N:
                    total = sums[a * OWN + b]
                    if has_bias:
                        total += bias[i * bias_row + j * bias_column]
                    place = part * M * N + out_rows[i] + out_columns[j]
                    out[place] = floor if total < floor else total

    return Kernel(tiled_product, THREADS, kind.name)


_TILED = {4: _tiled_product_of(float32), 8: _tiled_product_of(float64)}  # by the bytes of a number


@kernel
def _add_parts(parts, M, N, sums, bias, bias_row, bias_column, has_bias, floor, out, out_rows, out_columns):
    place = cuda.grid(1)
    if place < M * N:
        i, j = split(place, N)
        total = sums[place]
        for part in range(1, parts):
            total += sums[part * M * N + place]
        if has_bias:
            total += bias[i * bias_row + j * bias_column]
        out[out_rows[i] + out_columns[j]] = floor if total < floor else total

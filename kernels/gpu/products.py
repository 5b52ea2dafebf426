"""Matrix products on a GPU: one thread per output, or on tiles. Convolutions are computed as such products.

    out[i, j] = bias + sum_k left[i, k] * right[k, j],    but at least floor

A matrix is memory and two tables of offsets: element (i, k) is at outer[i] + terms[k]. That covers transposed matrices,
and the matrix of an image's windows (im2col) without copying it: the address of an element is the offset of its window
plus the offset within the window.

`plain_product` is the definition: a thread computes one output and reads two numbers for every two operations, so
memory bandwidth is the limit.

On tiles each number is read once for a whole tile. The threads of a block load a strip of both matrices, a few terms
deep, into shared memory; then each thread adds the products of the strip to its outputs, which stay in registers: see
`tiles`, `thin_tiles` for matrices of few rows, and `tensor_cores`. `cost` chooses the tile. If there are few tiles and
long sums, as in a convolution's dw, the sums are cut into parts, which `_add_parts` adds in order, so that no bit
depends on the order in which they were computed.

Source: NVIDIA, CUDA C++ Programming Guide, "Shared Memory"; Kerr et al., CUTLASS: Fast Linear Algebra in CUDA C++.
"""

import os
from typing import Any, NamedTuple

import numpy as np

from . import cost, tile_shapes
from .availability import SIMULATED
from .launch import cuda, kernel, split
from .memory import cached, multiprocessors, to_device, xp
from .multi_tensor import address
from .reduce import add_up
from .tiles import ALONE, LINES, TERMS

SHORTEST = 16 if SIMULATED else 64  # minimum terms of a part
INDEX, LARGEST = np.int32, 2**31 - 1  # of offsets
TF32 = "FASTNN_TF32"


class Matrix(NamedTuple):
    """A matrix whose element (i, k) is at memory[outer[i] + terms[k]]; both tables are int32 device arrays.

    fours: which four elements, from an index that is a multiple of four, are contiguous and aligned to 16 bytes: TERMS
    (of one line), LINES (for one term) or ALONE (none); the number of terms, or of lines, is then a multiple of four
    overlap: how many adjacent elements are mostly the same numbers, as in windows with that many columns
    """

    memory: Any
    outer: Any
    terms: Any
    fours: int = ALONE
    overlap: int = 1


@cached(maxsize=1024)
def steps(count: int, step: int = 1) -> Any:
    """Return the table 0, step, 2 * step, ..., of `count` offsets."""
    return table(np.arange(count, dtype=np.int64) * step)


def table(offsets: np.ndarray) -> Any:
    """Return int64 offsets as a table on the GPU. Raises ValueError if one does not fit 32 bits."""
    check_size(int(offsets.max(initial=0)) + 1)
    return to_device(offsets.astype(INDEX))


def check_size(size: int) -> None:
    """Raise ValueError if an array of `size` elements is too large for 32-bit offsets."""
    if size > LARGEST:
        raise ValueError(
            f"multiply: an array of {size} elements is too large for a GPU; expected fewer than 2**31, also in padded "
            f"images; split the batch into {-(-size // LARGEST)} parts or more"
        )


def rows_of(memory: Any, rows: int, columns: int) -> Matrix:
    """Return an array (rows, columns) as a matrix: element (i, k) at i * columns + k."""
    return Matrix(memory, steps(rows, columns), steps(columns), TERMS if in_fours(memory, columns) else ALONE)


def columns_of(memory: Any, rows: int, columns: int) -> Matrix:
    """Return an array (rows, columns) as a transposed matrix: element (i, k) at k * columns + i."""
    return Matrix(memory, steps(columns), steps(rows, columns), LINES if in_fours(memory, columns) else ALONE)


def in_fours(memory: Any, length: int) -> bool:
    """Whether every fourth number in rows of this length is aligned to 16 bytes."""
    return length % 4 == 0 and (SIMULATED or address(memory) % 16 == 0)


def multiply(left, right, out, bias=None, bias_of=(0, 0), floor=-np.inf):
    """Write left @ right to the matrix `out`, whose element (i, j) is at outer[i] + terms[j].

    bias: memory whose element bias_of[0]*i + bias_of[1]*j is added; floor: the minimum of out; NaN stays NaN
    """
    M, N, K = len(out.outer), len(out.terms), len(left.terms)
    for memory in (left.memory, right.memory, out.memory):
        check_size(memory.size)
    dtype = out.memory.dtype
    biases = (out.memory if bias is None else bias, *bias_of, int(bias is not None))
    overlap = max(left.overlap, right.overlap)
    CHOSEN(M, N, K, (*left[:4], *right[:4], *biases), (dtype.type(0), dtype.type(floor)), out[:3], overlap)


def affine(x, w, b, floor=-np.inf):
    """Return x @ w + b, but at least `floor`."""
    (N, D), M = x.shape, w.shape[1]
    out = xp.empty((N, M), x.dtype)
    multiply(rows_of(x, N, D), columns_of(w, D, M), rows_of(out, N, M), b, (0, 1), floor)
    return out


def affine_gradients(dout, x, w, need_dx):
    """Return dx (or None), dw and db."""
    (N, M), D = dout.shape, x.shape[1]
    dx, dw, db = xp.empty_like(x) if need_dx else None, xp.empty_like(w), xp.empty(M, x.dtype)
    if need_dx:  # dout @ w.T
        multiply(rows_of(dout, N, M), rows_of(w, D, M), rows_of(dx, N, D))
    multiply(columns_of(x, N, D), columns_of(dout, N, M), rows_of(dw, D, M))  # x.T @ dout
    add_up(dout, (N, M, 1), db)
    return dx, dw, db


def one_by_one(M, N, K, operands, numbers, out, overlap):
    """Compute a product with one thread for each output."""
    plain_product(M * N, M, N, K, *operands[:3], *operands[4:7], *operands[8:], *numbers, *out)


def on_tiles(M, N, K, operands, numbers, out, overlap):
    """Compute a product with one block of threads for each tile, or for each part of its sums.

    Tiles are at least as wide as tall, so a narrow product is computed transposed.
    """
    if N < M and N < WIDEST:
        M, N, operands, out = _transposed(M, N, operands, out)
    plan = plan_of(M, N, K, out[0].dtype, overlap)
    tile, chunk = plan
    blocks, parts = cost.blocks_of(plan, M, N, K)
    kernel, columns = tile_shapes.KERNELS[tile.name], -(-N // tile.wide)
    if tile.is_transposed:
        columns = -(-M // tile.tall)
        M, N, operands, out = _transposed(M, N, operands, out)
    if parts == 1:
        kernel.launch(blocks, columns, 1, chunk, M, N, K, *operands, *numbers, *out)
        return
    check_size(parts * M * N)
    sums, (zero, floor) = xp.empty((parts, M, N), out[0].dtype), numbers
    no_bias, no_floor = (sums, 0, 0, 0), zero.dtype.type(-np.inf)
    here = sums, steps(M, N), steps(N)
    kernel.launch(blocks * parts, columns, parts, chunk, M, N, K, *operands[:8], *no_bias, zero, no_floor, *here)
    _add_parts(M * N, parts, M, N, sums, *operands[8:], floor, *out)


def _transposed(M, N, operands, out):
    """Return the arguments of the transposed product."""
    left, right, (bias, row, column, has_bias) = operands[:4], operands[4:8], operands[8:]
    return N, M, (*right, *left, bias, column, row, has_bias), (out[0], out[2], out[1])


def plan_of(M, N, K, dtype, overlap=1) -> cost.Plan:
    """Return the tile and the parts for a product, on tensor cores if TF32 is enabled."""
    tiles = tile_shapes.FLOAT64 if dtype.itemsize == 8 else tile_shapes.TF32 if uses_tf32() else tile_shapes.FLOAT32
    return cost.choose(tiles, M, N, K, GPU._replace(sms=multiprocessors()), SHORTEST, dtype.itemsize, overlap)


def uses_tf32() -> bool:
    """Whether float32 products may use TF32 tensor cores (10-bit mantissa): FASTNN_TF32=1. Raises ValueError."""
    value = os.environ.get(TF32) or "0"
    if value not in ("0", "1"):
        raise ValueError(f"{TF32}: {value!r} is unknown; expected 0 or 1; set one of these, or leave it out for 0")
    return value == "1"


# the simulator's is so slow that sums are cut wherever that fills its multiprocessors
GPU = cost.REFERENCE._replace(clock=1e3, cache=1e6) if SIMULATED else cost.REFERENCE
WIDEST = 8 if SIMULATED else 128
CHOSEN = one_by_one if SIMULATED else on_tiles  # the simulator is slowest where threads wait for each other


@kernel
def plain_product(
    M, N, K, left, left_rows, left_terms, right, right_columns, right_terms, bias, bias_row, bias_column, has_bias,
    zero, floor, out, out_rows, out_columns,
):  # fmt: skip
    index = cuda.grid(1)
    if index < M * N:
        i, j = split(index, N)
        total = bias[i * bias_row + j * bias_column] if has_bias else zero
        for k in range(K):
            total += left[left_rows[i] + left_terms[k]] * right[right_columns[j] + right_terms[k]]
        out[out_rows[i] + out_columns[j]] = floor if total < floor else total


@kernel
def _add_parts(parts, M, N, sums, bias, bias_row, bias_column, has_bias, floor, out, out_rows, out_columns):
    index = cuda.grid(1)
    if index < M * N:
        i, j = split(index, N)
        total = sums[index]
        for part in range(1, parts):
            total += sums[part * M * N + index]
        if has_bias:
            total += bias[i * bias_row + j * bias_column]
        out[out_rows[i] + out_columns[j]] = floor if total < floor else total

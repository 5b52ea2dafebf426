"""Products of float32 matrices on tensor cores, in TF32: see `products` for the strips, `warp` for the instruction.

A warp computes DOWN x OVER small products with one instruction each for every eight terms, and keeps their sums in
registers. Its threads read their factors from the strips one by one; the strips' rows are 8 numbers longer than a tile,
so that the 32 threads read from 32 different banks of the shared memory.

Factors have 10 bits of mantissa instead of 23: an output is exact to about 1e-3 of the sum of its products' magnitudes.
Chosen by FASTNN_TF32=1.
"""

from numba import cuda, float32, uint32

from .driver import SIMULATED
from .launch import Kernel, device, split
from .products import fetch
from .warp import COLUMNS, ROWS, SUMS, TERMS, WARP, multiply_add, to_tf32

WARPS_DOWN, WARPS_ACROSS = (1, 1) if SIMULATED else (2, 4)  # of a block
DOWN, OVER = (1, 2) if SIMULATED else (4, 4)  # instructions of a warp
TALL, WIDE, DEPTH = WARPS_DOWN * DOWN * ROWS, WARPS_ACROSS * OVER * COLUMNS, 2 * TERMS  # of a tile
THREADS = WARPS_DOWN * WARPS_ACROSS * WARP
LEFT_ROW, RIGHT_ROW = TALL + 8, WIDE + 8
LEFT_STRIP, RIGHT_STRIP, ALL_SUMS, ALL_RIGHT = DEPTH * LEFT_ROW, DEPTH * RIGHT_ROW, DOWN * OVER * SUMS, OVER * 2


@device
def _write(a, M, N, top, start, sums, bias, bias_row, bias_column, has_bias, floor, out, out_rows, out_columns, base):
    """The outputs of a thread in the a-th row of its warp's small products."""
    for below in range(2):
        i = top + a * ROWS + 8 * below
        if i < M:
            line = base + out_rows[i]
            for b in range(OVER):
                for right in range(2):
                    j = start + b * COLUMNS + right
                    if j < N:
                        total = sums[(a * OVER + b) * SUMS + 2 * below + right]
                        if has_bias:
                            total += bias[i * bias_row + j * bias_column]
                        out[line + out_columns[j]] = floor if total < floor else total


def _tensor_product(
    columns, parts, M, N, K, left, left_rows, left_terms, right, right_columns, right_terms, bias, bias_row,
    bias_column, has_bias, zero, floor, out, out_rows, out_columns,
):  # fmt: skip
    left_strip = cuda.shared.array(LEFT_STRIP, float32)
    right_strip = cuda.shared.array(RIGHT_STRIP, float32)
    sums = cuda.local.array(ALL_SUMS, float32)
    factors = cuda.local.array(ALL_RIGHT, uint32)
    tile, part = split(cuda.blockIdx.x, parts)
    down, across = split(tile, columns)
    warp, lane = split(cuda.threadIdx.x, WARP)
    high, beside = split(warp, WARPS_ACROSS)
    g, t = split(lane, 4)
    i, j = down * TALL + split(cuda.threadIdx.x, TALL)[1], across * WIDE + split(cuda.threadIdx.x, WIDE)[1]
    row = left_rows[i] if i < M else -1
    column = right_columns[j] if j < N else -1
    begin, end = split(K * part, parts)[0], split(K * (part + 1), parts)[0]
    for place in range(ALL_SUMS):
        sums[place] = zero
    for first in range(begin, end, DEPTH):
        fetch(left, row, left_terms, first, end, zero, left_strip, TALL, LEFT_ROW, DEPTH, THREADS)
        fetch(right, column, right_terms, first, end, zero, right_strip, WIDE, RIGHT_ROW, DEPTH, THREADS)
        cuda.syncthreads()
        for term in range(0, DEPTH, TERMS):
            for b in range(OVER):
                place = (term + t) * RIGHT_ROW + (beside * OVER + b) * COLUMNS + g
                factors[2 * b] = to_tf32(right_strip[place])
                factors[2 * b + 1] = to_tf32(right_strip[place + 4 * RIGHT_ROW])
            for a in range(DOWN):
                place = (term + t) * LEFT_ROW + (high * DOWN + a) * ROWS + g
                a0, a1 = to_tf32(left_strip[place]), to_tf32(left_strip[place + 8])
                a2, a3 = to_tf32(left_strip[place + 4 * LEFT_ROW]), to_tf32(left_strip[place + 4 * LEFT_ROW + 8])
                for b in range(OVER):
                    at = (a * OVER + b) * SUMS
                    c = multiply_add(
                        a0, a1, a2, a3, factors[2 * b], factors[2 * b + 1],
                        sums[at], sums[at + 1], sums[at + 2], sums[at + 3],
                    )  # fmt: skip
                    sums[at] = c[0]
                    sums[at + 1] = c[1]
                    sums[at + 2] = c[2]
                    sums[at + 3] = c[3]
        cuda.syncthreads()
    top, start = down * TALL + high * DOWN * ROWS + g, across * WIDE + beside * OVER * COLUMNS + 2 * t
    base = part * M * N
    _write(0, M, N, top, start, sums, bias, bias_row, bias_column, has_bias, floor, out, out_rows, out_columns, base)
    if DOWN == 4:  # one after the other, not in a loop: sums stay in registers only where each index is a number
        _write(
            1, M, N, top, start, sums, bias, bias_row, bias_column, has_bias, floor, out, out_rows, out_columns, part
        )
        _write(
            2, M, N, top, start, sums, bias, bias_row, bias_column, has_bias, floor, out, out_rows, out_columns, part
        )
        _write(
            3, M, N, top, start, sums, bias, bias_row, bias_column, has_bias, floor, out, out_rows, out_columns, part
        )


tensor_product = Kernel(_tensor_product, THREADS)

"""Float32 matrix products on TF32 tensor cores: see `products` for the tables, `warp` for the instructions.

A warp computes DOWN x OVER small products, with one instruction for every eight terms, and keeps their sums in
registers. It loads the factors from strips in shared memory, four small matrices with one `ldmatrix` instruction.

Strips are copied to shared memory asynchronously, while the threads multiply. There are three: one is read while two
are being copied. Copies are 16 bytes long if four terms are contiguous in memory, else one number.

A row of a strip holds DEPTH terms of one line, in pieces of four. `ldmatrix` reads the same piece of eight rows at
once. To avoid bank conflicts the pieces are swizzled: piece p of row r is at p ^ (r // 2 % 4).

Factors have a 10-bit mantissa instead of 23 bits: the error of an output is about 1e-3 of the sum of the magnitudes of
its products. Tensor cores round sums differently from one architecture to the next, so bits depend on the GPU. Enabled
by FASTNN_TF32=1.
"""

from numba import float32, int32, uint32

from .availability import SIMULATED
from .launch import Kernel, cuda, device, split
from .tiles import TERMS
from .vector_loads import commit, copy, copy4, wait_but_one
from .warp import COLUMNS, ROWS, SUMS, WARP, load_matrices, multiply_add, to_tf32

WARPS_DOWN, WARPS_ACROSS = (1, 2) if SIMULATED else (2, 4)  # warps of a block
DOWN, OVER = (2, 2) if SIMULATED else (4, 4)  # small products of a warp
TALL, WIDE, DEPTH = WARPS_DOWN * DOWN * ROWS, WARPS_ACROSS * OVER * COLUMNS, 16  # shape of a tile
THREADS = WARPS_DOWN * WARPS_ACROSS * WARP
LEFT_STRIP, RIGHT_STRIP, PIECES = TALL * DEPTH, WIDE * DEPTH, DEPTH // 4
LEFT_STRIPS, RIGHT_STRIPS = 3 * LEFT_STRIP, 3 * RIGHT_STRIP
LEFT_SHARE, RIGHT_SHARE = LEFT_STRIP // THREADS, RIGHT_STRIP // THREADS  # numbers that a thread copies
ALL_SUMS, ALL_RIGHT = DOWN * OVER * SUMS, OVER * 2


@device
def _offset(row, piece):
    """Return the offset of a piece of a row in a strip."""
    return row * DEPTH + 4 * (piece ^ ((row >> 1) & 3))


@device
def _fetch(strips, at, tall, share, memory, outer, terms, fours, start, count, first, end):
    """Start copying a strip of `tall` lines from `start` on; each thread copies `share` numbers."""
    if fours == TERMS:
        for turn in range(share // 4):
            row, piece = split(cuda.threadIdx.x + turn * THREADS, PIECES)
            line, k = start + row, first + 4 * piece
            inside = line < count and k < end
            source = outer[line] + terms[k] if inside else 0
            copy4(strips, at + _offset(row, piece), memory, source, min(4, end - k) if inside else 0)
    else:
        deep, row = split(cuda.threadIdx.x, tall)
        line = start + row
        address = outer[line] if line < count else 0
        for turn in range(share):
            along = deep + turn * (THREADS // tall)
            k = first + along
            inside = line < count and k < end
            piece, rest = split(along, 4)
            source = address + terms[k] if inside else 0
            copy(strips, at + _offset(row, piece) + rest, memory, source, 1 if inside else 0)


def _tensor_product(
    columns, parts, chunk, M, N, K, left, left_outer, left_terms, left_fours, right, right_outer, right_terms,
    right_fours, bias, bias_row, bias_column, has_bias, zero, floor, out, out_rows, out_columns,
):  # fmt: skip
    left_strips = cuda.shared.array(LEFT_STRIPS, float32, alignment=16)
    right_strips = cuda.shared.array(RIGHT_STRIPS, float32, alignment=16)
    sums = cuda.local.array(ALL_SUMS, float32)
    factors = cuda.local.array(ALL_RIGHT, uint32)
    tile, part = split(cuda.blockIdx.x, parts)
    down, across = split(tile, columns)
    warp, lane = split(cuda.threadIdx.x, WARP)
    warp_row, warp_column = split(warp, WARPS_ACROSS)
    top, start = down * TALL, across * WIDE
    a_row, a_piece = warp_row * DOWN * ROWS + (lane & 15), lane >> 4  # row that this lane addresses in `load_matrices`
    b_row, b_piece = warp_column * OVER * COLUMNS + (lane & 7) + 8 * (lane >> 4), (lane >> 3) & 1
    first, end = part * chunk, min((part + 1) * chunk, K)
    for i in range(ALL_SUMS):
        sums[i] = zero
    for ahead in range(2):
        from_term = first + ahead * DEPTH
        _fetch(
            left_strips, ahead * LEFT_STRIP, TALL, LEFT_SHARE, left, left_outer, left_terms, left_fours, top, M,
            from_term, end,
        )  # fmt: skip
        _fetch(
            right_strips, ahead * RIGHT_STRIP, WIDE, RIGHT_SHARE, right, right_outer, right_terms, right_fours, start,
            N, from_term, end,
        )  # fmt: skip
        commit()
    now, free = int32(0), int32(2)  # the strip to read, and the one to copy to
    while first < end:
        wait_but_one()
        cuda.syncthreads()  # all copies of this strip have arrived, and all threads have read the previous one
        if first + 2 * DEPTH < end:
            _fetch(
                left_strips, free * LEFT_STRIP, TALL, LEFT_SHARE, left, left_outer, left_terms, left_fours, top, M,
                first + 2 * DEPTH, end,
            )  # fmt: skip
            _fetch(
                right_strips, free * RIGHT_STRIP, WIDE, RIGHT_SHARE, right, right_outer, right_terms, right_fours,
                start, N, first + 2 * DEPTH, end,
            )  # fmt: skip
        commit()  # an empty group at the end, so that the last but one is always this strip
        for eight in range(DEPTH // 8):
            for b in range(OVER // 2):
                row = b_row + b * 2 * COLUMNS
                four = load_matrices(right_strips, now * RIGHT_STRIP + _offset(row, 2 * eight + b_piece))
                factors[4 * b], factors[4 * b + 1] = to_tf32(four[0]), to_tf32(four[1])
                factors[4 * b + 2], factors[4 * b + 3] = to_tf32(four[2]), to_tf32(four[3])
            for a in range(DOWN):
                row = a_row + a * ROWS
                four = load_matrices(left_strips, now * LEFT_STRIP + _offset(row, 2 * eight + a_piece))
                a0, a1, a2, a3 = to_tf32(four[0]), to_tf32(four[1]), to_tf32(four[2]), to_tf32(four[3])
                for b in range(OVER):
                    at = (a * OVER + b) * SUMS
                    c = multiply_add(
                        a0, a1, a2, a3, factors[2 * b], factors[2 * b + 1],
                        sums[at], sums[at + 1], sums[at + 2], sums[at + 3],
                    )  # fmt: skip
                    sums[at], sums[at + 1], sums[at + 2], sums[at + 3] = c[0], c[1], c[2], c[3]
        free = now
        now = now + 1 if now < 2 else 0
        first += DEPTH
    i_first = top + warp_row * DOWN * ROWS + (lane >> 2)
    j_first = start + warp_column * OVER * COLUMNS + 2 * (lane & 3)
    for half in range(2 * DOWN):
        i = i_first + 8 * half
        if i < M:
            line = part * M * N + out_rows[i]
            for b in range(2 * OVER):
                j = j_first + b // 2 * COLUMNS + b % 2
                if j < N:
                    total = sums[(half // 2 * OVER + b // 2) * SUMS + half % 2 * 2 + b % 2]
                    if has_bias:
                        total += bias[i * bias_row + j * bias_column]
                    out[line + out_columns[j]] = floor if total < floor else total


tensor_product = Kernel(_tensor_product, THREADS)

"""Products of float32 matrices on tensor cores, in TF32: see `products` for the tables, `warp` for the instructions.

A warp computes DOWN x OVER small products with one instruction each for every eight terms, and keeps their sums in
registers. The factors come from strips in shared memory, with one instruction for four small matrices.

Strips are copied there past the registers, while the threads multiply: there are three of them, one to read and two
under way. They are copied sixteen bytes at a time where four terms stand together in memory, else number by number.

A row of a strip has the DEPTH terms of one line, in pieces of four. Of eight rows that are read at once, at one piece,
no two may lie in the same banks of shared memory. So the pieces of a row trade places: piece p of row r stands at
p ^ (r // 2 % 4).

Factors have 10 bits of mantissa instead of 23: an output is exact to about 1e-3 of the sum of its products' magnitudes.
Chosen by FASTNN_TF32=1.
"""

from numba import float32, int32, uint32

from .availability import SIMULATED
from .launch import Kernel, cuda, device, split
from .tiles import TERMS
from .vector_loads import commit, copy, copy4, wait_but_one
from .warp import COLUMNS, ROWS, SUMS, WARP, load_matrices, multiply_add, to_tf32

WARPS_DOWN, WARPS_ACROSS = (1, 2) if SIMULATED else (2, 4)  # of a block
DOWN, OVER = (2, 2) if SIMULATED else (4, 4)  # instructions of a warp
TALL, WIDE, DEPTH = WARPS_DOWN * DOWN * ROWS, WARPS_ACROSS * OVER * COLUMNS, 16  # of a tile
THREADS = WARPS_DOWN * WARPS_ACROSS * WARP
LEFT_STRIP, RIGHT_STRIP, PIECES = TALL * DEPTH, WIDE * DEPTH, DEPTH // 4
LEFT_STRIPS, RIGHT_STRIPS = 3 * LEFT_STRIP, 3 * RIGHT_STRIP
LEFT_SHARE, RIGHT_SHARE = LEFT_STRIP // THREADS, RIGHT_STRIP // THREADS  # numbers that a thread fetches
ALL_SUMS, ALL_RIGHT = DOWN * OVER * SUMS, OVER * 2


@device
def _place(row, piece):
    """Where a piece of a row stands in a strip."""
    return row * DEPTH + 4 * (piece ^ ((row >> 1) & 3))


@device
def _fetch(strips, at, tall, share, memory, outer, terms, fours, start, count, first, end):
    """Begin to copy a strip: `share` numbers for each thread, of `tall` lines from `start` on."""
    if fours == TERMS:
        for turn in range(share // 4):
            row, piece = split(cuda.threadIdx.x + turn * THREADS, PIECES)
            line, k = start + row, first + 4 * piece
            inside = line < count and k < end
            source = outer[line] + terms[k] if inside else 0
            copy4(strips, at + _place(row, piece), memory, source, min(4, end - k) if inside else 0)
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
            copy(strips, at + _place(row, piece) + rest, memory, source, 1 if inside else 0)


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
    high, beside = split(warp, WARPS_ACROSS)
    top, start = down * TALL, across * WIDE
    a_row, a_piece = high * DOWN * ROWS + (lane & 15), lane >> 4  # of what this thread names to `load_matrices`
    b_row, b_piece = beside * OVER * COLUMNS + (lane & 7) + 8 * (lane >> 4), (lane >> 3) & 1
    first, end = part * chunk, min((part + 1) * chunk, K)
    for place in range(ALL_SUMS):
        sums[place] = zero
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
        cuda.syncthreads()  # until all copies of this strip are there, and nobody reads the one before any more
        if first + 2 * DEPTH < end:
            _fetch(
                left_strips, free * LEFT_STRIP, TALL, LEFT_SHARE, left, left_outer, left_terms, left_fours, top, M,
                first + 2 * DEPTH, end,
            )  # fmt: skip
            _fetch(
                right_strips, free * RIGHT_STRIP, WIDE, RIGHT_SHARE, right, right_outer, right_terms, right_fours,
                start, N, first + 2 * DEPTH, end,
            )  # fmt: skip
        commit()  # of nothing at the end: so that the newest but one is always this strip's
        for eight in range(DEPTH // 8):
            for b in range(OVER // 2):
                row = b_row + b * 2 * COLUMNS
                four = load_matrices(right_strips, now * RIGHT_STRIP + _place(row, 2 * eight + b_piece))
                factors[4 * b], factors[4 * b + 1] = to_tf32(four[0]), to_tf32(four[1])
                factors[4 * b + 2], factors[4 * b + 3] = to_tf32(four[2]), to_tf32(four[3])
            for a in range(DOWN):
                row = a_row + a * ROWS
                four = load_matrices(left_strips, now * LEFT_STRIP + _place(row, 2 * eight + a_piece))
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
    i_first, j_first = top + high * DOWN * ROWS + (lane >> 2), start + beside * OVER * COLUMNS + 2 * (lane & 3)
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

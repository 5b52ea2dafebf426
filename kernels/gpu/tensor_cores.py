"""Float32 matrix products on TF32 tensor cores: see `products` for the tables, `warp` for the instructions.

A warp computes some small products, with one instruction for every eight terms, and keeps their sums in registers. It
loads the factors from strips in shared memory, four small matrices with one `ldmatrix` instruction.

Strips are copied to shared memory asynchronously, while the threads multiply. There are three, where 48 KiB hold
them: one is read while two are being copied; else two. Copies are 16 bytes long if four terms are contiguous in memory,
else one number. A number is read by several warps, so it is rounded to TF32 in shared memory, by the thread that copied
it, once.

A row of a strip holds DEPTH terms of one line, in pieces of four. `ldmatrix` reads the same piece of eight rows at
once. To avoid bank conflicts the pieces are swizzled: piece p of row r is at p ^ (r // 2 % 4).

Factors have a 10-bit mantissa instead of 23 bits: the error of an output is about 1e-3 of the sum of the magnitudes of
its products. Tensor cores round sums differently from one architecture to the next, so bits depend on the GPU. Enabled
by FASTNN_TF32=1.
"""

from numba import float32, int32, int64

from .launch import Kernel, cuda, device, split
from .tiles import TERMS, finish
from .vector_loads import commit, copy, copy4, line_of, load4, store4, wait_but_one, wait_for_all
from .warp import COLUMNS, ROWS, SUMS, WARP, load_matrices, multiply_add, to_tf32

DEPTH, PIECES = 16, 4  # terms of a strip, and of a line of it
SHARED = 49152  # bytes that a block may use


def strips_of(tall: int, wide: int) -> int:
    """Return the number of strips of each matrix in shared memory."""
    return 3 if 12 * (tall + wide) * DEPTH <= SHARED else 2


@device
def _offset(row, piece):
    """Return the offset of a piece of a row in a strip."""
    return int32(row * DEPTH + 4 * (piece ^ ((row >> 1) & 3)))


@device
def _own_piece(number, tall, fours):
    """Return row and piece of the four numbers with this number in a strip of `tall` lines."""
    if fours == TERMS:
        row, piece = split(number, PIECES)
    else:
        piece, row = split(number, tall)
    return row, piece


@device
def _copy_strip(strips, at, places, tall, threads, turns, memory, lines, terms, fours, first, end, is_inside):
    """Start copying a thread's numbers of a strip; is_inside: if the strip is known to be complete."""
    for turn in range(turns):
        number = cuda.threadIdx.x + turn * threads
        if tall * PIECES % threads == 0 or number < tall * PIECES:
            _, piece = _own_piece(number, tall, fours)
            line, k, there = lines[turn], int32(first + 4 * piece), int32(at + places[turn])
            if fours == TERMS:
                copy4(strips, there, memory, line, terms[k] if k < end else int32(0), 4 if k < end else 0)
            elif is_inside or first + DEPTH <= end:
                offsets = load4(terms, k)
                for i in range(4):
                    copy(strips, there + i, memory, line, offsets[i], 1)
            else:
                for i in range(4):
                    term = terms[k + i] if k + i < end else int32(0)
                    copy(strips, there + i, memory, line, term, 1 if k + i < end else 0)


@device
def _round_strip(strips, at, places, tall, threads, turns):
    """Round a thread's numbers of a strip to TF32. It has copied them itself, so it has waited for their copies."""
    for turn in range(turns):
        if tall * PIECES % threads == 0 or cuda.threadIdx.x + turn * threads < tall * PIECES:
            there = int32(at + places[turn])
            four = load4(strips, there)
            store4(strips, there, (to_tf32(four[0]), to_tf32(four[1]), to_tf32(four[2]), to_tf32(four[3])))


def tensor_product_of(
    warps_down: int, warps_across: int, products_down: int, products_over: int, name: str, modes=None
):
    """Return a kernel whose blocks have warps_down x warps_across warps with products_down x products_over products.

    modes: `fours` of both matrices, if they are known when it is compiled, to count instructions
    """
    tall, wide = warps_down * products_down * ROWS, warps_across * products_over * COLUMNS
    threads, own = warps_down * warps_across * WARP, products_down * products_over * SUMS
    is_narrow, own_right = products_over == 1, max(4, products_over * 2)
    left_strip, right_strip, strips = tall * DEPTH, wide * DEPTH, strips_of(tall, wide)
    wait = wait_but_one if strips == 3 else wait_for_all
    left_turns, right_turns = -(-tall * PIECES // threads), -(-wide * PIECES // threads)
    left_strips_size, right_strips_size = strips * left_strip, strips * right_strip
    warp_tall, warp_wide = products_down * ROWS, products_over * COLUMNS
    is_fixed, (left_mode, right_mode) = modes is not None, modes or (0, 0)

    def tensor_product(
        columns, parts, chunk, M, N, K, left, left_outer, left_terms, left_fours, right, right_outer, right_terms,
        right_fours, bias, bias_row, bias_column, has_bias, zero, floor, out, out_rows, out_columns,
    ):  # fmt: skip
        if is_fixed:
            left_fours, right_fours = int32(left_mode), int32(right_mode)
        left_strips = cuda.shared.array(left_strips_size, float32, alignment=16)
        right_strips = cuda.shared.array(right_strips_size, float32, alignment=16)
        sums = cuda.local.array(own, float32)
        factors = cuda.local.array(own_right, float32)
        left_lines, right_lines = cuda.local.array(left_turns, int64), cuda.local.array(right_turns, int64)
        left_places, right_places = cuda.local.array(left_turns, int32), cuda.local.array(right_turns, int32)
        a_at, b_at = cuda.local.array(2, int32), cuda.local.array(2, int32)
        tile, part = split(cuda.blockIdx.x, parts)
        tile_row, tile_column = split(tile, columns)
        warp, lane = split(cuda.threadIdx.x, WARP)
        warp_row, warp_column = split(warp, warps_across)
        top, start = tile_row * tall, tile_column * wide
        # where this lane's rows for `load_matrices` are in a strip; those of the next product are ROWS lines behind
        for eight in range(2):
            a_at[eight] = _offset(warp_row * warp_tall + (lane & 15), 2 * eight + (lane >> 4))
            b_row = warp_column * warp_wide + (lane & 7)
            if is_narrow:  # the four matrices are all terms of 8 lines, else half of them of 16 lines
                b_at[eight] = _offset(b_row, lane >> 3)
            else:
                b_at[eight] = _offset(b_row + 8 * (lane >> 4), 2 * eight + ((lane >> 3) & 1))
        for turn in range(left_turns):  # a line behind the last one is replaced by that: its outputs are not stored
            row, piece = _own_piece(cuda.threadIdx.x + turn * threads, tall, left_fours)
            left_places[turn] = _offset(row, piece)
            left_lines[turn] = line_of(left, left_outer[min(top + row, M - 1)])
        for turn in range(right_turns):
            row, piece = _own_piece(cuda.threadIdx.x + turn * threads, wide, right_fours)
            right_places[turn] = _offset(row, piece)
            right_lines[turn] = line_of(right, right_outer[min(start + row, N - 1)])
        first, end = int32(part * chunk), int32(min((part + 1) * chunk, K))
        for i in range(own):
            sums[i] = zero
        for ahead in range(strips - 1):
            begin = int32(first + ahead * DEPTH)
            _copy_strip(
                left_strips, ahead * left_strip, left_places, tall, threads, left_turns, left, left_lines, left_terms,
                left_fours, begin, end, is_fixed,
            )  # fmt: skip
            _copy_strip(
                right_strips, ahead * right_strip, right_places, wide, threads, right_turns, right, right_lines,
                right_terms, right_fours, begin, end, is_fixed,
            )  # fmt: skip
            commit()
        now, free = int32(0), int32(strips - 1)  # the strip to read, and the one to copy to
        while first < end:
            wait()
            _round_strip(left_strips, now * left_strip, left_places, tall, threads, left_turns)
            _round_strip(right_strips, now * right_strip, right_places, wide, threads, right_turns)
            cuda.syncthreads()  # all numbers of this strip are rounded, and all threads have read the previous one
            begin = int32(first + (strips - 1) * DEPTH)
            if begin < end:
                _copy_strip(
                    left_strips, free * left_strip, left_places, tall, threads, left_turns, left, left_lines,
                    left_terms, left_fours, begin, end, is_fixed,
                )  # fmt: skip
                _copy_strip(
                    right_strips, free * right_strip, right_places, wide, threads, right_turns, right, right_lines,
                    right_terms, right_fours, begin, end, is_fixed,
                )  # fmt: skip
            commit()  # an empty group at the end, so that the same number of groups is always newer than this strip
            for eight in range(DEPTH // 8):
                a_first, b_first = now * left_strip + a_at[eight], now * right_strip + b_at[eight]
                for b in range((products_over + 1) // 2):
                    four = load_matrices(right_strips, b_first + b * 2 * COLUMNS * DEPTH)
                    factors[4 * b], factors[4 * b + 1] = four[0], four[1]
                    factors[4 * b + 2], factors[4 * b + 3] = four[2], four[3]
                for a in range(products_down):
                    four = load_matrices(left_strips, a_first + a * ROWS * DEPTH)
                    for b in range(products_over):
                        at = (a * products_over + b) * SUMS
                        place = 2 * eight if is_narrow else 2 * b
                        c = multiply_add(
                            four[0], four[1], four[2], four[3], factors[place], factors[place + 1],
                            sums[at], sums[at + 1], sums[at + 2], sums[at + 3],
                        )  # fmt: skip
                        sums[at], sums[at + 1], sums[at + 2], sums[at + 3] = c[0], c[1], c[2], c[3]
            free = now
            now = int32(now + 1) if now < strips - 1 else int32(0)
            first = int32(first + DEPTH)
        i_first = top + warp_row * warp_tall + (lane >> 2)
        j_first = start + warp_column * warp_wide + 2 * (lane & 3)
        for half in range(2 * products_down):
            i = i_first + 8 * half
            if i < M:
                line = int32(part * M * N + out_rows[i])
                for b in range(2 * products_over):
                    at = (half // 2 * products_over + b // 2) * SUMS + half % 2 * 2 + b % 2
                    finish(
                        sums[at], i, int32(j_first + b // 2 * COLUMNS + b % 2), N, bias, bias_row, bias_column,
                        has_bias, floor, out, line, out_columns,
                    )  # fmt: skip

    return Kernel(tensor_product, threads, f"TF32 {name}")

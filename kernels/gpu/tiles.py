"""Matrix products on shared-memory tiles: see `products` for the tables, `choice` for which tile is used when.

A block computes tall x wide outputs from strips of both matrices, `depth` terms deep, in shared memory. A thread keeps
down x over outputs in registers, in blocks of 4 x 4: it reads four numbers of a strip with one instruction, and uses
each for `down` or `over` multiplications.

Strips are double-buffered: while the threads compute with one, the loads of the next are in flight to registers. So
there is one `syncthreads` for each strip, and memory latency is hidden.

A thread loads numbers of each matrix in fours, with one instruction if they are contiguous in memory, along the terms
or along the lines; else one by one, as for the windows of a convolution. A strip of a small tile has fewer fours than
there are threads, that of a wide one more: a thread loads one in each of its `turns`.
"""

from numba import int32, int64

from .launch import Kernel, cuda, device, split
from .vector_loads import line_of, load4, load4_from, load_from, store, store4

ALONE, TERMS, LINES = 0, 1, 2  # which four adjacent elements of a matrix are contiguous and aligned


@device
def own_four(number, start, count, memory, outer, fours, side, depth):
    """Return line and term of the first of four numbers of a strip, and the line's address.

    number: of the four, from 0 to side * depth / 4. A line behind the last one is replaced by that: its outputs are not
    stored.
    """
    if fours == TERMS:
        along, deep = split(number, depth // 4)
    elif fours == LINES:
        deep, along = split(number, side // 4)
        along = int32(4 * along)
    else:
        deep, along = split(number, side)
    last = count - 4 if fours == LINES else count - 1
    return along, deep if fours == LINES else int32(4 * deep), line_of(memory, outer[min(start + along, last)])


@device
def fetch(memory, terms, fours, line, k, end, is_whole, zero):
    """Load four numbers: terms k to k + 3 of one line; or term k of adjacent lines.

    is_whole: whether all terms of the strip are before `end`
    """
    a, b, c, d = zero, zero, zero, zero
    if fours == ALONE:
        if is_whole:
            places = load4(terms, k)
            a, b = load_from(memory, line, places[0]), load_from(memory, line, places[1])
            c, d = load_from(memory, line, places[2]), load_from(memory, line, places[3])
        else:
            if k < end:
                a = load_from(memory, line, terms[k])
            if k + 1 < end:
                b = load_from(memory, line, terms[k + 1])
            if k + 2 < end:
                c = load_from(memory, line, terms[k + 2])
            if k + 3 < end:
                d = load_from(memory, line, terms[k + 3])
    elif k < end:
        a, b, c, d = load4_from(memory, line, terms[k])
    return a, b, c, d


@device
def load_strip(memory, terms, fours, turns, lines, deep, first, end, depth, is_inside, zero, values):
    """Load a thread's numbers of the strip that begins with term `first`; is_inside: if it is known to be complete."""
    is_whole = is_inside or first + depth <= end
    for turn in range(turns):
        four = fetch(memory, terms, fours, lines[turn], int32(first + deep[turn]), end, is_whole, zero)
        values[4 * turn], values[4 * turn + 1], values[4 * turn + 2], values[4 * turn + 3] = four


@device
def store_strip(strips, start, turns, threads, count, places, values, fours, side):
    """Write a thread's numbers to a strip of `count` fours, which has a row for each term."""
    for turn in range(turns):
        at = start + places[turn]
        a, b, c, d = values[4 * turn], values[4 * turn + 1], values[4 * turn + 2], values[4 * turn + 3]
        if count % threads != 0 and cuda.threadIdx.x + turn * threads >= count:
            continue  # another thread has it
        if fours == LINES:
            store4(strips, at, (a, b, c, d))
        else:
            store(strips, at, a)
            store(strips, at + side, b)
            store(strips, at + 2 * side, c)
            store(strips, at + 3 * side, d)


@device
def finish(total, i, j, N, bias, bias_row, bias_column, has_bias, floor, out, line, out_columns):
    """Store an output of row i, which begins at `line`."""
    if j < N:
        if has_bias:
            total += bias[int32(i * bias_row + j * bias_column)]
        out[int32(line + out_columns[j])] = floor if total < floor else total


def tiled_product_of(kind, tall: int, wide: int, down: int, over: int, depth: int, name: str, modes=None) -> Kernel:
    """Return a kernel with a tile of tall x wide outputs; a thread computes down x over of them.

    modes: `fours` of both matrices, if they are known when it is compiled, to count the instructions of complete strips
    """
    height, width = tall // down, wide // over  # in threads
    threads, own = height * width, down * over
    left_strip, right_strip, pitch_down, pitch_over = tall * depth, wide * depth, 4 * height, 4 * width
    left_both, right_both = 2 * left_strip, 2 * right_strip
    left_count, right_count = left_strip // 4, right_strip // 4  # fours of a strip
    left_turns, right_turns = -(-left_count // threads), -(-right_count // threads)
    left_numbers, right_numbers = 4 * left_turns, 4 * right_turns
    unrolled = min(depth, max(2, 64 // own))  # terms
    is_fixed, (left_mode, right_mode) = modes is not None, modes or (0, 0)

    def tiled_product(
        columns, parts, chunk, M, N, K, left, left_outer, left_terms, left_fours, right, right_outer, right_terms,
        right_fours, bias, bias_row, bias_column, has_bias, zero, floor, out, out_rows, out_columns,
    ):  # fmt: skip
        if is_fixed:
            left_fours, right_fours = int32(left_mode), int32(right_mode)
        left_strips = cuda.shared.array(left_both, kind, alignment=16)
        right_strips = cuda.shared.array(right_both, kind, alignment=16)
        sums = cuda.local.array(own, kind)
        lefts, rights = cuda.local.array(down, kind), cuda.local.array(over, kind)
        next_left, next_right = cuda.local.array(left_numbers, kind), cuda.local.array(right_numbers, kind)
        i_at, i_term = cuda.local.array(left_turns, int32), cuda.local.array(left_turns, int32)
        i_line, j_line = cuda.local.array(left_turns, int64), cuda.local.array(right_turns, int64)
        places = cuda.local.array(over, int32)
        j_at, j_term = cuda.local.array(right_turns, int32), cuda.local.array(right_turns, int32)
        tile, part = split(cuda.blockIdx.x, parts)
        tile_row, tile_column = split(tile, columns)
        y, x = split(cuda.threadIdx.x, width)
        top, start = tile_row * tall, tile_column * wide
        first, end = int32(part * chunk), int32(min((part + 1) * chunk, K))
        for i_sum in range(own):
            sums[i_sum] = zero
        for turn in range(left_turns):
            number = min(cuda.threadIdx.x + turn * threads, left_count - 1)  # the last one again
            along, deep, i_line[turn] = own_four(number, top, M, left, left_outer, left_fours, tall, depth)
            i_at[turn], i_term[turn] = int32(deep * tall + along), deep
        for turn in range(right_turns):
            number = min(cuda.threadIdx.x + turn * threads, right_count - 1)
            along, deep, j_line[turn] = own_four(number, start, N, right, right_outer, right_fours, wide, depth)
            j_at[turn], j_term[turn] = int32(deep * wide + along), deep
        left_to, right_to = int32(0), int32(0)  # where in shared memory the next strips are
        load_strip(
            left, left_terms, left_fours, left_turns, i_line, i_term, first, end, depth, is_fixed, zero,
            next_left,
        )  # fmt: skip
        load_strip(
            right, right_terms, right_fours, right_turns, j_line, j_term, first, end, depth, is_fixed, zero,
            next_right,
        )  # fmt: skip
        store_strip(left_strips, left_to, left_turns, threads, left_count, i_at, next_left, left_fours, tall)
        store_strip(right_strips, right_to, right_turns, threads, right_count, j_at, next_right, right_fours, wide)
        cuda.syncthreads()  # the first strips are complete
        while first < end:
            first = int32(first + depth)
            load_strip(
                left, left_terms, left_fours, left_turns, i_line, i_term, first, end, depth, is_fixed, zero,
                next_left,
            )  # fmt: skip
            load_strip(
                right, right_terms, right_fours, right_turns, j_line, j_term, first, end, depth, is_fixed, zero,
                next_right,
            )  # fmt: skip
            left_at, right_at = int32(left_to + 4 * y), int32(right_to + 4 * x)
            left_end = int32(left_at + left_strip)
            while left_at != left_end:
                for term in range(unrolled):
                    for group in range(down // 4):
                        four = load4(left_strips, left_at + (term * tall + group * pitch_down))
                        lefts[4 * group], lefts[4 * group + 1] = four[0], four[1]
                        lefts[4 * group + 2], lefts[4 * group + 3] = four[2], four[3]
                    for group in range(over // 4):
                        four = load4(right_strips, right_at + (term * wide + group * pitch_over))
                        rights[4 * group], rights[4 * group + 1] = four[0], four[1]
                        rights[4 * group + 2], rights[4 * group + 3] = four[2], four[3]
                    for a in range(down):
                        for b in range(over):
                            sums[a * over + b] += lefts[a] * rights[b]
                left_at = int32(left_at + unrolled * tall)
                right_at = int32(right_at + unrolled * wide)
            left_to, right_to = int32(left_strip - left_to), int32(right_strip - right_to)
            store_strip(left_strips, left_to, left_turns, threads, left_count, i_at, next_left, left_fours, tall)
            store_strip(right_strips, right_to, right_turns, threads, right_count, j_at, next_right, right_fours, wide)
            cuda.syncthreads()  # the next strips are complete, and all threads have read these
        for b in range(over):
            places[b] = int32(start + b // 4 * pitch_over + 4 * x + b % 4)
        for a in range(down):
            i = int32(top + a // 4 * pitch_down + 4 * y + a % 4)
            if i < M:
                line = int32(part * M * N + out_rows[i])
                for b in range(over):
                    finish(
                        sums[a * over + b], i, places[b], N, bias, bias_row, bias_column, has_bias, floor, out, line,
                        out_columns,
                    )  # fmt: skip

    return Kernel(tiled_product, threads, f"{kind.name} {name}")

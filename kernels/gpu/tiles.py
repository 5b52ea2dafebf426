"""Matrix products on shared-memory tiles: see `products` for the tables.

A block computes side x side outputs from strips of both matrices, `depth` terms deep, in shared memory. A thread keeps
own x own outputs in registers, in blocks of 4 x 4: it reads four numbers of a strip with one instruction, and uses each
for `own` multiplications.

Strips are double-buffered: while the threads compute with one, the loads of the next are in flight to registers. So
there is one `syncthreads` for each strip, and memory latency is hidden.

A thread loads four numbers of each matrix, with one instruction if they are contiguous in memory, along the terms or
along the lines; else one by one, as for the windows of a convolution.
"""

from numba import float32, float64

from .availability import SIMULATED
from .launch import Kernel, cuda, device, split
from .vector_loads import load4, store4

ALONE, TERMS, LINES = 0, 1, 2  # which four adjacent elements of a matrix are contiguous and aligned


@device
def own_four(start, count, outer, fours, side, depth):
    """Return line and term of the first of a thread's four numbers, the line's offset, and the lines left."""
    if fours == TERMS:
        along, quarter = split(cuda.threadIdx.x, depth // 4)
        deep = 4 * quarter
    elif fours == LINES:
        deep, quarter = split(cuda.threadIdx.x, side // 4)
        along = 4 * quarter
    else:
        deep, along = split(cuda.threadIdx.x, side)
    line = start + along
    return along, deep, outer[line] if line < count else 0, count - line


@device
def fetch(memory, terms, fours, address, lines, k, end, step, zero):
    """Load four numbers: terms from k on, before `end`, of one line; or up to `lines` lines of one term."""
    a, b, c, d = zero, zero, zero, zero
    if fours == TERMS:
        if lines > 0 and k + 3 < end:
            a, b, c, d = load4(memory, address + terms[k])
        elif lines > 0:
            if k < end:
                a = memory[address + terms[k]]
            if k + 1 < end:
                b = memory[address + terms[k + 1]]
            if k + 2 < end:
                c = memory[address + terms[k + 2]]
    elif fours == LINES:
        if lines > 3 and k < end:
            a, b, c, d = load4(memory, address + terms[k])
        elif k < end:
            if lines > 0:
                a = memory[address + terms[k]]
            if lines > 1:
                b = memory[address + 1 + terms[k]]
            if lines > 2:
                c = memory[address + 2 + terms[k]]
    elif lines > 0:
        if k < end:
            a = memory[address + terms[k]]
        if k + step < end:
            b = memory[address + terms[k + step]]
        if k + 2 * step < end:
            c = memory[address + terms[k + 2 * step]]
        if k + 3 * step < end:
            d = memory[address + terms[k + 3 * step]]
    return a, b, c, d


@device
def put(strip, at, four, fours, step, side):
    """Write four numbers to a strip, which has a row for each term."""
    if fours == LINES:
        store4(strip, at, four)
    else:
        apart = side if fours == TERMS else step * side
        strip[at] = four[0]
        strip[at + apart] = four[1]
        strip[at + 2 * apart] = four[2]
        strip[at + 3 * apart] = four[3]


def tiled_product_of(kind, own: int, across: int, depth: int) -> Kernel:
    """Return the kernel for a dtype, with across x across threads that compute own x own outputs each."""
    side, threads, sums_of_a_thread = across * own, across * across, own * own
    strip, both, step, pitch = side * depth, 2 * side * depth, across // own, 4 * across

    def tiled_product(
        columns, parts, chunk, M, N, K, left, left_outer, left_terms, left_fours, right, right_outer, right_terms,
        right_fours, bias, bias_row, bias_column, has_bias, zero, floor, out, out_rows, out_columns,
    ):  # fmt: skip
        left_strips = cuda.shared.array(both, kind, alignment=16)
        right_strips = cuda.shared.array(both, kind, alignment=16)
        sums = cuda.local.array(sums_of_a_thread, kind)
        lefts, rights = cuda.local.array(own, kind), cuda.local.array(own, kind)
        tile, part = split(cuda.blockIdx.x, parts)
        down, right_by = split(tile, columns)
        y, x = split(cuda.threadIdx.x, across)
        top, start = down * side, right_by * side
        i, i_deep, row, rows = own_four(top, M, left_outer, left_fours, side, depth)
        j, j_deep, column, lines = own_four(start, N, right_outer, right_fours, side, depth)
        first, end = part * chunk, min((part + 1) * chunk, K)
        for i_sum in range(sums_of_a_thread):
            sums[i_sum] = zero
        four = fetch(left, left_terms, left_fours, row, rows, first + i_deep, end, step, zero)
        put(left_strips, i_deep * side + i, four, left_fours, step, side)
        four = fetch(right, right_terms, right_fours, column, lines, first + j_deep, end, step, zero)
        put(right_strips, j_deep * side + j, four, right_fours, step, side)
        cuda.syncthreads()  # the first strips are complete
        now = 0
        while first < end:
            first += depth
            next_left = fetch(left, left_terms, left_fours, row, rows, first + i_deep, end, step, zero)
            next_right = fetch(right, right_terms, right_fours, column, lines, first + j_deep, end, step, zero)
            for term in range(depth):
                at = now + term * side
                for group in range(own // 4):
                    four = load4(left_strips, at + group * pitch + 4 * y)
                    lefts[4 * group], lefts[4 * group + 1] = four[0], four[1]
                    lefts[4 * group + 2], lefts[4 * group + 3] = four[2], four[3]
                    four = load4(right_strips, at + group * pitch + 4 * x)
                    rights[4 * group], rights[4 * group + 1] = four[0], four[1]
                    rights[4 * group + 2], rights[4 * group + 3] = four[2], four[3]
                for a in range(own):
                    for b in range(own):
                        sums[a * own + b] += lefts[a] * rights[b]
            now = strip - now
            put(left_strips, now + i_deep * side + i, next_left, left_fours, step, side)
            put(right_strips, now + j_deep * side + j, next_right, right_fours, step, side)
            cuda.syncthreads()  # the next strips are complete, and all threads have read these
        for a in range(own):
            i = top + a // 4 * pitch + 4 * y + a % 4
            if i < M:
                line = part * M * N + out_rows[i]
                for b in range(own):
                    j = start + b // 4 * pitch + 4 * x + b % 4
                    if j < N:
                        total = sums[a * own + b]
                        if has_bias:
                            total += bias[i * bias_row + j * bias_column]
                        out[line + out_columns[j]] = floor if total < floor else total

    return Kernel(tiled_product, threads, kind.name)


# side = across * own; a thread loads four numbers, so side * depth = 4 * threads
TILED = {
    4: (tiled_product_of(float32, 8, 8, 4) if SIMULATED else tiled_product_of(float32, 8, 16, 8)),
    8: (tiled_product_of(float64, 4, 4, 4) if SIMULATED else tiled_product_of(float64, 4, 16, 16)),
}  # by the bytes of a number
SIDES = {4: 64 if SIMULATED else 128, 8: 16 if SIMULATED else 64}
DEPTHS = {4: 4 if SIMULATED else 8, 8: 4 if SIMULATED else 16}

"""Matrix products with few rows, such as the dx of a first layer, which has a row for each color.

A thread computes all rows of the tile, `tall`, for `over` columns that are `threads` apart, so that a warp reads
adjacent memory. It reads each number of the right matrix once, from memory to a register, and uses it `tall` times at
once: shared memory would not save anything. Only the left matrix and the offsets of the terms, which all threads need,
come from strips in shared memory.
"""

from numba import int32

from .launch import Kernel, cuda, device, split
from .tiles import finish
from .vector_loads import load4

TOGETHER = 4  # terms whose loads are in flight together


@device
def _add_terms(count, sums, lefts, offsets, first, tall, over, right, addresses, values):
    """Add the products of some adjacent terms to a thread's sums; their loads are in flight together."""
    for term in range(count):
        for b in range(over):
            values[term * over + b] = right[int32(addresses[b] + offsets[first + term])]
    for term in range(count):
        for group in range(tall // 4):
            four = load4(lefts, (first + term) * tall + 4 * group)
            for b in range(over):
                value, place = values[term * over + b], 4 * group * over + b
                sums[place] += four[0] * value
                sums[place + over] += four[1] * value
                sums[place + 2 * over] += four[2] * value
                sums[place + 3 * over] += four[3] * value


def thin_product_of(kind, tall: int, threads: int, over: int, depth: int, name: str, is_inside: bool = False) -> Kernel:
    """Return a kernel with a tile of tall x (threads * over) outputs.

    is_inside: whether all strips are complete, to count the instructions of such strips
    """
    wide, strip, own, loaded = threads * over, tall * depth, tall * over, TOGETHER * over
    strip_turns, depth_turns = -(-strip // threads), -(-depth // threads)

    def thin_product(
        columns, parts, chunk, M, N, K, left, left_outer, left_terms, left_fours, right, right_outer, right_terms,
        right_fours, bias, bias_row, bias_column, has_bias, zero, floor, out, out_rows, out_columns,
    ):  # fmt: skip
        lefts = cuda.shared.array(strip, kind, alignment=16)
        offsets = cuda.shared.array(depth, int32, alignment=16)
        sums, addresses = cuda.local.array(own, kind), cuda.local.array(over, int32)
        values = cuda.local.array(loaded, kind)
        tile, part = split(cuda.blockIdx.x, parts)
        tile_row, tile_column = split(tile, columns)
        top, start = tile_row * tall, tile_column * wide + cuda.threadIdx.x
        first, end = int32(part * chunk), int32(min((part + 1) * chunk, K))
        for i_sum in range(own):
            sums[i_sum] = zero
        for b in range(over):
            addresses[b] = right_outer[min(start + b * threads, N - 1)]
        while first < end:
            cuda.syncthreads()  # all threads have read the previous strip
            for turn in range(strip_turns):
                at = int32(cuda.threadIdx.x + turn * threads)
                if at < strip:
                    deep, along = split(at, tall)
                    k, i = int32(first + deep), min(top + along, M - 1)
                    is_there = is_inside or k < end
                    lefts[at] = left[int32(left_outer[i] + left_terms[k])] if is_there else zero
            for turn in range(depth_turns):
                at = int32(cuda.threadIdx.x + turn * threads)
                if at < depth:
                    offsets[at] = right_terms[first + at] if is_inside or first + at < end else 0
            cuda.syncthreads()  # the strip is complete
            if is_inside or first + depth <= end:
                for group in range(depth // TOGETHER):
                    at = group * TOGETHER
                    _add_terms(TOGETHER, sums, lefts, offsets, at, tall, over, right, addresses, values)
            else:
                for term in range(end - first):
                    _add_terms(1, sums, lefts, offsets, term, tall, over, right, addresses, values)
            first = int32(first + depth)
        for a in range(tall):
            i = top + a
            if i < M:
                line = int32(part * M * N + out_rows[i])
                for b in range(over):
                    finish(
                        sums[a * over + b], i, int32(start + b * threads), N, bias, bias_row, bias_column, has_bias,
                        floor, out, line, out_columns,
                    )  # fmt: skip

    return Kernel(thin_product, threads, f"{kind.name} {name}")

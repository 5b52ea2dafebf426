"""Block reductions: sums over many elements, with the same bits on every GPU.

Arrays are (N, C, S), and a reduction computes C sums, each over n and s. One block computes the sum of one c: each
thread sums every THREADS-th element, the 32 threads of a warp add their sums in five shuffles,

    value += the value of lane ^ 16, then lane ^ 8, ^ 4, ^ 2, ^ 1

after which every lane has the sum, and the warps add theirs through shared memory. If S is small, a block computes 32
sums, one for each lane, so that the reads of a warp are coalesced.

Few long sums would leave most of the GPU idle. They are cut into parts, one block for each, whose sums form a table
(parts, C) that is summed in the same way. The parts depend on the shape only.

    @kernel_of_sums
    def _squares(wide, parts, chunk, N, C, S, x, zero, out):
        c, i, end = own_share(wide, parts, chunk, N, C, S)
        total = zero
        while i < end:
            total += x[position(i, c, C, S)] * x[position(i, c, C, S)]
            i += stride(wide)
        total = block_sum(total, wide)
        if is_first(wide) and c < C:
            out[own_part(parts) * C + c] = total

    sums(_squares, x.shape, (x, zero), (out,))

Source: Harris, Optimizing Parallel Reduction in CUDA (2007).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba import float32, float64

from .availability import SIMULATED
from .launch import Kernel, cuda, device, kernel, split
from .memory import xp
from .warp import WARP, exchange, in_step

THREADS = 64 if SIMULATED else 256  # of a block
MEMBERS = THREADS // WARP  # threads for each of 32 sums
BLOCKS, SHORTEST = (4, 3) if SIMULATED else (512, 16)  # desired number of blocks; minimum elements of a thread
NARROW = 8  # a block computes 32 sums if S is less than this


def kernel_of_sums(function: Callable) -> Kernel:
    """Compile a kernel for `sums`."""
    return Kernel(function, THREADS)


def sums(
    compute: Kernel, shape: Sequence[int], arguments: Sequence[Any], out: Sequence[Any], add: Callable | None = None
) -> None:
    """Launch a kernel that writes sums into the arrays `out`, each (C,), of one dtype.

    shape: N, C, S of the summed array; add(parts, chunk, length, *tables, *out): computes `out` from tables (parts, C),
    where the `length` elements are cut into parts of `chunk` elements, the last one shorter; default: their sum
    """
    N, C, S = shape
    length = N * S
    wide = C > 1 and (length < THREADS or S < NARROW)
    blocks, least = (-(-C // WARP), MEMBERS * SHORTEST) if wide else (C, THREADS * SHORTEST)
    parts = max(1, min(BLOCKS // max(1, blocks), length // least))
    chunk = -(-length // parts)
    parts = max(1, -(-length // max(1, chunk)))
    results = out if parts == 1 else [xp.empty((parts, C), array.dtype) for array in out]
    compute.launch(blocks * parts, int(wide), parts, chunk, N, C, max(1, S), *arguments, *results)
    if parts > 1 and add is not None:
        add(parts, chunk, length, *results, *out)
    elif parts > 1:
        for table, array in zip(results, out, strict=True):
            add_up(table, (parts, C, 1), array)


def add_up(x: Any, shape: Sequence[int], out: Any) -> None:
    """out[c] = the sum of x[n, c, s] over n and s, in the dtype of `out`."""
    number = out.dtype.type
    sums(SUMS[out.dtype.itemsize], shape, (x, number(0)), (out,))


def narrowed(values, dtype):
    """Convert float64 sums to the dtype of the inputs."""
    out = xp.empty(values.shape, dtype)
    _convert(out.size, out.size, values, out)
    return out


def total(x: Any) -> Any:
    """Return the sum of a float64 array, as a device array of shape ()."""
    out = xp.empty((), x.dtype)
    add_up(x, (1, 1, x.size), out)
    return out


def total_of_squares(arrays: Sequence[Any]) -> Any:
    """Return the sum of squares of all elements in float64, as a device array of shape ()."""
    pieces = [max(1, min(BLOCKS, array.size // (THREADS * SHORTEST))) for array in arrays]
    out, done = xp.empty(sum(pieces)), 0
    for array, parts in zip(arrays, pieces, strict=True):
        _squares.launch(parts, parts, -(-array.size // parts), array.size, done, array, out)
        done += parts
    return total(out)


@device
def own_share(wide, parts, chunk, N, C, S):
    """Return the c of this thread's sum, and first and end of its elements, counted over n and s."""
    team, part = split(cuda.blockIdx.x, parts)
    warp, lane = split(cuda.threadIdx.x, WARP)
    c = team * WARP + lane if wide else team
    first = part * chunk + (warp if wide else cuda.threadIdx.x)
    return c, first, min((part + 1) * chunk, N * S) if c < C else 0


@device
def own_part(parts):
    """Return the part that this block sums."""
    return split(cuda.blockIdx.x, parts)[1]


@device
def stride(wide):
    """Return the distance between the elements of a thread."""
    return MEMBERS if wide else THREADS


@device
def position(i, c, C, S):
    """Return the index of element i of sum c."""
    n, s = split(i, S)
    return (n * C + c) * S + s


@device
def is_first(wide):
    """Whether this thread writes a sum of its block."""
    return cuda.threadIdx.x < (WARP if wide else 1)


@in_step
@device
def warp_sum(value):
    """Return the sum over the threads of a warp, to each of them."""
    value += exchange(value, 16)
    value += exchange(value, 8)
    value += exchange(value, 4)
    value += exchange(value, 2)
    return value + exchange(value, 1)


@device
def _larger(a, b):
    """Return the larger one, or NaN if there is one."""
    is_other = (b > a) | (b != b)
    return np.where(is_other, b, a) if SIMULATED else b if is_other else a


@in_step
@device
def warp_max(value):
    """Return the maximum over the threads of a warp, or NaN, to each of them."""
    value = _larger(value, exchange(value, 16))
    value = _larger(value, exchange(value, 8))
    value = _larger(value, exchange(value, 4))
    value = _larger(value, exchange(value, 2))
    return _larger(value, exchange(value, 1))


def _block_sum_of(kind):
    """Return `block_sum` for a dtype, since the type of shared memory is a compile-time constant."""

    @device
    def block_sum(value, wide):
        """Return the sum over the threads of a block that compute the same sum, to each of them."""
        strip = cuda.shared.array(THREADS, kind)
        lane = split(cuda.threadIdx.x, WARP)[1]
        strip[cuda.threadIdx.x] = value if wide else warp_sum(value)
        cuda.syncthreads()  # all warps have written
        result = strip[lane]
        for warp in range(1, MEMBERS):
            result += strip[warp * WARP + lane]
        cuda.syncthreads()  # all have read, since the next sum reuses `strip`
        return result

    return block_sum


block_sum = _block_sum_of(float64)
_block_sum_of_float32 = _block_sum_of(float32)


@kernel_of_sums
def _sums_of_float32(wide, parts, chunk, N, C, S, x, zero, out):
    c, i, end = own_share(wide, parts, chunk, N, C, S)
    result = zero
    while i < end:
        result += x[position(i, c, C, S)]
        i += stride(wide)
    result = _block_sum_of_float32(result, wide)
    if is_first(wide) and c < C:
        out[own_part(parts) * C + c] = result


@kernel_of_sums
def _sums_of_float64(wide, parts, chunk, N, C, S, x, zero, out):
    c, i, end = own_share(wide, parts, chunk, N, C, S)
    result = zero
    while i < end:
        result += x[position(i, c, C, S)]
        i += stride(wide)
    result = block_sum(result, wide)
    if is_first(wide) and c < C:
        out[own_part(parts) * C + c] = result


SUMS = {4: _sums_of_float32, 8: _sums_of_float64}  # by the bytes of a number


@kernel
def _convert(count, values, out):
    i = cuda.grid(1)
    if i < count:
        out[i] = values[i]


@kernel_of_sums
def _squares(parts, chunk, size, done, x, out):
    """out[done + p] = the sum of the squares of part p"""
    _, i, end = own_share(0, parts, chunk, 1, 1, size)
    result = 0.0
    while i < end:
        result += float64(x[i]) * float64(x[i])
        i += THREADS
    result = block_sum(result, 0)
    if is_first(0):
        out[done + cuda.blockIdx.x] = result

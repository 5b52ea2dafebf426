"""What the cores and the memory of this machine give at most: the measures that kernels are held against.

Multiply-adds between registers alone, as many at a time as a register tile has accumulators; copies of arrays that no
cache holds. Both on all threads of the kernels.
"""

import time

import numpy as np
from numba import config, types
from numba.extending import intrinsic
from numba.np.numpy_support import as_dtype

from . import threads
from .simd import cpu_info
from .simd.ir_builder import LANE, Emitter

MEASURABLE = not config.DISABLE_JIT  # type: ignore[attr-defined]  # without a compiler there is no fast loop

_ROUNDS = 1 << 14  # of a task: some 0.1 ms, so that some calls have the cores to themselves on a busy machine too
_COPIED = 1 << 28  # bytes: several times the last cache of a processor with many cores


def multiply_adds(dtype: np.dtype, seconds: float) -> float:
    """Floating-point operations per second, two for each multiply-add, at best during so many seconds."""
    zero, tasks = dtype.type(0), 8 * threads.get_num_threads()
    sums = np.zeros(tasks, dtype)
    tile = cpu_info.panel_tile(dtype)
    operations = 2.0 * tasks * _ROUNDS * tile.rows * tile.vectors * tile.lanes
    return operations / _fastest(lambda: _multiply_add(tasks, _ROUNDS, zero, sums), seconds)


def copy(seconds: float) -> float:
    """Bytes per second, read and written, at best during so many seconds."""
    source, target = np.ones((2, _COPIED // 8))
    return 2.0 * _COPIED / _fastest(lambda: _copy(source.size, source, target), seconds)


def _fastest(call, seconds):
    call()  # compiles
    end, samples = time.perf_counter() + seconds, []
    while not samples or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        samples.append(time.perf_counter() - start)
    return min(samples)


@intrinsic
def _accumulate(context, zero, rounds):
    """accumulator = accumulator * 1/2 + 1 for a tile of them, `rounds` times; their sum."""
    rows, vectors, lanes = cpu_info.panel_tile(as_dtype(zero))

    def codegen(context, builder, signature, arguments):
        emit = Emitter(builder, zero_type, lanes)
        half, one = emit.constant(0.5), emit.constant(1.0)
        starts = [emit.constant(float(place)) for place in range(rows * vectors)]
        first, *others = emit.accumulate(
            arguments[1], starts, lambda _, sums: [emit.multiply_add(value, half, one) for value in sums]
        )
        for other in others:
            first = builder.fadd(first, other)
        return builder.extract_element(emit.sums_of_lanes([first]), LANE(0))

    zero_type = zero
    return zero(zero, types.intp), codegen


@threads.parallel(grain=1)
def _multiply_add(first, last, rounds, zero, sums):
    for task in range(first, last):
        sums[task] = _accumulate(zero, rounds)


@threads.parallel(grain=1 << 15)
def _copy(start, stop, source, target):
    source, target = source[start:stop], target[start:stop]
    for place in range(source.size):
        target[place] = source[place]

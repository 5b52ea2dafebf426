"""The measured peak performance of this machine: multiply-adds and memory bandwidth, on all threads.

Multiply-adds are measured on registers alone, with the accumulators of one register tile; bandwidth by copies of
arrays that are larger than any cache.
"""

import time

import numpy as np
from numba import config, types
from numba.extending import intrinsic
from numba.np.numpy_support import as_dtype

from . import threads
from .simd import cpu_info
from .simd.ir_builder import LANE, Emitter

MEASURABLE = not config.DISABLE_JIT  # type: ignore[attr-defined]  # uncompiled loops are too slow

_ROUNDS = 1 << 14  # of a task: about 0.1 ms, short enough to run undisturbed at times on a busy machine
_COPIED = 1 << 28  # bytes, several times the last-level cache of a large processor


def multiply_adds(dtype: np.dtype, seconds: float) -> float:
    """Return the highest flop/s measured during `seconds`; a multiply-add is two operations."""
    zero, tasks = dtype.type(0), 8 * threads.get_num_threads()
    sums = np.zeros(tasks, dtype)
    tile = cpu_info.panel_tile(dtype)
    operations = 2.0 * tasks * _ROUNDS * tile.rows * tile.vectors * tile.lanes
    return operations / _fastest(lambda: _multiply_add(tasks, _ROUNDS, zero, sums), seconds)


def copy(seconds: float) -> float:
    """Return the highest bytes/s of a copy, read plus written, measured during `seconds`."""
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
    """Repeat accumulator = accumulator * 1/2 + 1 for a register tile, `rounds` times; return the sum of the tile."""
    rows, vectors, lanes = cpu_info.panel_tile(as_dtype(zero))

    def codegen(context, builder, signature, arguments):
        emit = Emitter(builder, zero_type, lanes)
        half, one = emit.constant(0.5), emit.constant(1.0)
        starts = [emit.constant(float(i)) for i in range(rows * vectors)]
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
    for i in range(source.size):
        target[i] = source[i]

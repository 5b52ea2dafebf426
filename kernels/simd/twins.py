"""The tiles and strips in plain NumPy, for NUMBA_DISABLE_JIT=1: a debugger can step through the engine with them.

They also say in a few lines each what the intrinsics compute.
"""

import ctypes

import numpy as np

from . import host


def _memory(address, dtype, count):
    """The array of `count` elements that begins at an address."""
    buffer = (ctypes.c_byte * (count * dtype.itemsize)).from_address(int(address))
    return np.frombuffer(buffer, dtype, count)


def _table(address, count):
    return _memory(address, np.dtype(np.int64), count)


def outer_tile(rows, floor, x, positions, offsets, weights, count, out, row_stride, places, bias):
    dtype = floor.dtype
    _, vectors, lanes = host.outer_tile(dtype)
    factors = _memory(weights, dtype, rows * count).reshape(count, rows)
    starts, targets = _table(positions, vectors), _table(places, vectors)
    taps = _table(offsets, count)[:, None] + np.arange(lanes)
    for v in range(vectors):
        values = _memory(x, dtype, starts[v] + taps.max() + 1)[starts[v] + taps]
        for row in range(rows):
            total = factors[:, row] @ values + _memory(bias, dtype, rows)[row]
            line = out + (row * row_stride + targets[v]) * dtype.itemsize
            _memory(line, dtype, lanes)[:] = np.where(total < floor, floor, total)


def panel_tile(rows, zero, a, a_row, a_step, panel, count, out, out_row):
    dtype, width = zero.dtype, panel_width(zero)
    places = np.arange(rows)[:, None] * a_row + np.arange(count) * a_step
    factors = _memory(a, dtype, places.max() + 1)[places]
    for row in range(rows):
        line = _memory(out + row * out_row * dtype.itemsize, dtype, width)
        line += factors[row] @ _memory(panel, dtype, count * width).reshape(count, width)


def dot_tile(zero, x, x_positions, offsets, d, d_stride, d_positions, count, out, out_stride):
    dtype = zero.dtype
    rows, vectors, lanes = host.dot_tile(dtype)
    at_x = _table(x_positions, count)[:, None] + np.arange(lanes)
    at_d = _table(d_positions, count)[:, None] + np.arange(lanes)
    for q, offset in enumerate(_table(offsets, vectors)):
        right = _memory(x + offset * dtype.itemsize, dtype, at_x.max() + 1)[at_x]
        for row in range(rows):
            left = _memory(d + row * d_stride * dtype.itemsize, dtype, at_d.max() + 1)[at_d]
            _memory(out + (row * out_stride + q) * dtype.itemsize, dtype, 1)[0] += np.sum(left * right)


def panel_width(zero):
    _, vectors, lanes = host.outer_tile(zero.dtype)
    return vectors * lanes


def outer_tile_vectors(zero):
    return host.outer_tile(zero.dtype).vectors


def dot_tile_shape(zero):
    rows, vectors, _ = host.dot_tile(zero.dtype)
    return rows, vectors


def copy_row(zero, target, source, count):
    _memory(target, zero.dtype, count)[:] = _memory(source, zero.dtype, count)


def copy_second(zero, target, source, count):
    _memory(target, zero.dtype, count)[:] = _memory(source, zero.dtype, 2 * count)[::2]


def copy_passed(zero, target, source, relu, count):
    passes = _memory(relu, zero.dtype, count) > 0
    _memory(target, zero.dtype, count)[:] = np.where(passes, _memory(source, zero.dtype, count), zero)


def pool_row(zero, target, index, top, bottom, count):
    rows = (_memory(line, zero.dtype, 2 * count).reshape(count, 2) for line in (top, bottom))
    windows = np.concatenate(list(rows), axis=1)
    place = np.argmax(windows, axis=1)  # the first maximum, or the first NaN
    best = windows[np.arange(count), place]
    _memory(target, zero.dtype, count)[:] = best
    _memory(index, np.dtype(np.uint8), count)[:] = np.where(best > 0, place, 4)


def unpool_row(zero, top, bottom, source, index, count):
    values, places = _memory(source, zero.dtype, count), _memory(index, np.dtype(np.uint8), count)
    for line, first in ((top, 0), (bottom, 2)):
        pairs = _memory(line, zero.dtype, 2 * count).reshape(count, 2)
        for column in (0, 1):
            pairs[:, column] = np.where(places == first + column, values, zero)

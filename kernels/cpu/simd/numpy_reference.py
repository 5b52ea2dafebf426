"""The emitted code of the register tiles and row copies in NumPy, for NUMBA_DISABLE_JIT=1 and debuggers.

Each function is also the specification of the intrinsic of the same name.
"""

import ctypes

import numpy as np

from . import cpu_info


def _memory(address, dtype, count):
    """Return the array of `count` elements at an address."""
    buffer = (ctypes.c_byte * (count * dtype.itemsize)).from_address(int(address))
    return np.frombuffer(buffer, dtype, count)


def _table(address, count):
    return _memory(address, np.dtype(np.int64), count)


def outer_tile(rows, vectors, floor, x, positions, offsets, weights, count, out, row_stride, targets, bias):
    dtype = floor.dtype
    lanes = cpu_info.lanes(dtype)
    factors = _memory(weights, dtype, rows * count).reshape(count, rows)
    starts, targets = _table(positions, vectors), _table(targets, vectors)
    taps = _table(offsets, count)[:, None] + np.arange(lanes)
    for v in range(vectors):
        values = _memory(x, dtype, starts[v] + taps.max() + 1)[starts[v] + taps]
        for row in range(rows):
            total = factors[:, row] @ values + _memory(bias, dtype, rows)[row]
            line = out + (row * row_stride + targets[v]) * dtype.itemsize
            _memory(line, dtype, lanes)[:] = np.where(total < floor, floor, total)


def panel_tile(rows, vectors, floor, a, a_row, panel, panel_row, count, start, start_row, out, out_row, last):
    dtype, width = floor.dtype, (vectors - 1) * cpu_info.lanes(floor.dtype) + last
    indices = np.arange(rows)[:, None] * a_row + np.arange(count)
    factors = _memory(a, dtype, indices.max() + 1)[indices]
    starts = np.stack([_memory(start + row * start_row * dtype.itemsize, dtype, width) for row in range(rows)])
    lines = np.stack([_memory(panel + k * panel_row * dtype.itemsize, dtype, width) for k in range(count)])
    for row, total in enumerate(starts + factors @ lines):
        _memory(out + row * out_row * dtype.itemsize, dtype, width)[:] = np.where(total < floor, floor, total)


def copy_panel(vectors, zero, target, source, source_row, count):
    width, size = vectors * cpu_info.lanes(zero.dtype), zero.itemsize
    copy_rows(zero, target, width * size, source, source_row * size, count, width)


def copy_transposed(zero, target, target_row, source, source_row, rows):
    lanes, size = panel_tile_shape(zero)[2], zero.itemsize
    square = np.stack([_memory(source + min(j, rows - 1) * source_row * size, zero.dtype, lanes) for j in range(lanes)])
    for k in range(lanes):
        _memory(target + k * target_row * size, zero.dtype, lanes)[:] = square[:, k]


def dot_rows(zero, x, rows, row, count, out):
    lanes, size = cpu_info.lanes(zero.dtype), zero.itemsize
    lines = np.stack([_memory(rows + j * row * size, zero.dtype, count) for j in range(lanes)])
    _memory(out, zero.dtype, lanes)[:] = lines @ _memory(x, zero.dtype, count)


def panel_tile_shape(zero):
    return *cpu_info.panel_tile(zero.dtype), 4 if cpu_info.has_panel_tile(6, 4) else 3


def next_vectors(rows, vectors, left):
    return 2 if rows == 8 and vectors == 3 and left in (1, 2, 4) else vectors


def dot_tile(rows, zero, x, positions, offsets, packed, count, out):
    dtype = zero.dtype
    vectors, lanes = cpu_info.dot_vectors(rows), cpu_info.lanes(dtype)
    indices = _table(positions, count)[:, None] + np.arange(lanes)
    left = _memory(packed, dtype, count * rows * lanes).reshape(count, rows, lanes)
    sums = _memory(out, dtype, vectors * rows).reshape(vectors, rows)
    for q, offset in enumerate(_table(offsets, vectors)):
        right = _memory(x + offset * dtype.itemsize, dtype, indices.max() + 1)[indices]
        sums[q] += np.einsum("trl,tl->r", left, right)


def pack_rows(rows, zero, packed, d, stride, last, positions, count, sums):
    dtype, lanes = zero.dtype, cpu_info.lanes(zero.dtype)
    indices = _table(positions, count)[:, None] + np.arange(lanes)
    vectors = _memory(packed, dtype, count * rows * lanes).reshape(count, rows, lanes)
    for row in range(rows):
        line = d + min(row, last) * stride * dtype.itemsize
        vectors[:, row] = _memory(line, dtype, indices.max() + 1)[indices]
    _memory(sums, dtype, rows)[:] += vectors.sum(axis=(0, 2))


def mix_rows(together, zero, target, target_row, source, source_row, stride, rows, count):
    for row in range(rows):
        mixed = _memory(target + row * target_row, zero.dtype, count * together).reshape(count, together)
        for e in range(together):
            mixed[:, e] = _memory(source + row * source_row + e * stride, zero.dtype, count)


def part_rows(together, zero, target, target_row, stride, source, source_row, rows, count):
    for row in range(rows):
        mixed = _memory(source + row * source_row, zero.dtype, count * together).reshape(count, together)
        for e in range(together):
            _memory(target + row * target_row + e * stride, zero.dtype, count)[:] = mixed[:, e]


def prefetch(address, size):
    pass


def _each_row(function):
    """Decorate function(dtype, *addresses of a row, count) to run for every row."""

    def all_rows(zero, *arguments):
        *addresses, rows, count = arguments
        for row in range(rows):
            pairs = zip(addresses[::2], addresses[1::2], strict=True)
            function(zero.dtype, *[address + row * stride for address, stride in pairs], count)

    return all_rows


@_each_row
def copy_rows(dtype, target, source, count):
    _memory(target, dtype, count)[:] = _memory(source, dtype, count)


@_each_row
def split_rows(dtype, even, odd, source, count):
    pairs = _memory(source, dtype, 2 * count).reshape(count, 2)
    _memory(even, dtype, count)[:], _memory(odd, dtype, count)[:] = pairs.T


@_each_row
def merge_rows(dtype, target, source, count):
    _memory(target, dtype, 2 * count)[::2] = _memory(source, dtype, count)


@_each_row
def pass_rows(dtype, target, source, relu, count):
    passes = _memory(relu, dtype, count) > 0
    _memory(target, dtype, count)[:] = np.where(passes, _memory(source, dtype, count), 0)


@_each_row
def pool_rows(dtype, target, index, top, bottom, count):
    lines = (_memory(line, dtype, 2 * count).reshape(count, 2) for line in (top, bottom))
    windows = np.concatenate(list(lines), axis=1)
    position = np.argmax(windows, axis=1)  # the first maximum, or the first NaN
    best = windows[np.arange(count), position]
    _memory(target, dtype, count)[:] = best
    _memory(index, np.dtype(np.uint8), count)[:] = np.where(best > 0, position, 4)


@_each_row
def unpool_rows(dtype, top, bottom, source, index, count):
    values, positions = _memory(source, dtype, count), _memory(index, np.dtype(np.uint8), count)
    for line, first in ((top, 0), (bottom, 2)):
        pairs = _memory(line, dtype, 2 * count).reshape(count, 2)
        for column in (0, 1):
            pairs[:, column] = np.where(positions == first + column, values, 0)


def memory(address, start, count, zero):
    return _memory(address + start * zero.itemsize, zero.dtype, count)

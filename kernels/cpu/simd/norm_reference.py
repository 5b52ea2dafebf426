"""The emitted code of `norm_vectors`, `pool2x2` and `pool_overlapping` in NumPy, for NUMBA_DISABLE_JIT=1."""

import numpy as np

from .numpy_reference import _memory

DOUBLE = np.dtype(np.float64)


def _rows(address, dtype, step, rows, count):
    return np.stack([_memory(address + row * step * dtype.itemsize, dtype, count) for row in range(rows)])


def _passed(dtype, g, relu, count):
    return np.where(_memory(relu, dtype, count) > 0, _memory(g, dtype, count), dtype.type(0))


def add_moments(zero, sums, squares, x, step, center, rows, count):
    deviations = _rows(x, zero.dtype, step, rows, count) - _memory(center, zero.dtype, count)
    _memory(sums, DOUBLE, count)[:] += deviations.sum(axis=0)
    _memory(squares, DOUBLE, count)[:] += (deviations * deviations).sum(axis=0)


def add_products(zero, sums, products, g, relu, relu_step, x, step, center, rows, count):
    passes = _rows(relu, zero.dtype, relu_step, rows, count) > 0
    gradients = np.where(passes, _rows(g, zero.dtype, step, rows, count), zero)
    deviations = _rows(x, zero.dtype, step, rows, count) - _memory(center, zero.dtype, count)
    _memory(sums, DOUBLE, count)[:] += gradients.sum(axis=0)
    _memory(products, DOUBLE, count)[:] += (gradients * deviations).sum(axis=0)


def normalise_row(zero, out, x, center, scale, shift, floor, count):
    x, center, scale, shift = (_memory(address, zero.dtype, count) for address in (x, center, scale, shift))
    value = (x - center) * scale + shift
    _memory(out, zero.dtype, count)[:] = np.where(value <= floor, floor, value)


def write_row(zero, dx, g, relu, x, center, scale, shift, slope, count):
    gradient = _passed(zero.dtype, g, relu, count)
    x, center, scale, shift, slope = (_memory(at, zero.dtype, count) for at in (x, center, scale, shift, slope))
    _memory(dx, zero.dtype, count)[:] = scale * (gradient - shift - slope * (x - center))


def scale_row(zero, dx, g, relu, scale, count):
    gradient = _passed(zero.dtype, g, relu, count)
    _memory(dx, zero.dtype, count)[:] = _memory(scale, zero.dtype, count) * gradient


def normalise_plane(zero, out, x, center, scale, shift, floor, count):
    value = (_memory(x, zero.dtype, count) - center) * scale + shift
    _memory(out, zero.dtype, count)[:] = np.where(value <= floor, floor, value)


def write_plane(zero, dx, g, relu, masked, x, center, scale, shift, slope, count):
    gradient = _passed(zero.dtype, g, relu, count) if masked else _memory(g, zero.dtype, count)
    deviation = _memory(x, zero.dtype, count) - center
    _memory(dx, zero.dtype, count)[:] = scale * gradient - (shift + slope * deviation)


def normalise_group(zero, out, x, gamma, beta, center, inv, offset, floor, count):
    x, gamma, beta = (_memory(address, zero.dtype, count) for address in (x, gamma, beta))
    value = ((x - center) * inv + offset) * gamma + beta
    _memory(out, zero.dtype, count)[:] = np.where(value <= floor, floor, value)


def write_group(zero, dx, g, relu, x, gamma, dgamma, dbeta, center, inv, shift, slope, count):
    gradient, deviation = _passed(zero.dtype, g, relu, count), _memory(x, zero.dtype, count) - center
    _memory(dbeta, DOUBLE, count)[:] += gradient
    _memory(dgamma, DOUBLE, count)[:] += gradient * (deviation * inv)
    scale = inv * _memory(gamma, zero.dtype, count)
    _memory(dx, zero.dtype, count)[:] = scale * gradient - (shift + slope * deviation)


def _pool(dtype, relu, target, index, windows):
    position = np.argmax(windows, axis=1)  # the first maximum, or the first NaN
    best, count = windows[np.arange(len(position)), position], len(position)
    _memory(target, dtype, count)[:] = best
    _memory(index, np.dtype(np.uint8), count)[:] = np.where((best > 0) | (not relu), position, 4)


def pool_pairs(zero, relu, target, index, top, bottom, count):
    rows = (_memory(line, zero.dtype, 2 * count).reshape(count, 2) for line in (top, bottom))
    if count:
        _pool(zero.dtype, relu, target, index, np.concatenate(list(rows), axis=1))


def _windows(memory, width):
    return memory.reshape(-1, 2, width // 2, 2).transpose(0, 2, 1, 3)


def pool_quads(zero, width, relu, target, index, source, count):
    if count:
        windows = _windows(_memory(source, zero.dtype, 4 * count), width)
        _pool(zero.dtype, relu, target, index, windows.reshape(count, 4))


def unpool_quads(zero, width, target, source, index, count):
    if count:
        values, positions = _memory(source, zero.dtype, count), _memory(index, np.dtype(np.uint8), count)
        chosen = np.where(positions[:, None] == np.arange(4), values[:, None], zero)
        target = _windows(_memory(target, zero.dtype, 4 * count), width)
        target[:] = chosen.reshape(target.shape)


def mean_pairs(zero, target, top, bottom, count):
    rows = [_memory(line, zero.dtype, 2 * count).reshape(count, 2) for line in (top, bottom)]
    _memory(target, zero.dtype, count)[:] = sum(row.sum(axis=1) for row in rows) / 4


def spread_pairs(zero, top, bottom, source, count):
    for line in (top, bottom):
        _memory(line, zero.dtype, 2 * count)[:] = np.repeat(_memory(source, zero.dtype, count) / 4, 2)


def largest_of_taps(zero, step, target, index, source, offsets, first, taps, count):
    if count < 1:
        return
    indices = step * np.arange(count)[:, None] + _memory(offsets, np.dtype(np.int64), taps)
    windows = _memory(source, zero.dtype, indices.max() + 1)[indices]
    position = np.argmax(windows, axis=1)
    _memory(target, zero.dtype, count)[:] = windows[np.arange(count), position]
    _memory(index, np.dtype(np.uint8), count)[:] = first + position

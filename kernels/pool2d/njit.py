"""`pool2d` plane by plane on the cores, whole output rows at a time so that the loops over columns vectorise.

For each place (kh, kw) of the window one pass over an output row, which stays in the first-level cache. The steps 1
and 2 between windows are spelled out, because LLVM vectorises a step that it knows. 2x2 windows that do not overlap,
the usual ones, have a pass of their own: it reads x and writes dx once.
"""

import numpy as np

from .. import threads
from ..simd.strips import unpool_row
from . import index_dtype

U = np.uintp  # an unsigned index cannot be negative: no wrap-around is compiled in, and the loop vectorises
PLANES = 16  # at least, that a thread takes on at a time


def max_pool2d_forward(x, size, stride, pad):
    out = np.empty(_out_shape(x.shape, size, stride, pad), x.dtype)
    index = np.empty(out.shape, index_dtype(size))
    _max_forward(out.shape[0] * out.shape[1], _planes(x), size, stride, pad, _planes(out), _planes(index))
    return out, index


def max_pool2d_backward(dout, index, x_shape, size, stride, pad):
    dx = np.empty(x_shape, dout.dtype)
    _max_backward(dx.shape[0] * dx.shape[1], _planes(dout), _planes(index), size, stride, pad, _planes(dx))
    return dx


def avg_pool2d_forward(x, size, stride, pad):
    out = np.empty(_out_shape(x.shape, size, stride, pad), x.dtype)
    _avg_forward(out.shape[0] * out.shape[1], _planes(x), size, stride, pad, _planes(out))
    return out


def avg_pool2d_backward(dout, x_shape, size, stride, pad):
    dx = np.empty(x_shape, dout.dtype)
    _avg_backward(dx.shape[0] * dx.shape[1], _planes(dout), size, stride, pad, _planes(dx))
    return dx


def global_avg_pool2d_forward(x):
    out = np.empty(x.shape[:2], x.dtype)
    _means(out.size, x.reshape(out.size, x.shape[2] * x.shape[3]), out.reshape(-1))
    return out


def global_avg_pool2d_backward(dout, x_shape):
    dx = np.empty(x_shape, dout.dtype)
    _spread(dout.size, dout.reshape(-1), dx.reshape(dout.size, dx.shape[2] * dx.shape[3]))
    return dx


def _out_shape(x_shape, size, stride, pad):
    rows, columns = (1 + (x_shape[2 + i] + 2 * pad[i] - size[i]) // stride[i] for i in (0, 1))
    return (*x_shape[:2], rows, columns)


def _planes(array):
    return array.reshape(array.shape[0] * array.shape[1], *array.shape[2:])


@threads.serial
def _span(length, count, place, step, border):
    """The outputs lo <= i < hi whose window has an element of the image at `place`, and where that of lo is."""
    lo = max(0, (border - place + step - 1) // step)
    hi = min(count, (length - 1 + border - place) // step + 1)
    return lo, max(lo, hi), lo * step - border + place


@threads.parallel(grain=PLANES)
def _max_forward(start, stop, x, size, stride, pad, out, index):
    halves = size == (2, 2) and stride == (2, 2) and pad == (0, 0)
    for plane in range(start, stop):
        if halves:
            _max_of_quads(x[plane], out[plane], index[plane])
        else:
            _max_of_windows(x[plane], size, stride, pad, out[plane], index[plane])


@threads.serial
def _max_of_quads(x, out, index):
    for i in range(out.shape[0]):
        top, bottom, values, places = x[2 * i], x[2 * i + 1], out[i], index[i]
        for j in range(out.shape[1]):
            best, place = top[U(2 * j)], 0
            for kh, kw in ((0, 1), (1, 0), (1, 1)):
                value = (bottom if kh else top)[U(2 * j + kw)]
                wins = (value > best) | ((value != value) & (best == best))
                best, place = (value, 2 * kh + kw) if wins else (best, place)
            values[j] = best
            places[j] = place


@threads.serial
def _max_of_windows(x, size, stride, pad, out, index):
    out[:] = -np.inf
    index[:] = size[0] * size[1]
    for i in range(out.shape[0]):
        for kh in range(size[0]):
            h = i * stride[0] - pad[0] + kh
            if 0 <= h < x.shape[0]:
                for kw in range(size[1]):
                    lo, hi, w = _span(x.shape[1], out.shape[1], kw, stride[1], pad[1])
                    _keep_larger(
                        x[h, w:], stride[1], kh * size[1] + kw, size[0] * size[1], out[i, lo:hi], index[i, lo:hi]
                    )


@threads.serial
def _keep_larger(candidates, step, place, none, out, index):
    """Where a candidate is larger than what a row has so far, or the first, or the first NaN, it wins."""
    if step == 1:
        for j in range(out.size):
            value, best = candidates[U(j)], out[j]
            if (index[j] == none) | (value > best) | ((value != value) & (best == best)):
                out[j], index[j] = value, place
    elif step == 2:
        for j in range(out.size):
            value, best = candidates[U(2 * j)], out[j]
            if (index[j] == none) | (value > best) | ((value != value) & (best == best)):
                out[j], index[j] = value, place
    else:
        for j in range(out.size):
            value, best = candidates[U(step * j)], out[j]
            if (index[j] == none) | (value > best) | ((value != value) & (best == best)):
                out[j], index[j] = value, place


@threads.parallel(grain=PLANES)
def _max_backward(start, stop, dout, index, size, stride, pad, dx):
    halves = size == (2, 2) and stride == (2, 2) and pad == (0, 0)
    for plane in range(start, stop):
        if halves:
            _spread_quads(dout[plane], index[plane], dx[plane])
        else:
            _add_to_winners(dout[plane], index[plane], size, stride, pad, dx[plane])


@threads.serial
def _spread_quads(dout, index, dx):
    zero, size = dx.dtype.type(0), dx.itemsize
    (rows, columns), W = dout.shape, dx.shape[1]
    for i in range(rows):
        top, at = dx.ctypes.data + 2 * i * W * size, i * columns
        source, places = dout.ctypes.data + at * size, index.ctypes.data + at
        unpool_row(zero, top, top + W * size, source, places, columns)
        dx[2 * i, 2 * columns :] = zero
        dx[2 * i + 1, 2 * columns :] = zero
    dx[2 * rows :] = zero


@threads.serial
def _add_to_winners(dout, index, size, stride, pad, dx):
    dx[:] = 0
    for i in range(dout.shape[0]):
        for j in range(dout.shape[1]):
            place = np.int64(index[i, j])
            h, w = i * stride[0] - pad[0] + place // size[1], j * stride[1] - pad[1] + place % size[1]
            if place < size[0] * size[1] and 0 <= h < dx.shape[0] and 0 <= w < dx.shape[1]:
                dx[h, w] += dout[i, j]


@threads.parallel(grain=PLANES)
def _avg_forward(start, stop, x, size, stride, pad, out):
    for plane in range(start, stop):
        _mean_of_windows(x[plane], size, stride, pad, out[plane])


@threads.serial
def _mean_of_windows(x, size, stride, pad, out):
    out[:] = 0
    area = out.dtype.type(size[0] * size[1])
    for i in range(out.shape[0]):
        for kh in range(size[0]):
            h = i * stride[0] - pad[0] + kh
            if 0 <= h < x.shape[0]:
                for kw in range(size[1]):
                    lo, hi, w = _span(x.shape[1], out.shape[1], kw, stride[1], pad[1])
                    values, total = x[h, w:], out[i, lo:hi]
                    for j in range(hi - lo):
                        total[j] += values[U(stride[1] * j)]
        for j in range(out.shape[1]):
            out[i, j] /= area


@threads.parallel(grain=PLANES)
def _avg_backward(start, stop, dout, size, stride, pad, dx):
    for plane in range(start, stop):
        _share_among_windows(dout[plane], size, stride, pad, dx[plane])


@threads.serial
def _share_among_windows(dout, size, stride, pad, dx):
    dx[:] = 0
    area = dx.dtype.type(size[0] * size[1])
    for i in range(dout.shape[0]):
        for kh in range(size[0]):
            h = i * stride[0] - pad[0] + kh
            if 0 <= h < dx.shape[0]:
                for kw in range(size[1]):
                    lo, hi, w = _span(dx.shape[1], dout.shape[1], kw, stride[1], pad[1])
                    values, target = dout[i, lo:hi], dx[h, w:]
                    for j in range(hi - lo):
                        target[U(stride[1] * j)] += values[j] / area


@threads.parallel(grain=PLANES)
def _means(start, stop, x, out):
    for plane in range(start, stop):
        total = out.dtype.type(0)
        for place in range(x.shape[1]):
            total += x[plane, place]
        out[plane] = total / out.dtype.type(x.shape[1])


@threads.parallel(grain=PLANES)
def _spread(start, stop, dout, dx):
    for plane in range(start, stop):
        share = dout[plane] / dx.dtype.type(dx.shape[1])
        for place in range(dx.shape[1]):
            dx[plane, place] = share

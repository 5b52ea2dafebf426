"""`pool2d` with planes in parallel and a SIMD vector of outputs at a time.

2x2 windows that do not overlap, the usual ones, have their own kernel (`simd.pool2x2`), which reads x and writes dx
once. The maximum of other windows is vectorized inside the image if their stride is 1 or 2 columns
(`simd.pool_overlapping`); windows that reach into the padding, and their mean, are computed element by element.
"""

import numpy as np

from ..cpu import threads
from ..cpu.simd.pool2x2 import mean_pairs, narrow, pool_planes, spread_pairs, unpool_planes
from ..cpu.simd.pool_overlapping import largest_of_taps
from . import index_dtype

U = np.uintp  # with unsigned indices Numba compiles no wrap-around of negative ones, and LLVM vectorizes the loop
GRAIN = 1 << 16  # elements per task


def max_pool2d_forward(x, geometry):
    size, stride, pad = geometry.window, geometry.stride, geometry.pad
    out = np.empty((*x.shape[:2], *geometry.out), x.dtype)
    index, planes = np.empty(out.shape, index_dtype(size)), _planes(x)
    if _is_2x2(size, stride, pad):
        width = narrow(*x.shape[2:], x.dtype)
        _max_2x2(*_tasks(planes), width, x.shape[2:], planes, out.reshape(-1), index.reshape(-1))
    else:
        offsets = (np.arange(size[0])[:, None] * x.shape[3] + np.arange(size[1])).reshape(-1)
        _max_of_windows(*_tasks(planes), planes, size, stride, pad, offsets, _planes(out), _planes(index))
    return out, index


def max_pool2d_backward(dout, index, x_shape, geometry):
    size, stride, pad = geometry.window, geometry.stride, geometry.pad
    dx = np.empty(x_shape, dout.dtype)
    planes = _planes(dx)
    if _is_2x2(size, stride, pad):
        width = narrow(*x_shape[2:], dx.dtype)
        _spread_2x2(*_tasks(planes), width, x_shape[2:], dout.reshape(-1), index.reshape(-1), planes)
    else:
        positions = np.repeat(np.arange(size[0]), size[1]), np.tile(np.arange(size[1]), size[0])
        shape = (len(planes), *x_shape[2:], *dout.shape[2:])
        offsets = (positions[0] * x_shape[3] + positions[1]).astype(U)
        flat = dout.reshape(-1), index.reshape(-1), size, stride, pad, *positions, offsets, dx.reshape(-1)
        _add_to_winners(*_tasks(planes), shape, *flat)
    return dx


def avg_pool2d_forward(x, geometry):
    size, stride, pad = geometry.window, geometry.stride, geometry.pad
    out = np.empty((*x.shape[:2], *geometry.out), x.dtype)
    kernel = _means_2x2 if _is_2x2(size, stride, pad) else _means_of_windows
    kernel(*_tasks(_planes(x)), _planes(x), size, stride, pad, _planes(out))
    return out


def avg_pool2d_backward(dout, x_shape, geometry):
    size, stride, pad = geometry.window, geometry.stride, geometry.pad
    dx = np.empty(x_shape, dout.dtype)
    kernel = _share_2x2 if _is_2x2(size, stride, pad) else _share_in_windows
    kernel(*_tasks(_planes(dx)), _planes(dout), size, stride, pad, _planes(dx))
    return dx


def global_avg_pool2d_forward(x):
    out = np.empty(x.shape[:2], x.dtype)
    planes = x.reshape(out.size, x.shape[2] * x.shape[3])
    _means(*_tasks(planes), planes, out.reshape(-1))
    return out


def global_avg_pool2d_backward(dout, x_shape):
    dx = np.empty(x_shape, dout.dtype)
    planes = dx.reshape(dout.size, dx.shape[2] * dx.shape[3])
    _spread(*_tasks(planes), dout.reshape(-1), planes)
    return dx


def _planes(array):
    return array.reshape(array.shape[0] * array.shape[1], *array.shape[2:])


def _is_2x2(size, stride, pad):
    return size == (2, 2) and stride == (2, 2) and pad == (0, 0)


def _tasks(planes):
    """Return the number of tasks and the planes of each."""
    count = max(1, GRAIN // max(1, planes[:1].size))
    return -(-len(planes) // count), count


@threads.serial
def _span(length, count, offset, step, border):
    """Return the outputs lo <= i < hi whose window has an image element at `offset`, and the index of that of lo."""
    lo = max(0, (border - offset + step - 1) // step)
    hi = min(count, (length - 1 + border - offset) // step + 1)
    return lo, max(lo, hi), lo * step - border + offset


@threads.serial
def _inside(length, count, size, step, border):
    """Return the outputs lo <= i < hi whose whole window is in the image."""
    lo = min(count, (border + step - 1) // step)
    hi = min(count, (length + border - size) // step + 1) if length + border >= size else lo
    return lo, max(lo, hi)


@threads.parallel(grain=1)
def _max_2x2(start, stop, planes, width, image, x, out, index):
    H, W = image
    first, last = start * planes, min(stop * planes, len(x))
    pool_planes(last - first, width, H, W, 0, x[first:].ctypes.data, out, index, first * (H // 2) * (W // 2))


@threads.parallel(grain=1)
def _max_of_windows(start, stop, planes, x, size, stride, pad, offsets, out, index):
    zero, itemsize, (H, W) = x.dtype.type(0), x.itemsize, x.shape[1:]
    rows, columns = out.shape[1:]
    lo, hi = _inside(W, columns, size[1], stride[1], pad[1])
    if stride[1] > 2 or index.itemsize > 1:
        hi = lo
    for plane in range(start * planes, min(stop * planes, len(x))):
        for i in range(rows):
            top = i * stride[0] - pad[0]
            from_row, to_row = max(0, -top), min(size[0], H - top)
            taps, first = (to_row - from_row) * size[1], from_row * size[1]
            table = offsets.ctypes.data + first * offsets.itemsize
            source = x.ctypes.data + ((plane * H + top) * W + lo * stride[1] - pad[1]) * itemsize
            at = (plane * rows + i) * columns + lo
            target, winners = out.ctypes.data + at * itemsize, index.ctypes.data + at
            if hi > lo and stride[1] == 1:
                largest_of_taps(zero, 1, target, winners, source, table, first, taps, hi - lo)
            elif hi > lo:
                below = ((len(x) - plane) * H - top - to_row) * W
                right = W + pad[1] - 2 * (hi - 1) - size[1]
                last = 0 if below + right > 0 else 1  # the last output is computed alone, to read nothing beyond x
                rest = hi - lo - last
                largest_of_taps(zero, 2, target, winners, source, table, first, taps, rest)
                source += 2 * rest * itemsize
                largest_of_taps(zero, 1, target + rest * itemsize, winners + rest, source, table, first, taps, last)
            for begin, end in ((0, lo), (hi, columns)):
                for j in range(begin, end):
                    left = j * stride[1] - pad[1]
                    out[plane, i, j], index[plane, i, j] = _largest(x[plane], top, left, size)


@threads.serial
def _largest(x, top, left, size):
    """Return the maximum of one window and its position."""
    best, position = x.dtype.type(-np.inf), -1
    for kh in range(max(0, -top), min(size[0], x.shape[0] - top)):
        for kw in range(max(0, -left), min(size[1], x.shape[1] - left)):
            value = x[top + kh, left + kw]
            if position < 0 or value > best or (value != value and best == best):
                best, position = value, kh * size[1] + kw
    return best, position


@threads.parallel(grain=1)
def _spread_2x2(start, stop, planes, width, image, dout, index, dx):
    H, W = image
    first, last = start * planes, min(stop * planes, len(dx))
    at = first * (H // 2) * (W // 2)
    unpool_planes(last - first, width, H, W, dout, index, at, dx.reshape(-1), first * H * W)


@threads.parallel(grain=1)
def _add_to_winners(start, stop, planes, shape, dout, index, size, stride, pad, heights, widths, offsets, dx):
    count, H, W, rows, columns = shape
    top, bottom = _inside(H, rows, size[0], stride[0], pad[0])
    left, right = _inside(W, columns, size[1], stride[1], pad[1])
    none, step = U(heights.size), U(stride[1])
    for plane in range(start * planes, min(stop * planes, count)):
        dx[plane * H * W : (plane + 1) * H * W] = 0
        for i in range(rows):
            source, h = U((plane * rows + i) * columns), i * stride[0] - pad[0]
            lo, hi = (left, right) if top <= i < bottom else (0, 0)
            target, begin = (plane * H + h) * W + lo * stride[1] - pad[1], source + U(lo)
            for j in range(U(hi - lo)):
                position = U(index[begin + U(j)])  # cast j too: in NumPy 1 uint64 + int is float64
                if position < none:
                    dx[U(target) + U(j) * step + offsets[position]] += dout[begin + U(j)]
            for first, last in ((0, lo), (hi, columns)):
                for j in range(U(first), U(last)):
                    position = U(index[source + U(j)])
                    if position < none:
                        row, column = h + heights[position], np.int64(j) * stride[1] - pad[1] + widths[position]
                        if 0 <= row < H and 0 <= column < W:
                            dx[U((plane * H + row) * W + column)] += dout[source + U(j)]


@threads.parallel(grain=1)
def _means_2x2(start, stop, planes, x, size, stride, pad, out):
    zero, itemsize, (H, W), (rows, columns) = x.dtype.type(0), x.itemsize, x.shape[1:], out.shape[1:]
    for plane in range(start * planes, min(stop * planes, len(x))):
        for i in range(rows):
            top = x.ctypes.data + (plane * H + 2 * i) * W * itemsize
            target = out.ctypes.data + (plane * rows + i) * columns * itemsize
            mean_pairs(zero, target, top, top + W * itemsize, columns)


@threads.parallel(grain=1)
def _means_of_windows(start, stop, planes, x, size, stride, pad, out):
    for plane in range(start * planes, min(stop * planes, len(x))):
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


@threads.parallel(grain=1)
def _share_2x2(start, stop, planes, dout, size, stride, pad, dx):
    zero, itemsize, (H, W), (rows, columns) = dx.dtype.type(0), dx.itemsize, dx.shape[1:], dout.shape[1:]
    for plane in range(start * planes, min(stop * planes, len(dx))):
        for i in range(rows):
            top = dx.ctypes.data + (plane * H + 2 * i) * W * itemsize
            source = dout.ctypes.data + (plane * rows + i) * columns * itemsize
            spread_pairs(zero, top, top + W * itemsize, source, columns)
            dx[plane, 2 * i : 2 * i + 2, 2 * columns :] = 0
        dx[plane, 2 * rows :] = 0


@threads.parallel(grain=1)
def _share_in_windows(start, stop, planes, dout, size, stride, pad, dx):
    share = np.empty(dout.shape[2], dx.dtype)
    for plane in range(start * planes, min(stop * planes, len(dx))):
        _share_among_windows(dout[plane], size, stride, pad, share, dx[plane])


@threads.serial
def _share_among_windows(dout, size, stride, pad, share, dx):
    """Compute dx row by row: sum dout over the windows of a column, then add it at each column of these windows."""
    area = dx.dtype.type(size[0] * size[1])
    for h in range(dx.shape[0]):
        row = dx[h]
        row[:] = 0
        share[:] = 0
        for i in range(max(0, (h + pad[0] - size[0]) // stride[0] + 1), min(len(dout), (h + pad[0]) // stride[0] + 1)):
            values = dout[i]
            for j in range(U(share.size)):
                share[j] += values[j]
        for j in range(U(share.size)):
            share[j] /= area
        for kw in range(size[1]):
            lo, hi, w = _span(dx.shape[1], share.size, kw, stride[1], pad[1])
            for j in range(hi - lo):
                row[U(w + stride[1] * j)] += share[U(lo + j)]


@threads.parallel(grain=1)
def _means(start, stop, planes, x, out):
    for plane in range(start * planes, min(stop * planes, len(x))):
        total, row = out.dtype.type(0), x[plane]
        for i in range(U(row.size)):
            total += row[i]
        out[plane] = total / out.dtype.type(row.size)


@threads.parallel(grain=1)
def _spread(start, stop, planes, dout, dx):
    for plane in range(start * planes, min(stop * planes, len(dx))):
        share, row = dout[plane] / dx.dtype.type(dx.shape[1]), dx[plane]
        for i in range(U(row.size)):
            row[i] = share

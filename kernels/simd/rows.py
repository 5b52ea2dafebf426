"""Rows moved for the convolution engine: into zero-bordered planes, and from scratch planes to where they belong."""

import numpy as np

from .. import threads
from .strips import copy_passed, copy_row, copy_second, pool_row, unpool_row


@threads.serial
def _are_halves(size, stride):
    """Windows of 2 x 2 that do not overlap: the usual pooling, which has vector code of its own."""
    return size[0] == 2 and size[1] == 2 and stride[0] == 2 and stride[1] == 2


@threads.serial
def fill_planes(x, n, layout, planes, base):
    """Copy image n into its planes; their borders are zero already."""
    H, W, SH, SW, PH, PW = layout.H, layout.W, layout.SH, layout.SW, layout.PH, layout.PW
    zero, size = planes.dtype.type(0), planes.itemsize
    image, target = x[n].ctypes.data, planes.ctypes.data + base * size
    for c in range(layout.C):
        for h in range(H):
            source = image + (c * H + h) * W * size
            row = (c * SH + (h + PH) % SH) * SW * layout.plane + (h + PH) // SH * layout.row
            if SW == 1:
                copy_row(zero, target + (row + PW) * size, source, W)
            elif SW == 2:
                for w in range(min(2, W)):
                    start = row + (w + PW) % 2 * layout.plane + (w + PW) // 2
                    count = (W - w + 1) // 2
                    copy_second(zero, target + start * size, source + w * size, count - 1)
                    copy_row(zero, target + (start + count - 1) * size, source + (w + 2 * count - 2) * size, 1)
            else:
                for w in range(W):
                    place = row + (w + PW) % SW * layout.plane + (w + PW) // SW
                    planes[base + place] = x[n, c, h, w]


@threads.serial
def copy_rows(scratch, base, row, size, out):
    """The valid part of a scratch plane to a plane of the output."""
    zero, itemsize = out.dtype.type(0), out.itemsize
    rows, columns = size
    if row == columns:  # no gaps: one long row
        rows, columns = 1, rows * columns
    for i in range(rows):
        source = scratch.ctypes.data + (base + i * row) * itemsize
        copy_row(zero, out.ctypes.data + i * columns * itemsize, source, columns)


@threads.serial
def pool(scratch, base, row, size, stride, out, index):
    """Max pooling of a plane that ReLU has passed; a winner that is not positive gets the index "none"."""
    none, zero, itemsize = size[0] * size[1], out.dtype.type(0), out.itemsize
    rows, columns = out.shape
    if _are_halves(size, stride):
        for i in range(rows):
            top = scratch.ctypes.data + (base + 2 * i * row) * itemsize
            target, places = out.ctypes.data + i * columns * itemsize, index.ctypes.data + i * columns
            pool_row(zero, target, places, top, top + row * itemsize, columns)
        return
    for i in range(rows):
        for j in range(columns):
            start = base + i * stride[0] * row + j * stride[1]
            best, place = scratch[start], 0
            for kh in range(size[0]):
                for kw in range(size[1]):
                    value = scratch[start + kh * row + kw]
                    if value > best or (value != value and best == best):
                        best, place = value, kh * size[1] + kw
            out[i, j] = best
            index[i, j] = place if best > 0 else none


@threads.serial
def fill_gradients(dout, relu, index, size, stride, n, layout, planes, base):
    """The gradient of image n with respect to the convolution's own output, in zero-bordered planes."""
    F, rows, columns = dout.shape[1], dout.shape[2], dout.shape[3]
    zero, itemsize = planes.dtype.type(0), planes.itemsize
    if layout.row == columns and not index.size:  # no gaps: one long row
        rows, columns = 1, rows * columns
    for f in range(F):
        start = base + f * layout.plane + layout.start
        if index.size:
            unpool(dout[n, f], index[n, f], size, stride, planes, start, layout.row, layout.plane - layout.start)
            continue
        for i in range(rows):
            target = planes.ctypes.data + (start + i * layout.row) * itemsize
            at = ((n * F + f) * rows + i) * columns * itemsize
            if relu.size:
                copy_passed(zero, target, dout.ctypes.data + at, relu.ctypes.data + at, columns)
            else:
                copy_row(zero, target, dout.ctypes.data + at, columns)


@threads.serial
def unpool(dout, index, size, stride, planes, start, row, length):
    """Each pooled gradient to where its winner was."""
    zero, itemsize = planes.dtype.type(0), planes.itemsize
    rows, columns = dout.shape
    if _are_halves(size, stride):
        for i in range(rows):
            top = planes.ctypes.data + (start + 2 * i * row) * itemsize
            source, places = dout.ctypes.data + i * columns * itemsize, index.ctypes.data + i * columns
            unpool_row(zero, top, top + row * itemsize, source, places, columns)
        return
    planes[start : start + length] = zero
    for i in range(rows):
        for j in range(columns):
            place = np.int64(index[i, j])
            if place < size[0] * size[1]:
                target = start + (i * stride[0] + place // size[1]) * row + j * stride[1] + place % size[1]
                planes[target] += dout[i, j]


@threads.serial
def sum_gradients(layout, planes, base, db):
    """db of one image; the borders add zeros."""
    for f in range(db.size):
        total = db.dtype.type(0)
        start = base + f * layout.plane + layout.start
        for place in range(layout.plane - layout.start):
            total += planes[np.uintp(start + place)]
        db[f] += total


@threads.serial
def deal_out(scratch, base, row, rows, columns, dx, top, left, SH, SW):
    """One phase of a channel of dx: every SH-th row and SW-th column of it, from (top, left) on."""
    target, W, zero, size = dx.reshape(-1), dx.shape[1], dx.dtype.type(0), dx.itemsize
    for i in range(rows):
        start = (top + i * SH) * W + left
        if SW == 1:
            source = scratch.ctypes.data + (base + i * row) * size
            copy_row(zero, dx.ctypes.data + start * size, source, columns)
        else:
            for j in range(columns):
                target[np.uintp(start + j * SW)] = scratch[np.uintp(base + i * row + j)]

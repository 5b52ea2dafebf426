"""Copies of the convolution engine: images into zero-padded planes, scratch planes to the output.

Images are processed in groups of `together`; the last group may have fewer (`count`). `spare` is scratch memory for one
channel of each image of a group, for copies that take two steps.
"""

import numpy as np

from .. import threads
from .interleave import mix_rows, part_rows, prefetch
from .pool2x2 import pool_planes
from .row_copies import copy_rows, merge_rows, pass_rows, pool_rows, split_rows, unpool_rows


@threads.njit_no_refcount
def _are_halves(size, stride):
    """Whether windows are 2 x 2 with stride 2, for which there is vector code."""
    return size[0] == 2 and size[1] == 2 and stride[0] == 2 and stride[1] == 2


@threads.njit_no_refcount
def fill_planes(x, first, count, layout, planes, base, spare):
    """Copy a group of images into planes with zero borders; missing images of the last group become zero."""
    H, W, SH, SW, together = layout.H, layout.W, layout.SH, layout.SW, layout.together
    zero, size = planes.dtype.type(0), planes.itemsize
    line, image, row = W * size, layout.C * H * W * size, layout.row * size
    ways = layout.columns.shape[0]
    if count < together:
        for i in range(spare.size):
            spare[i] = zero
    for c in range(layout.C):
        channel = x.ctypes.data + (first * layout.C + c) * H * line
        plane = planes.ctypes.data + (base + c * SH * SW * layout.plane) * size
        for a in range(min(SH, H)):
            source, target, rows = channel + a * line, plane + layout.lines[a] * size, (H - a + SH - 1) // SH
            if together == 1 and SW == 2:
                even, odd = target + layout.columns[0, 0] * size, target + layout.columns[ways - 1, 0] * size
                split_rows(zero, even, row, odd, row, source, SH * line, rows, W // 2)
                if W % 2:
                    copy_rows(zero, even + W // 2 * size, row, source + line - size, SH * line, rows, 1)
                continue
            for b in range(ways):
                out, columns = target + layout.columns[b, 0] * size, layout.columns[b, 1]
                here, here_row, here_image = source + b * size, SH * line, image
                if SW > 1 or count < together:
                    here, here_row, here_image = spare.ctypes.data, columns * size, rows * columns * size
                    for e in range(count):
                        for j in range(columns):
                            copy_rows(
                                zero, here + e * here_image + j * size, here_row,
                                source + e * image + (b + j * SW) * size, SH * line, rows, 1,
                            )  # fmt: skip
                if together == 1:
                    copy_rows(zero, out, row, here, here_row, rows, columns)
                else:
                    mix_rows(together, zero, out, row, here, here_row, here_image, rows, columns)


@threads.njit_no_refcount
def fill_gradients(dout, relu, index, size, stride, out_size, first, count, layout, planes, base, spare):
    """Write the gradient of a convolution's output, before ReLU and pooling, into planes with zero borders."""
    F, together, itemsize, zero = dout.shape[1], layout.together, planes.itemsize, planes.dtype.type(0)
    rows, columns = out_size
    row, line, pooled = layout.row * itemsize, columns * itemsize, index.size > 0
    if count < together:
        for i in range(spare.size):
            spare[i] = zero
    for f in range(F):
        start = base + f * layout.plane + layout.start
        target, source = planes.ctypes.data + start * itemsize, dout.ctypes.data + (first * F + f) * rows * line
        image = F * rows * line
        if together == 1:
            if pooled:
                length = layout.plane - layout.start
                unpool(dout[first, f], index[first, f], size, stride, planes, start, layout.row, length)
            elif relu.size:
                mask = relu.ctypes.data + (first * F + f) * rows * line
                pass_rows(zero, target, row, source, line, mask, line, rows, columns)
            else:
                copy_rows(zero, target, row, source, line, rows, columns)
            continue
        if pooled or relu.size or count < together:
            for e in range(count):
                offset = e * rows * columns
                if pooled:
                    unpool(
                        dout[first + e, f], index[first + e, f], size, stride, spare, offset, columns, rows * columns
                    )
                elif relu.size:
                    mask = relu.ctypes.data + ((first + e) * F + f) * rows * line
                    target_e = spare.ctypes.data + offset * itemsize
                    pass_rows(zero, target_e, 0, source + e * image, 0, mask, 0, 1, rows * columns)
                else:
                    copy_rows(zero, spare.ctypes.data + offset * itemsize, 0, source + e * image, 0, 1, rows * columns)
            source, image = spare.ctypes.data, rows * line
        mix_rows(together, zero, target, row, source, line, image, rows, columns)


@threads.njit_no_refcount
def unpool(dout, index, size, stride, planes, start, row, length):
    """Write each pooled gradient to the position of its maximum, and zero elsewhere."""
    zero, itemsize = planes.dtype.type(0), planes.itemsize
    rows, columns = dout.shape
    if _are_halves(size, stride):
        top, line = planes.ctypes.data + start * itemsize, row * itemsize
        unpool_rows(
            zero, top, 2 * line, top + line, 2 * line, dout.ctypes.data, columns * itemsize, index.ctypes.data, columns,
            rows, columns,
        )  # fmt: skip
        return
    for element in range(start, start + length):
        planes[element] = zero
    for i in range(rows):
        for j in range(columns):
            position = np.int64(index[i, j])
            if position < size[0] * size[1]:
                target = start + (i * stride[0] + position // size[1]) * row + j * stride[1] + position % size[1]
                planes[target] += dout[i, j]


@threads.njit_no_refcount
def store_plane(scratch, base, row, size, together, out, first, count, f, spare):
    """Copy the valid part of a scratch plane to plane f of the output of a group of images."""
    zero, itemsize = out.dtype.type(0), out.itemsize
    rows, columns = size
    target = np.intp(out.ctypes.data + (first * out.shape[1] + f) * rows * columns * itemsize)
    image = out.shape[1] * rows * columns * itemsize
    part_planes(scratch, base, row, rows, columns, together, zero, target, columns * itemsize, image, count, spare)


@threads.njit_no_refcount
def part_planes(scratch, base, row, rows, columns, together, zero, target, target_row, image, count, spare):
    """Copy interleaved rows to `count` images, `image` bytes apart, whose rows are `target_row` bytes apart."""
    itemsize = scratch.itemsize
    source, other = np.intp(scratch.ctypes.data + base * itemsize), np.intp(spare.ctypes.data)
    if row == columns * together and target_row == columns * itemsize:  # contiguous: one long row
        rows, columns = 1, rows * columns
    line = columns * itemsize
    if together == 1:
        copy_rows(zero, target, target_row, source, row * itemsize, rows, columns)
    elif count == together:
        part_rows(together, zero, target, target_row, image, source, row * itemsize, rows, columns)
    else:
        part_rows(together, zero, other, line, rows * line, source, row * itemsize, rows, columns)
        for e in range(count):
            copy_rows(zero, target + e * image, target_row, other + e * rows * line, line, rows, columns)


@threads.njit_no_refcount
def pool(scratch, base, row, size, stride, width, out, index):
    """Max pooling of a plane with fused ReLU; a maximum that is not positive gets the index `size[0] * size[1]`.

    `width` is that of `pool2x2.narrow` if the rows of the plane are contiguous and windows are 2 x 2, else 0.
    """
    none, zero, itemsize = size[0] * size[1], out.dtype.type(0), out.itemsize
    rows, columns = out.shape
    if width:
        pool_planes(1, width, 2 * rows, width, 1, scratch.ctypes.data + base * itemsize, out, index, 0)
        return
    if _are_halves(size, stride):
        top, line = scratch.ctypes.data + base * itemsize, row * itemsize
        pool_rows(
            zero, out.ctypes.data, columns * itemsize, index.ctypes.data, columns, top, 2 * line, top + line, 2 * line,
            rows, columns,
        )  # fmt: skip
        return
    for i in range(rows):
        for j in range(columns):
            start = base + i * stride[0] * row + j * stride[1]
            best, position = scratch[start], 0
            for kh in range(size[0]):
                for kw in range(size[1]):
                    value = scratch[start + kh * row + kw]
                    if value > best or (value != value and best == best):
                        best, position = value, kh * size[1] + kw
            out[i, j] = best
            index[i, j] = position if best > 0 else none


@threads.njit_no_refcount
def store_phase(scratch, base, row, rows, columns, dx, first, count, c, top, left, SH, SW, together, spare):
    """Write one phase of a channel of dx: every SH-th row and SW-th column, from (top, left) on."""
    C, H, W = dx.shape[1], dx.shape[2], dx.shape[3]
    zero, size = dx.dtype.type(0), dx.itemsize
    image, line, target_row = C * H * W * size, columns * size, SH * W * size
    target = np.intp(dx.ctypes.data + ((first * C + c) * H * W + top * W + left) * size)
    if SW == 1:
        part_planes(scratch, base, row, rows, columns, together, zero, target, target_row, image, count, spare)
        return
    source, source_row = np.intp(scratch.ctypes.data + base * size), row * size
    if together > 1:
        other = np.intp(spare.ctypes.data)
        part_rows(together, zero, other, line, rows * line, source, source_row, rows, columns)
        source, source_row = other, line
    for e in range(count):
        here, begin = source + e * rows * line, 0
        if SW == 2:  # all but the last column, beyond which another thread may write
            begin = columns - 1
            merge_rows(zero, target + e * image, target_row, here, source_row, rows, begin)
        for j in range(begin, columns):
            copy_rows(zero, target + e * image + j * SW * size, target_row, here + j * size, source_row, rows, 1)


@threads.njit_no_refcount
def prefetch_part(ahead, step, steps, size):
    """Prefetch part `step` of `steps` of the memory that is needed next."""
    address, elements = ahead
    if elements:
        begin, end = elements * step // steps, elements * (step + 1) // steps
        prefetch(address + begin * size, (end - begin) * size)

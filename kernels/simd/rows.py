"""Moving rows for the convolution engine: into zero-bordered planes, and from scratch planes to where they belong."""

import numpy as np

from .. import threads

U = np.uintp  # an unsigned index cannot be negative: no wrap-around is compiled in, and the loop vectorises

PLAIN, RELU, POOLED = 0, 1, 2  # what stands between the convolution and dout


@threads.serial
def fill_planes(x, n, layout, planes, base):
    """Copy image n into its planes; their borders are zero already."""
    C, H, W, SH, SW, PH, PW = layout.C, layout.H, layout.W, layout.SH, layout.SW, layout.PH, layout.PW
    image = x[n].reshape(-1)
    for c in range(C):
        for h in range(H):
            source = (c * H + h) * W
            row = base + (c * SH + (h + PH) % SH) * SW * layout.plane + (h + PH) // SH * layout.row
            if SW == 1:
                for w in range(W):
                    planes[U(row + PW + w)] = image[U(source + w)]
            elif SW == 2:
                for phase in range(2):
                    w = (phase - PW) % 2
                    start = row + phase * layout.plane + (w + PW) // 2
                    for j in range((W - w + 1) // 2):
                        planes[U(start + j)] = image[U(source + w + 2 * j)]
            else:
                for w in range(W):
                    place = row + (w + PW) % SW * layout.plane + (w + PW) // SW
                    planes[U(place)] = image[U(source + w)]


@threads.serial
def copy_rows(scratch, base, row, size, out):
    target = out.reshape(-1)
    for i in range(size[0]):
        for j in range(size[1]):
            target[U(i * size[1] + j)] = scratch[U(base + i * row + j)]


@threads.serial
def pool(scratch, base, row, size, stride, out, index):
    """Max pooling of a plane that ReLU has passed; a winner that is not positive gets the index "none"."""
    PH, PW = out.shape
    none = size[0] * size[1]
    if size[0] == 2 and size[1] == 2 and stride[0] == 2 and stride[1] == 2:
        values, places = out.reshape(-1), index.reshape(-1)
        for i in range(PH):
            top, bottom, target = base + 2 * i * row, base + (2 * i + 1) * row, i * PW
            for j in range(PW):
                best, place = scratch[U(top + 2 * j)], 0
                for kh, kw in ((0, 1), (1, 0), (1, 1)):
                    value = scratch[U((bottom if kh else top) + 2 * j + kw)]
                    wins = (value > best) | ((value != value) & (best == best))
                    best, place = (value, 2 * kh + kw) if wins else (best, place)
                values[U(target + j)] = best
                places[U(target + j)] = place if best > 0 else none
        return
    for i in range(PH):
        for j in range(PW):
            start = base + i * stride[0] * row + j * stride[1]
            best, place = scratch[start], 0
            for kh in range(size[0]):
                for kw in range(size[1]):
                    value = scratch[U(start + kh * row + kw)]
                    if value > best or (value != value and best == best):
                        best, place = value, kh * size[1] + kw
            out[i, j] = best
            index[i, j] = place if best > 0 else none


@threads.serial
def fill_gradients(dout, mask, mode, pool_size, pool_stride, n, layout, planes, base):
    """The gradient of image n with respect to the convolution's own output, in zero-bordered planes."""
    F, rows, columns = dout.shape[1], dout.shape[2], dout.shape[3]
    values = dout[n].reshape(-1)
    zero = planes.dtype.type(0)
    for f in range(F):
        start = base + f * layout.plane + layout.start
        if mode == POOLED:
            _unpool(
                values,
                mask[n].reshape(-1),
                f * rows * columns,
                (rows, columns),
                pool_size,
                pool_stride,
                planes,
                start,
                layout.row,
                layout.plane - layout.start,
            )
        elif mode == RELU:
            passed = mask[n].reshape(-1)
            for i in range(rows):
                source, target = (f * rows + i) * columns, start + i * layout.row
                for j in range(columns):
                    value = values[U(source + j)]
                    planes[U(target + j)] = value if passed[U(source + j)] > zero else zero
        else:
            for i in range(rows):
                source, target = (f * rows + i) * columns, start + i * layout.row
                for j in range(columns):
                    planes[U(target + j)] = values[U(source + j)]


@threads.serial
def _unpool(values, places, source, out_size, size, stride, planes, start, row, length):
    """Each pooled gradient to where its winner was."""
    zero = planes.dtype.type(0)
    if size[0] == 2 and size[1] == 2 and stride[0] == 2 and stride[1] == 2:
        for i in range(out_size[0]):
            for kh in range(2):
                target, origin = start + (2 * i + kh) * row, source + i * out_size[1]
                for j in range(out_size[1]):
                    value, place = values[U(origin + j)], places[U(origin + j)]
                    planes[U(target + 2 * j)] = value if place == 2 * kh else zero
                    planes[U(target + 2 * j + 1)] = value if place == 2 * kh + 1 else zero
        return
    planes[start : start + length] = zero
    for i in range(out_size[0]):
        for j in range(out_size[1]):
            place = np.int64(places[source + i * out_size[1] + j])
            if place < size[0] * size[1]:
                target = start + (i * stride[0] + place // size[1]) * row + j * stride[1] + place % size[1]
                planes[target] += values[source + i * out_size[1] + j]


@threads.serial
def sum_gradients(layout, planes, base, db):
    for f in range(db.size):
        total = db.dtype.type(0)
        start = base + f * layout.plane
        for place in range(layout.plane):
            total += planes[U(start + place)]
        db[f] += total


@threads.serial
def deal_out(scratch, base, row, rows, columns, dx, top, left, SH, SW):
    """One phase of a channel of dx: every SH-th row and SW-th column of it, from (top, left) on."""
    target, W = dx.reshape(-1), dx.shape[1]
    for i in range(rows):
        start = (top + i * SH) * W + left
        if SW == 1:
            for j in range(columns):
                target[U(start + j)] = scratch[U(base + i * row + j)]
        else:
            for j in range(columns):
                target[U(start + j * SW)] = scratch[U(base + i * row + j)]

"""The convolution engine of the njit backend: forward, dx, dw and db on register tiles, what rides along fused in.

Work is split over blocks of images, into a number of chunks that does not depend on the threads: dw is summed within a
chunk and then over the chunks in order, so that no bit depends on the threads either. `geometry` says where things lie.
"""

import functools

import numpy as np

from .. import threads
from . import geometry
from .host import outer_tile as outer_tile_shape
from .rows import copy_rows, deal_out, fill_gradients, fill_planes, pool, sum_gradients
from .tiles import dot_tile, dot_tile_shape, outer_tile, outer_tile_vectors

CHUNKS = 16  # of images at most, each with its own partial sum of dw
PARTIAL_SUMS = 1 << 24  # elements of them together, more or less
NO_INDEX = np.empty((0, 0, 0, 0), np.uint8)


def forward(x, w, b, stride, pad, relu=False):
    """The convolution's output, passed through ReLU if asked."""
    shape = _shape(x, w, stride, pad)
    out = np.empty((x.shape[0], shape.F, shape.OH, shape.OW), x.dtype)
    _run_forward(x, w, b, shape, 0 if relu else -np.inf, (0, 0), (0, 0), out, NO_INDEX)
    return out


def forward_pooled(x, w, b, stride, pad, size, pool_stride, index_dtype):
    """The convolution's output passed through ReLU and max pooling, and the pooling's index."""
    shape = _shape(x, w, stride, pad)
    OH, OW = 1 + (shape.OH - size[0]) // pool_stride[0], 1 + (shape.OW - size[1]) // pool_stride[1]
    out = np.empty((x.shape[0], shape.F, OH, OW), x.dtype)
    index = np.empty(out.shape, index_dtype)
    _run_forward(x, w, b, shape, 0, size, pool_stride, out, index)
    return out, index


def backward(dout, x, w, stride, pad, need_dx, relu=None, index=None, size=(0, 0), pool_stride=(0, 0)):
    """dx (or None), dw and db; `relu` is the output of a ReLU that followed, `index` that of a pooling behind it."""
    shape = _shape(x, w, stride, pad)
    plan = geometry.backward(shape, x.dtype, need_dx)
    fitting = max(4, PARTIAL_SUMS // (plan.gradients.filters * plan.offsets.size))
    chunks = min(-(-x.shape[0] // plan.dots.images), CHUNKS, fitting)
    dw_parts = np.zeros((chunks, plan.gradients.filters, plan.offsets.size), x.dtype)
    db_parts = np.zeros((chunks, shape.F), x.dtype)
    dx = _empty_dx(x, shape) if need_dx else None
    if chunks:
        rows = min(outer_tile_shape(x.dtype).rows, shape.C)
        phases = geometry.input_phases(shape, x.dtype) if need_dx else ()
        weights = _join([_pack_phase(w, phase.taps, rows) for phase in phases], x.dtype)
        _backward(
            chunks, dout, dout[:0] if relu is None else relu, NO_INDEX if index is None else index, size, pool_stride,
            x, *plan, *_tables(shape, x.dtype, need_dx), weights, rows, x[:0] if dx is None else dx, dw_parts, db_parts,
        )  # fmt: skip
    dw = np.ascontiguousarray(dw_parts.sum(axis=0)[: shape.F, : w[0].size])
    return dx, dw.reshape(w.shape), db_parts.sum(axis=0)


def _shape(x, w, stride, pad):
    return geometry.Shape(*x.shape[1:], w.shape[0], *w.shape[2:], *stride, *pad)


def _empty_dx(x, shape):
    """Zeros only where some rows or columns of dx belong to no phase."""
    return np.empty_like(x) if shape.SH <= shape.KH and shape.SW <= shape.KW else np.zeros_like(x)


def _run_forward(x, w, b, shape, floor, size, pool_stride, out, index):
    if out.size:
        rows = min(outer_tile_shape(x.dtype).rows, shape.F)
        weights = _pack(w.reshape(shape.F, -1), rows)
        plan = geometry.forward(shape, x.dtype)
        blocks = -(-x.shape[0] // plan.out.images)
        out_size = (shape.OH, shape.OW)
        _forward(blocks, x, weights, b, *plan, x.dtype.type(floor), out_size, size, pool_stride, out, index)


@threads.serial
def _pack(w, rows):
    """Filters (F, K) as tiles read them: (blocks, K, rows); the last block overlaps the one before."""
    F, K = w.shape
    blocks = (F + rows - 1) // rows
    packed = np.empty((blocks, K, rows), w.dtype)
    for block in range(blocks):
        f = min(block * rows, F - rows)
        for row in range(rows):
            for k in range(K):
                packed[block, k, row] = w[f + row, k]
    return packed


@threads.parallel(grain=1)
def _forward(start, stop, x, weights, b, layout, offsets, tiles, floor, out_size, size, pool_stride, out, index):
    """The blocks of images from `start` to `stop`."""
    images = tiles.images
    planes = np.zeros(images * layout.image, x.dtype)
    scratch = np.empty(weights.shape[2] * images * tiles.plane + 256, x.dtype)
    for block in range(start, stop):
        first = block * images
        count = min(images, x.shape[0] - first)
        for e in range(count):
            fill_planes(x, first + e, layout, planes, e * layout.image)
        if tiles.direct and not index.size:
            _write_direct(planes, weights, b, offsets, tiles, floor, out, first)
        else:
            _write_rows(
                planes, weights, b, offsets, tiles, floor, scratch, out_size, size, pool_stride, out, index,
                first, count,
            )  # fmt: skip


@threads.serial
def _write_direct(planes, weights, b, offsets, tiles, floor, out, n):
    """All outputs of image n, tile by tile, straight into `out`."""
    blocks, K, rows = weights.shape
    F, plane, size = out.shape[1], out.shape[2] * out.shape[3], out.itemsize
    vectors = outer_tile_vectors(floor)
    for group in range(0, tiles.positions.size, vectors):
        for block in range(blocks):
            f = min(block * rows, F - rows)
            outer_tile(
                rows, floor, planes.ctypes.data, tiles.positions.ctypes.data + group * 8, offsets.ctypes.data,
                weights.ctypes.data + block * K * rows * size, K, out.ctypes.data + (n * F + f) * plane * size, plane,
                tiles.places.ctypes.data + group * 8, b.ctypes.data + f * size,
            )  # fmt: skip


@threads.serial
def _write_rows(
    planes, weights, b, offsets, tiles, floor, scratch, out_size, size, pool_stride, out, index, first, count
):
    """A block of images, some filters at a time: tiles into scratch planes, and from there rows, pooled or not."""
    blocks, K, rows = weights.shape
    F, itemsize, vectors = b.size, out.itemsize, outer_tile_vectors(floor)
    stride = tiles.images * tiles.plane
    for block in range(blocks):
        f = min(block * rows, F - rows)
        for group in range(0, count * tiles.vectors, vectors):
            outer_tile(
                rows, floor, planes.ctypes.data, tiles.positions.ctypes.data + group * 8, offsets.ctypes.data,
                weights.ctypes.data + block * K * rows * itemsize, K, scratch.ctypes.data, stride,
                tiles.places.ctypes.data + group * 8, b.ctypes.data + f * itemsize,
            )  # fmt: skip
        for row in range(rows):
            for e in range(count):
                base, n = row * stride + e * tiles.plane, first + e
                if index.size:
                    pool(scratch, base, tiles.row, size, pool_stride, out[n, f + row], index[n, f + row])
                else:
                    copy_rows(scratch, base, tiles.row, out_size, out[n, f + row])


@threads.serial
def _pack_phase(w, taps, rows):
    """The filters of one phase for the tile of dx, whose rows are channels: (blocks, K, rows)."""
    F, C = w.shape[0], w.shape[1]
    flat = w.reshape(F, C, -1)
    blocks = (C + rows - 1) // rows
    packed = np.empty((blocks, taps.shape[0], rows), w.dtype)
    for block in range(blocks):
        c = min(block * rows, C - rows)
        for k in range(taps.shape[0]):
            for row in range(rows):
                packed[block, k, row] = flat[taps[k, 0], c + row, taps[k, 1]]
    return packed


@functools.lru_cache(maxsize=256)
def _tables(shape, dtype, need_dx):
    """The phases as a kernel walks them, a row of numbers each and their tables end to end; the scratch they need."""
    numbers, offsets, positions, places, scratch = [], [], [], [], 0
    for phase in geometry.input_phases(shape, dtype) if need_dx else ():
        out = phase.out
        numbers.append([
            phase.top, phase.left, phase.rows, phase.columns, sum(map(len, offsets)), len(phase.offsets),
            sum(map(len, positions)), out.vectors, out.images, out.direct, out.row, out.plane,
        ])  # fmt: skip
        offsets.append(phase.offsets)
        positions.append(out.positions)
        places.append(out.places)
        scratch = max(scratch, out.images * out.plane)
    tables = (_join(table, np.int64) for table in (offsets, positions, places))
    return (np.array(numbers, np.int64).reshape(-1, 12), *tables), scratch


def _join(arrays, dtype):
    return np.concatenate([array.ravel() for array in arrays]) if arrays else np.empty(0, dtype)


@threads.parallel(grain=1)
def _backward(
    start, stop, dout, relu, index, size, pool_stride, x, layout, gradients, offsets, dots, tables, scratch_size,
    weights, rows, dx, dw_parts, db_parts,
):  # fmt: skip
    """The chunks of images from `start` to `stop`, each with its own part of dw and db."""
    images, chunks = dots.images, len(dw_parts)
    blocks = (x.shape[0] + images - 1) // images
    zeros = np.zeros(64, x.dtype)
    x_planes = np.zeros(images * layout.image, x.dtype)
    d_planes = np.zeros(images * gradients.image, x.dtype)
    scratch = np.empty(rows * scratch_size + 256, x.dtype)
    for chunk in range(start, stop):
        for block in range(chunk * blocks // chunks, (chunk + 1) * blocks // chunks):
            first = block * images
            count = min(images, x.shape[0] - first)
            for e in range(count):
                at = e * gradients.image
                fill_planes(x, first + e, layout, x_planes, e * layout.image)
                fill_gradients(dout, relu, index, size, pool_stride, first + e, gradients, d_planes, at)
                sum_gradients(gradients, d_planes, at, db_parts[chunk])
            _add_dw(x_planes, d_planes, gradients, offsets, dots, count, dw_parts[chunk])
            if dx.size:
                _write_dx(d_planes, layout, gradients, tables, weights, rows, zeros, scratch, dx, first, count)


@threads.serial
def _add_dw(x_planes, d_planes, gradients, offsets, dots, count, dw):
    """dw of a block of images, a tile of filters and taps at a time."""
    size, K, zero = dw.itemsize, offsets.size, dw.dtype.type(0)
    rows, vectors = dot_tile_shape(zero)
    for f in range(0, gradients.filters, rows):
        for k in range(0, K, vectors):
            dot_tile(
                zero, x_planes.ctypes.data, dots.x_positions.ctypes.data, offsets.ctypes.data + k * 8,
                d_planes.ctypes.data + f * gradients.plane * size, gradients.plane, dots.d_positions.ctypes.data,
                count * dots.vectors, dw.ctypes.data + (f * K + k) * size, K,
            )  # fmt: skip


@threads.serial
def _write_dx(d_planes, layout, gradients, tables, weights, rows, zeros, scratch, dx, first, count):
    """dx of a block of images, phase by phase: the gradient's planes convolved with the filters turned over."""
    phases, offsets, positions, places = tables
    C, plane_size, size = layout.C, layout.H * layout.W, dx.itemsize
    blocks, no_floor = (C + rows - 1) // rows, dx.dtype.type(-np.inf)
    vectors = outer_tile_vectors(no_floor)
    at_weights = 0
    for phase in range(phases.shape[0]):
        top, left, OH, OW, at_offsets, K, at_positions, length, images, direct, row, plane = phases[phase]
        stride = plane_size if direct else images * plane
        for block in range(blocks):
            c = min(block * rows, C - rows)
            for e in range(0, count, images):
                here = min(images, count - e)
                target = scratch.ctypes.data
                if direct:
                    target = dx.ctypes.data + ((first + e) * C + c) * plane_size * size
                for group in range(at_positions, at_positions + here * length, vectors):
                    outer_tile(
                        rows, no_floor, d_planes.ctypes.data + e * gradients.image * size,
                        positions.ctypes.data + group * 8, offsets.ctypes.data + at_offsets * 8,
                        weights.ctypes.data + (at_weights + block * K * rows) * size, K, target, stride,
                        places.ctypes.data + group * 8, zeros.ctypes.data,
                    )  # fmt: skip
                if not direct:
                    for line in range(rows):
                        for i in range(here):
                            base = line * stride + i * plane
                            deal_out(
                                scratch, base, row, OH, OW, dx[first + e + i, c + line], top, left, layout.SH, layout.SW
                            )
        at_weights += blocks * K * rows

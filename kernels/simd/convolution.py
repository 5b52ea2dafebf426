"""The convolution engine of the njit backend: forward, dx, dw and db on register tiles, what rides along fused in.

Work is split over blocks of images, and where these are few over filters too. The number of chunks does not depend on
the threads: dw is summed within a chunk and then over the chunks in order, so that no bit depends on the threads
either. `geometry` says where things lie. While a block is computed the images of the next one are fetched.
"""

import functools

import numpy as np

from .. import threads
from . import geometry
from .geometry import DOT_VECTORS
from .interleave import prefetch
from .rows import deal_out, fill_gradients, fill_planes, give_out, part_planes, pool
from .tiles import dot_tile, outer_tile, pack_rows

CHUNKS = 16  # of images at most, each with its own partial sum of dw
PARTIAL_SUMS = 1 << 24  # elements of them together, more or less
TASKS = 8  # wanted at least, to keep cores equally busy
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
    together = geometry.images_together(shape, len(x), x.dtype)
    plan = geometry.backward(shape, x.dtype, need_dx, together)
    rows, vectors = plan.dots.rows, plan.dots.tile_vectors
    tiles = -(-shape.F // rows), plan.offsets.size // vectors
    fitting = max(4, PARTIAL_SUMS // (tiles[0] * tiles[1] * rows * vectors))
    chunks = min(-(-len(x) // (plan.dots.groups * together)), CHUNKS, fitting)
    splits = min(tiles[0], -(-TASKS // max(1, chunks)))
    dw_parts = np.zeros((chunks, *tiles, vectors, rows), x.dtype)
    db_parts = np.zeros((chunks, shape.F), x.dtype)
    dx = _empty_dx(x, shape) if need_dx else None
    if chunks:
        phases = geometry.input_phases(shape, x.dtype, together) if need_dx else ()
        weights = _join([_pack_phase(w, phase.taps, phase.out.rows) for phase in phases], x.dtype)
        relu, index = dout[:0] if relu is None else relu, NO_INDEX if index is None else index
        numbers = (splits, shape.OH, shape.OW, plan.gradients.in_place and not relu.size and not index.size)
        _backward(
            chunks * splits, dout, relu, index, size, pool_stride, x, *plan,
            *_tables(shape, x.dtype, need_dx, together), weights, numbers, x[:0] if dx is None else dx, dw_parts,
            db_parts,
        )  # fmt: skip
    dw = dw_parts.sum(axis=0).transpose(0, 3, 1, 2).reshape(tiles[0] * rows, -1)[: shape.F, : w[0].size]
    return dx, np.ascontiguousarray(dw).reshape(w.shape), db_parts.sum(axis=0)


def _shape(x, w, stride, pad):
    return geometry.Shape(*x.shape[1:], w.shape[0], *w.shape[2:], *stride, *pad)


def _empty_dx(x, shape):
    """Zeros only where some rows or columns of dx belong to no phase."""
    return np.empty_like(x) if shape.SH <= shape.KH and shape.SW <= shape.KW else np.zeros_like(x)


def _run_forward(x, w, b, shape, floor, size, pool_stride, out, index):
    if out.size:
        plan = geometry.forward(shape, x.dtype, geometry.images_together(shape, len(x), x.dtype))
        weights = _pack(w.reshape(shape.F, -1), plan.out.rows)
        blocks = -(-len(x) // (plan.out.groups * plan.planes.together))
        splits = min(len(weights), -(-TASKS // blocks))
        numbers = (splits, shape.OH, shape.OW)
        _forward(blocks * splits, x, weights, b, *plan, x.dtype.type(floor), numbers, size, pool_stride, out, index)


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
def _forward(start, stop, x, weights, b, layout, offsets, tiles, floor, numbers, size, pool_stride, out, index):
    """The tasks from `start` to `stop`: each some filters of a block of images."""
    (splits, OH, OW), together = numbers, layout.together
    images, image = tiles.groups * together, layout.C * layout.H * layout.W
    planes = np.zeros(0 if layout.in_place else tiles.groups * layout.group, x.dtype)
    scratch = np.empty(weights.shape[2] * tiles.groups * tiles.plane + 256, x.dtype)
    spare = np.empty(together * max(layout.H * layout.W, OH * OW), x.dtype)
    plain = np.empty(together * OH * OW if index.size else 0, x.dtype)
    for task in range(start, stop):
        first = task // splits * images
        count = min(images, x.shape[0] - first)
        blocks = range(task % splits * len(weights) // splits, (task % splits + 1) * len(weights) // splits)
        source = x.ctypes.data + first * image * x.itemsize
        ahead = source + images * image * x.itemsize, max(0, min(images, x.shape[0] - first - images)) * image
        if not layout.in_place:
            source = planes.ctypes.data
            for e in range(0, count, together):
                at = e // together * layout.group
                fill_planes(x, first + e, min(together, count - e), layout, planes, at, spare)
        if tiles.direct and not index.size:
            _write_direct(source, weights, blocks, b, offsets, tiles, floor, out, first, ahead)
        else:
            _write_rows(
                source, weights, blocks, b, offsets, tiles, floor, scratch, (OH, OW), size, pool_stride, out, index,
                first, count, together, spare, plain, ahead,
            )  # fmt: skip


@threads.serial
def _fetch(ahead, step, steps, size):
    """A share of the memory that is needed next."""
    address, elements = ahead
    if elements:
        begin, end = elements * step // steps, elements * (step + 1) // steps
        prefetch(address + begin * size, (end - begin) * size)


@threads.serial
def _write_direct(source, weights, blocks, b, offsets, tiles, floor, out, n, ahead):
    """Some filters' outputs of image n, tile by tile, straight into `out`."""
    _, K, rows = weights.shape
    F, plane, size = out.shape[1], out.shape[2] * out.shape[3], out.itemsize
    for group in range(0, tiles.positions.size, tiles.tile_vectors):
        for block in blocks:
            f = min(block * rows, F - rows)
            outer_tile(
                rows, floor, source, tiles.positions.ctypes.data + group * 8, offsets.ctypes.data,
                weights.ctypes.data + block * K * rows * size, K, out.ctypes.data + (n * F + f) * plane * size, plane,
                tiles.places.ctypes.data + group * 8, b.ctypes.data + f * size,
            )  # fmt: skip
        _fetch(ahead, group, tiles.positions.size, size)


@threads.serial
def _write_rows(
    source, weights, blocks, b, offsets, tiles, floor, scratch, out_size, size, pool_stride, out, index, first, count,
    together, spare, plain, ahead,
):  # fmt: skip
    """A block of images, some filters at a time: tiles into scratch planes, and from there rows, pooled or not."""
    _, K, rows = weights.shape
    F, itemsize, groups = b.size, out.itemsize, (count + together - 1) // together
    stride, zero, plane = tiles.groups * tiles.plane, out.dtype.type(0), out_size[0] * out_size[1]
    for block in blocks:
        f = min(block * rows, F - rows)
        for group in range(0, groups * tiles.vectors, tiles.tile_vectors):
            outer_tile(
                rows, floor, source, tiles.positions.ctypes.data + group * 8, offsets.ctypes.data,
                weights.ctypes.data + block * K * rows * itemsize, K, scratch.ctypes.data, stride,
                tiles.places.ctypes.data + group * 8, b.ctypes.data + f * itemsize,
            )  # fmt: skip
        for row in range(rows):
            for g in range(groups):
                base, n = row * stride + g * tiles.plane, first + g * together
                here = min(together, count - g * together)
                if not index.size:
                    give_out(scratch, base, tiles.row, out_size, together, out, n, here, f + row, spare)
                elif together == 1:
                    pool(scratch, base, tiles.row, size, pool_stride, out[n, f + row], index[n, f + row])
                else:
                    part_planes(
                        scratch, base, tiles.row, out_size[0], out_size[1], together, zero, plain.ctypes.data,
                        out_size[1] * itemsize, plane * itemsize, here, spare,
                    )  # fmt: skip
                    for e in range(here):
                        pool(
                            plain, e * plane, out_size[1], size, pool_stride, out[n + e, f + row], index[n + e, f + row]
                        )
        _fetch(ahead, block - blocks.start, len(blocks), itemsize)


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
def _tables(shape, dtype, need_dx, together):
    """The phases as a kernel walks them, a row of numbers each and their tables end to end; the scratch they need."""
    numbers, offsets, positions, places, scratch, rows = [], [], [], [], 0, 1
    for phase in geometry.input_phases(shape, dtype, together) if need_dx else ():
        out = phase.out
        numbers.append([
            phase.top, phase.left, phase.rows, phase.columns, sum(map(len, offsets)), len(phase.offsets),
            sum(map(len, positions)), out.vectors, out.groups, out.direct, out.row, out.plane, out.tile_vectors,
        ])  # fmt: skip
        offsets.append(phase.offsets)
        positions.append(out.positions)
        places.append(out.places)
        scratch, rows = max(scratch, out.rows * out.groups * out.plane), out.rows
    tables = (_join(table, np.int64) for table in (offsets, positions, places))
    return (np.array(numbers, np.int64).reshape(-1, 13), *tables), (rows, scratch)


def _join(arrays, dtype):
    return np.concatenate([array.ravel() for array in arrays]) if arrays else np.empty(0, dtype)


@threads.parallel(grain=1)
def _backward(
    start, stop, dout, relu, index, size, pool_stride, x, layout, gradients, offsets, dots, tables, of_dx, weights,
    numbers, dx, dw_parts, db_parts,
):  # fmt: skip
    """The tasks from `start` to `stop`: each a part of the filters (of dw) and channels (of dx) of a chunk of images."""
    (splits, OH, OW, d_in_place), (rows, scratch_size), together = numbers, of_dx, layout.together
    N, F, chunks, images, itemsize = x.shape[0], dout.shape[1], len(dw_parts), dots.groups * together, x.itemsize
    image, d_image = layout.C * layout.H * layout.W, dout[0].size
    x_planes = np.zeros(0 if layout.in_place else dots.groups * layout.group, x.dtype)
    d_planes = np.zeros(0 if d_in_place else dots.groups * gradients.group, x.dtype)
    scratch = np.empty(scratch_size + 256, x.dtype)
    spare = np.zeros(together * max(layout.H * layout.W, OH * OW), x.dtype)
    plain = np.zeros(together * OH * OW, x.dtype)
    packed = np.empty(dots.x_positions.size * dots.rows * dots.lanes, x.dtype)
    blocks = (N + images - 1) // images
    for task in range(start, stop):
        chunk, split = task // splits, task % splits
        for block in range(chunk * blocks // chunks, (chunk + 1) * blocks // chunks):
            first = block * images
            count, following = min(images, N - first), max(0, min(images, N - first - images))
            x_source, d_source = x.ctypes.data + first * image * itemsize, dout.ctypes.data + first * d_image * itemsize
            ahead = (x_source + images * image * itemsize, following * image)
            d_ahead = (d_source + images * d_image * itemsize, following * d_image)
            for e in range(0, count, together):
                here, group = min(together, count - e), e // together
                if not layout.in_place:
                    fill_planes(x, first + e, here, layout, x_planes, group * layout.group, spare)
                if not d_in_place:
                    fill_gradients(
                        dout, relu, index, size, pool_stride, (OH, OW), first + e, here, gradients, d_planes,
                        group * gradients.group, plain,
                    )  # fmt: skip
            if not layout.in_place:
                x_source = x_planes.ctypes.data
            if not d_in_place:
                d_source = d_planes.ctypes.data
            vectors = (count + together - 1) // together * dots.vectors
            _add_dw(
                x_source, d_source, gradients, offsets, dots, vectors, (split, splits), packed, dw_parts[chunk],
                db_parts[chunk], ahead, d_ahead,
            )  # fmt: skip
            if dx.size:
                _write_dx(
                    d_source,
                    layout,
                    gradients,
                    tables,
                    weights,
                    rows,
                    scratch,
                    dx,
                    first,
                    count,
                    (split, splits),
                    spare,
                )


@threads.serial
def _add_dw(x, d, gradients, offsets, dots, vectors, part, packed, dw, db, ahead, d_ahead):
    """dw and db of some filters over a block of images, a tile of filters and taps at a time."""
    size, zero, rows, F = dw.itemsize, dw.dtype.type(0), dots.rows, db.size
    tiles, taps, lanes = dw.shape[0], dw.shape[1], dots.lanes
    pieces = max(1, vectors // DOT_VECTORS)
    first, last = part[0] * tiles // part[1], (part[0] + 1) * tiles // part[1]
    sums = np.empty(rows, dw.dtype)
    for tile in range(first, last):
        f = tile * rows
        for piece in range(pieces):
            begin, end = piece * vectors // pieces, (piece + 1) * vectors // pieces
            sums[:] = zero
            pack_rows(
                rows, zero, packed.ctypes.data, d + f * gradients.plane * size, gradients.plane, F - f - 1,
                dots.d_positions.ctypes.data + begin * 8, end - begin, sums.ctypes.data,
            )  # fmt: skip
            db[f : f + rows] += sums[: F - f]
            for k in range(taps):
                dot_tile(
                    rows, zero, x, dots.x_positions.ctypes.data + begin * 8,
                    offsets.ctypes.data + k * dots.tile_vectors * 8, packed.ctypes.data, end - begin,
                    dw[tile, k].ctypes.data,
                )  # fmt: skip
                step = ((tile - first) * pieces + piece) * taps + k
                _fetch(ahead, step, (last - first) * pieces * taps, size)
                _fetch(d_ahead, step, (last - first) * pieces * taps, size)
                step = ((tile - first) * pieces + piece) * taps + k


@threads.serial
def _write_dx(d, layout, gradients, tables, weights, rows, scratch, dx, first, count, split, spare):
    """dx of a block of images, phase by phase: the gradient's planes convolved with the filters turned over."""
    phases, offsets, positions, places = tables
    C, plane_size, size, together = layout.C, layout.H * layout.W, dx.itemsize, layout.together
    blocks, no_floor, zeros = (C + rows - 1) // rows, dx.dtype.type(-np.inf), np.zeros(rows, dx.dtype)
    all_groups = (count + together - 1) // together
    at_weights = 0
    for phase in range(phases.shape[0]):
        top, left, OH, OW, at_offsets, K, at_positions, length, groups, direct, row, plane, step = phases[phase]
        stride = plane_size if direct else groups * plane
        for block in range(split[0] * blocks // split[1], (split[0] + 1) * blocks // split[1]):
            c = min(block * rows, C - rows)
            for g in range(0, all_groups, groups):
                here = min(groups, all_groups - g)
                target = scratch.ctypes.data
                if direct:
                    target = dx.ctypes.data + ((first + g) * C + c) * plane_size * size
                for at in range(at_positions, at_positions + here * length, step):
                    outer_tile(
                        rows, no_floor, d + g * gradients.group * size, positions.ctypes.data + at * 8,
                        offsets.ctypes.data + at_offsets * 8, weights.ctypes.data + (at_weights + block * K * rows) * size,
                        K, target, stride, places.ctypes.data + at * 8, zeros.ctypes.data,
                    )  # fmt: skip
                if not direct:
                    for i in range(here):
                        n = (g + i) * together
                        for l in range(rows):
                            deal_out(
                                scratch, l * stride + i * plane, row, OH, OW, dx, first + n, min(together, count - n),
                                c + l, top, left, layout.SH, layout.SW, together, spare,
                            )  # fmt: skip
        at_weights += blocks * K * rows

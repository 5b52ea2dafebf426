"""Backward pass of the convolution of the njit backend: dx, dw and db, through fused ReLU and max pooling.

dx is the convolution of the gradient's planes with the flipped filters, on the outer-product tile; dw uses the tile
of dot products of the planes of the gradient and of the images; db is summed while the gradient is packed. Tasks are
chunks of images, split by filters and channels too if there are few chunks. The number of chunks does not depend on the
number of threads, and dw is summed within a chunk and then over the chunks in order, so results are bitwise independent
of the number of threads.
"""

import numpy as np

from ...dispatch import windows
from .. import threads
from . import geometry, sizes
from .convolution import LARGE, NO_INDEX, TASKS
from .geometry import DOT_VECTORS
from .padding import fill_gradients, fill_planes, prefetch_part, store_phase
from .tiles import dot_tile, next_vectors, outer_tile, pack_rows

CHUNKS = 16  # maximum number of chunks of images, each with a partial sum of dw
PARTIAL_SUMS = 1 << 24  # approximate number of elements of all partial sums


def backward(dout, x, w, geometry_, need_dx, relu=None, index=None, pooling=None):
    """Return dx (or None), dw and db. relu: the output of a fused ReLU; index: the index of a fused `pooling`."""
    x, geometry_, crop = windows.cropped(x, geometry_)
    shape = geometry.shape_of(x, w, geometry_)
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
        size, pool_stride = (pooling.window, pooling.stride) if pooling else ((0, 0), (0, 0))
        relu, index = dout[:0] if relu is None else relu, NO_INDEX if index is None else index
        numbers = (splits, shape.OH, shape.OW, plan.gradients.in_place and not relu.size and not index.size)
        _backward(
            chunks * splits, dout, relu, index, size, pool_stride, x, *plan,
            *_tables(shape, x.dtype, need_dx, together), weights, numbers, x[:0] if dx is None else dx, dw_parts,
            db_parts,
        )  # fmt: skip
    dw = np.zeros(w.shape, w.dtype)
    if chunks and dw.size:
        _sum_chunks(tiles[0], dw_parts, dw.reshape(shape.F, -1))
    return windows.uncropped(dx, crop), dw, db_parts.sum(axis=0)


def _empty_dx(x, shape):
    """Allocate dx, with zeros if some of its rows or columns belong to no phase."""
    return np.empty_like(x) if shape.reads_all else np.zeros_like(x)


def _pack_phase(w, taps, rows):
    """Pack the filters of one phase for the tile of dx, whose rows are channels: (blocks, K, rows)."""
    packed = np.empty((-(-w.shape[1] // rows), len(taps), rows), w.dtype)
    parts = len(packed) if packed.size > LARGE else 1
    _pack_part(parts, parts, w.reshape(*w.shape[:2], -1), taps, packed)
    return packed


@threads.parallel(grain=1)
def _pack_part(first, last, parts, flat, taps, packed):
    blocks, _, rows = packed.shape
    for block in range(first * blocks // parts, last * blocks // parts):
        c = min(block * rows, flat.shape[1] - rows)
        for k in range(taps.shape[0]):
            f, tap, target = taps[k, 0], taps[k, 1], packed[block, k]
            for row in range(target.size):
                target[row] = flat[f, c + row, tap]


@sizes.cached_plans(maxsize=256)
def _tables(shape, dtype, need_dx, together):
    """Return the phases as arrays for a kernel, a row of numbers each and joined tables, and the scratch size."""
    numbers, offsets, positions, targets, scratch, rows = [], [], [], [], 0, 1
    for phase in geometry.input_phases(shape, dtype, together) if need_dx else ():
        out = phase.out
        numbers.append([
            phase.top, phase.left, phase.rows, phase.columns, sum(map(len, offsets)), len(phase.offsets),
            sum(map(len, positions)), out.vectors, out.groups, out.direct, out.row, out.plane, out.tile_vectors,
        ])  # fmt: skip
        offsets.append(phase.offsets)
        positions.append(out.positions)
        targets.append(out.targets)
        scratch, rows = max(scratch, out.rows * out.groups * out.plane), out.rows
    tables = (_join(table, np.int64) for table in (offsets, positions, targets))
    return (np.array(numbers, np.int64).reshape(-1, 13), *tables), (rows, scratch)


def _join(arrays, dtype):
    return np.concatenate([array.ravel() for array in arrays]) if arrays else np.empty(0, dtype)


@threads.parallel(grain=1)
def _backward(
    start, stop, dout, relu, index, size, pool_stride, x, layout, gradients, offsets, dots, tables, of_dx, weights,
    numbers, dx, dw_parts, db_parts,
):  # fmt: skip
    """Compute the tasks from `start` to `stop`; each is a part of the filters (dw) and channels (dx) of a chunk."""
    (splits, OH, OW, d_in_place), (rows, scratch_size), together = numbers, of_dx, layout.together
    N, chunks, images, itemsize = x.shape[0], len(dw_parts), dots.groups * together, x.itemsize
    image, d_image = layout.C * layout.H * layout.W, dout[0].size
    x_planes = np.zeros(0 if layout.in_place else dots.groups * layout.group, x.dtype)
    d_planes = np.zeros(0 if d_in_place else dots.groups * gradients.group, x.dtype)
    scratch = np.empty(scratch_size + 256, x.dtype)
    spare = np.zeros(together * max(layout.H * layout.W, OH * OW), x.dtype)
    plain = np.zeros(together * OH * OW, x.dtype)
    packed = np.empty(dots.x_positions.size * dots.rows * dots.lanes + 64, x.dtype)
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


@threads.parallel(grain=1)
def _sum_chunks(first, last, parts, dw):
    """Add the chunks in order, from tiles of filters and taps to rows of filters."""
    chunks, _, taps, vectors, rows = parts.shape
    for tile in range(first, last):
        total = parts[0, tile]
        for chunk in range(1, chunks):
            more = parts[chunk, tile]
            for k in range(taps):
                for q in range(vectors):
                    for row in range(rows):
                        total[k, q, row] += more[k, q, row]
        for row in range(min(rows, dw.shape[0] - tile * rows)):
            line = dw[tile * rows + row]
            for at in range(line.size):
                line[at] = total[at // vectors, at % vectors, row]


@threads.serial
def _add_dw(x, d, gradients, offsets, dots, vectors, part, packed, dw, db, ahead, d_ahead):
    """Add dw and db of some filters over a block of images, one tile of filters and taps at a time."""
    size, zero, rows, F = dw.itemsize, dw.dtype.type(0), dots.rows, db.size
    tiles, taps = dw.shape[0], dw.shape[1]
    pieces = max(1, vectors // DOT_VECTORS)
    first, last = part[0] * tiles // part[1], (part[0] + 1) * tiles // part[1]
    sums = np.empty(rows, dw.dtype)
    aligned = (packed.ctypes.data + 63) & ~63
    for tile in range(first, last):
        f = tile * rows
        for piece in range(pieces):
            begin, end = piece * vectors // pieces, (piece + 1) * vectors // pieces
            for row in range(rows):
                sums[row] = zero
            pack_rows(
                rows, zero, aligned, d + f * gradients.plane * size, gradients.plane, F - f - 1,
                dots.d_positions.ctypes.data + begin * 8, end - begin, sums.ctypes.data,
            )  # fmt: skip
            for row in range(min(rows, F - f)):
                db[f + row] += sums[row]
            for k in range(taps):
                dot_tile(
                    rows, zero, x, dots.x_positions.ctypes.data + begin * 8,
                    offsets.ctypes.data + k * dots.tile_vectors * 8, aligned, end - begin,
                    dw[tile, k].ctypes.data,
                )  # fmt: skip
                step = ((tile - first) * pieces + piece) * taps + k
                prefetch_part(ahead, step, (last - first) * pieces * taps, size)
                prefetch_part(d_ahead, step, (last - first) * pieces * taps, size)
                step = ((tile - first) * pieces + piece) * taps + k


@threads.serial
def _write_dx(d, layout, gradients, tables, weights, rows, scratch, dx, first, count, split, spare):
    """Write dx of a block of images, phase by phase: the gradient's planes convolved with the flipped filters."""
    phases, offsets, positions, targets = tables
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
                at, end = at_positions, at_positions + here * length
                while at < end:
                    vectors = next_vectors(rows, step, end - at)
                    outer_tile(
                        rows, vectors, no_floor, d + g * gradients.group * size, positions.ctypes.data + at * 8,
                        offsets.ctypes.data + at_offsets * 8,
                        weights.ctypes.data + (at_weights + block * K * rows) * size, K, target, stride,
                        targets.ctypes.data + at * 8, zeros.ctypes.data,
                    )  # fmt: skip
                    at += vectors
                if not direct:
                    for i in range(here):
                        n = (g + i) * together
                        for line in range(rows):
                            store_phase(
                                scratch, line * stride + i * plane, row, OH, OW, dx, first + n,
                                min(together, count - n), c + line, top, left, layout.SH, layout.SW, together, spare,
                            )  # fmt: skip
        at_weights += blocks * K * rows

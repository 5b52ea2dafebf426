"""Forward pass of the convolution of the njit backend: register tiles with fused ReLU and max pooling.

Tasks are blocks of images, split by filters too if there are few blocks. `geometry` computes the memory layout. While a
block is computed the images of the next one are prefetched. The backward pass is in `gradients`.
"""

import numpy as np

from ...dispatch import windows
from .. import threads
from . import geometry
from .padding import fill_planes, part_planes, pool, prefetch_part, store_plane
from .pool2x2 import narrow
from .tiles import next_vectors, outer_tile

TASKS = 8  # minimum number of tasks, for load balance
LARGE = 1 << 13  # elements of filters that several threads pack
NO_INDEX = np.empty((0, 0, 0, 0), np.uint8)


def forward(x, w, b, geometry_, relu=False):
    """Return the output of the convolution, with ReLU if relu is True."""
    x, geometry_, _ = windows.cropped(x, geometry_)
    shape = geometry.shape_of(x, w, geometry_)
    out = np.empty((x.shape[0], shape.F, shape.OH, shape.OW), x.dtype)
    _run_forward(x, w, b, shape, 0 if relu else -np.inf, (0, 0), (0, 0), out, NO_INDEX)
    return out


def forward_pooled(x, w, b, geometry_, pooling, index_dtype):
    """Return the output of convolution, ReLU and max pooling, and the index of the pooling."""
    x, geometry_, _ = windows.cropped(x, geometry_)
    shape = geometry.shape_of(x, w, geometry_)
    out = np.empty((x.shape[0], shape.F, *pooling.out), x.dtype)
    index = np.empty(out.shape, index_dtype)
    _run_forward(x, w, b, shape, 0, pooling.window, pooling.stride, out, index)
    return out, index


def _run_forward(x, w, b, shape, floor, size, pool_stride, out, index):
    if out.size:
        plan = geometry.forward(shape, x.dtype, geometry.images_together(shape, len(x), x.dtype))
        weights = _pack(w.reshape(shape.F, -1), plan.out.rows)
        blocks = -(-len(x) // (plan.out.groups * plan.planes.together))
        splits = min(len(weights), -(-TASKS // blocks))
        is_2x2 = size == pool_stride == (2, 2) and plan.out.row == 2 * out.shape[3]
        width = narrow(2, plan.out.row, x.dtype) if is_2x2 and plan.planes.together == 1 else 0
        numbers = (splits, shape.OH, shape.OW, width)
        _forward(blocks * splits, x, weights, b, *plan, x.dtype.type(floor), numbers, size, pool_stride, out, index)


def _pack(w, rows):
    """Pack filters (F, K) into blocks (blocks, K, rows) as tiles read them; the last block overlaps the one before."""
    packed = np.empty((-(-len(w) // rows), w.shape[1], rows), w.dtype)
    parts = len(packed) if w.size > LARGE else 1
    _pack_part(parts, parts, w, packed)
    return packed


@threads.parallel(grain=1)
def _pack_part(first, last, parts, w, packed):
    blocks, K, rows = packed.shape
    for block in range(first * blocks // parts, last * blocks // parts):
        f = min(block * rows, w.shape[0] - rows)
        for row in range(rows):
            for k in range(K):
                packed[block, k, row] = w[f + row, k]


@threads.parallel(grain=1)
def _forward(start, stop, x, weights, b, layout, offsets, tiles, floor, numbers, size, pool_stride, out, index):
    """Compute the tasks from `start` to `stop`; each is some filters of a block of images."""
    (splits, OH, OW, width), together = numbers, layout.together
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
                source, weights, blocks, b, offsets, tiles, floor, scratch, (OH, OW), size, pool_stride, width, out,
                index, first, count, together, spare, plain, ahead,
            )  # fmt: skip


@threads.njit_no_refcount
def _write_direct(source, weights, blocks, b, offsets, tiles, floor, out, n, ahead):
    """Compute outputs of image n for some filters, tile by tile, and write them directly to `out`."""
    _, K, rows = weights.shape
    F, plane, size = out.shape[1], out.shape[2] * out.shape[3], out.itemsize
    group = 0
    while group < tiles.positions.size:
        vectors = next_vectors(rows, tiles.tile_vectors, tiles.positions.size - group)
        for block in blocks:
            f = min(block * rows, F - rows)
            outer_tile(
                rows, vectors, floor, source, tiles.positions.ctypes.data + group * 8, offsets.ctypes.data,
                weights.ctypes.data + block * K * rows * size, K, out.ctypes.data + (n * F + f) * plane * size, plane,
                tiles.targets.ctypes.data + group * 8, b.ctypes.data + f * size,
            )  # fmt: skip
        prefetch_part(ahead, group, tiles.positions.size, size)
        group += vectors


@threads.njit_no_refcount
def _write_rows(
    source, weights, blocks, b, offsets, tiles, floor, scratch, out_size, size, pool_stride, width, out, index,
    first, count, together, spare, plain, ahead,
):  # fmt: skip
    """Compute a block of images, some filters at a time: tiles to scratch planes, whose rows are copied or pooled."""
    _, K, rows = weights.shape
    F, itemsize, groups = b.size, out.itemsize, (count + together - 1) // together
    stride, zero, plane = tiles.groups * tiles.plane, out.dtype.type(0), out_size[0] * out_size[1]
    for block in blocks:
        f = min(block * rows, F - rows)
        group = 0
        while group < groups * tiles.vectors:
            vectors = next_vectors(rows, tiles.tile_vectors, groups * tiles.vectors - group)
            outer_tile(
                rows, vectors, floor, source, tiles.positions.ctypes.data + group * 8, offsets.ctypes.data,
                weights.ctypes.data + block * K * rows * itemsize, K, scratch.ctypes.data, stride,
                tiles.targets.ctypes.data + group * 8, b.ctypes.data + f * itemsize,
            )  # fmt: skip
            group += vectors
        for row in range(rows):
            for g in range(groups):
                base, n = row * stride + g * tiles.plane, first + g * together
                here = min(together, count - g * together)
                if not index.size:
                    store_plane(scratch, base, tiles.row, out_size, together, out, n, here, f + row, spare)
                elif together == 1:
                    pool(scratch, base, tiles.row, size, pool_stride, width, out[n, f + row], index[n, f + row])
                else:
                    part_planes(
                        scratch, base, tiles.row, out_size[0], out_size[1], together, zero, np.intp(plain.ctypes.data),
                        out_size[1] * itemsize, plane * itemsize, here, spare,
                    )  # fmt: skip
                    for e in range(here):
                        target, winners = out[n + e, f + row], index[n + e, f + row]
                        pool(plain, e * plane, out_size[1], size, pool_stride, 0, target, winners)
        prefetch_part(ahead, block - blocks.start, len(blocks), itemsize)

"""Matrix products of the njit backend: out = x @ w + b and its gradients, all with one kernel.

    out[i, j] = bias[j] + sum_k a[i, k] * b[k, j]

A task is a block of rows, a block of columns and a chunk of the sum over k. It packs its part of b into panels as wide
as the register tile, DEPTH terms at a time, and reads a without packing. A transposed b is packed in square blocks that
are transposed in registers; a transposed a is copied in strips. If rows and columns give too few tasks, the sum is cut
into chunks, which are added in order. Blocks and chunks depend only on the shapes, so no bit of a result depends on the
number of threads.

BLAS was tried: OpenBLAS's threads spin after a call and double the time of the next kernels.
"""

import functools

import numpy as np

from .. import threads
from . import cpu_info
from .gemm_tiles import copy_panel, copy_transposed, panel_tile, panel_tile_shape
from .row_copies import copy_rows

DEPTH = 256  # terms of the sum in a packed panel
HEIGHT = 64  # columns of a transposed `a` that are copied at a time: a few cache lines of each row
PACKED = 1 << 19  # maximum bytes of packed panels: half a second-level cache
TASKS = 16  # desired number of tasks, to balance the load
ROWS = 16  # rows of b that are packed at a time into all panels, so that they are read as streams
WORK = 1 << 23  # minimum multiply-adds of a task, times the bytes of a number

U = np.uintp  # unsigned indices need no wrap-around of negative ones, so loops vectorise


def multiply_add(x, w, b, relu=False):
    """Return x @ w + b, with ReLU if `relu`."""
    out = np.empty((x.shape[0], w.shape[1]), x.dtype)
    _multiply(x, False, w, False, b, out, relu)
    return out


def multiply_transposed(x, y):
    """Return x @ y.T."""
    out = np.empty((x.shape[0], y.shape[0]), x.dtype)
    _multiply(x, False, y, True, np.empty(0, x.dtype), out, False)
    return out


def gradients(dout, x, w, need_dx, mask=None):
    """Return dx (or None), dw and db; the gradient is 0 where `mask`, the output of a ReLU, is not positive."""
    no_bias, db = np.empty(0, x.dtype), np.empty(dout.shape[1], x.dtype)
    passed = dout if mask is None else np.empty_like(dout)
    _pass(dout, passed if mask is None else mask, mask is not None, passed, db)
    dx = np.empty_like(x) if need_dx else None
    dw = np.empty_like(w)
    _multiply(x, True, passed, False, no_bias, dw, False)
    if need_dx:
        _multiply(passed, False, w, True, no_bias, dx, False)
    return dx, dw, db


def _multiply(a, a_turned, b, b_turned, bias, out, relu):
    """out = a @ b + bias, where a, b or both may be given transposed; an empty bias means no bias."""
    rows, columns = out.shape
    count = a.shape[0] if a_turned else a.shape[1]
    if not out.size or not count:
        out[...] = bias if bias.size else 0
        if relu:
            np.maximum(out, 0, out=out)
        return
    row_blocks, column_blocks, chunks = grid = _grid(rows, columns, count, out.dtype)
    partial = np.empty((chunks - 1, rows, columns), out.dtype)
    _run(row_blocks * column_blocks * chunks, a, a_turned, b, b_turned, bias, out, partial, grid, relu and chunks == 1)
    if chunks > 1:
        _add(out.size, out.reshape(-1), partial.reshape(chunks - 1, -1), relu)


@functools.lru_cache(maxsize=256)
def _grid(rows, columns, count, dtype):
    """Return the numbers of row blocks, column blocks and chunks: up to TASKS tasks of at least WORK each."""
    _, vectors, lanes = cpu_info.panel_tile(dtype)
    padded = -(-columns // lanes) * lanes
    wanted = min(TASKS, rows * padded * count * dtype.itemsize // WORK)
    column_blocks = -(-padded * DEPTH * dtype.itemsize // PACKED)
    row_blocks = max(1, min(wanted // column_blocks, rows // 128))
    chunks = max(1, min(wanted // (row_blocks * column_blocks), count // (2 * DEPTH)))
    column_blocks = max(column_blocks, min(wanted // (row_blocks * chunks), columns // (2 * vectors * lanes)))
    return row_blocks, column_blocks, chunks


@threads.parallel(grain=1)
def _run(first, last, a, a_turned, b, b_turned, bias, out, partial, grid, relu):
    row_blocks, column_blocks, chunks = grid
    most_rows, most_vectors, lanes = panel_tile_shape(out.dtype.type(0))
    width, count = most_vectors * lanes, a.shape[0] if a_turned else a.shape[1]
    depth, panels = min(DEPTH, count), -(-out.shape[1] // width)
    packed = np.empty((depth * -(-panels // column_blocks) + lanes) * width, out.dtype)
    strip = np.empty(depth * HEIGHT if a_turned else 0, out.dtype)
    edge, zeros = np.empty(most_rows * width, out.dtype), np.zeros(out.shape[1], out.dtype)
    for task in range(first, last):
        rows = _cut(task // column_blocks % row_blocks, row_blocks, out.shape[0], most_rows)
        columns = _cut(task % column_blocks, column_blocks, out.shape[1], width)
        chunk = task // (column_blocks * row_blocks)
        steps = _cut(chunk, chunks, count, 1)
        start = bias if bias.size and chunk == 0 else zeros
        target = out.ctypes.data if chunk == 0 else partial[chunk - 1].ctypes.data
        _block(a, a_turned, b, b_turned, start, target, rows, columns, steps, packed, strip, edge, out.shape[1], relu)


@threads.serial
def _cut(part, parts, length, unit):
    """Return start and stop of a part, when `length` is cut into `parts` parts of whole units."""
    units = -(-length // unit)
    return part * units // parts * unit, min((part + 1) * units // parts * unit, length)


@threads.serial
def _block(a, a_turned, b, b_turned, base, target, rows, columns, steps, packed, strip, edge, out_row, relu):
    """Compute one task: rows x columns of `target`, as the row `base` plus the sum over `steps`."""
    size = a.itemsize
    for k in range(steps[0], steps[1], DEPTH):
        depth = min(DEPTH, steps[1] - k)
        if b_turned:
            _pack_turned(b, k, depth, columns, packed)
        else:
            _pack(b, k, depth, columns, packed)
        floor = a.dtype.type(0 if relu and k + depth == steps[1] else -np.inf)
        for i in range(rows[0], rows[1], HEIGHT):
            stop = min(i + HEIGHT, rows[1])
            if a_turned:
                source, a_row, a_step = np.intp(strip.ctypes.data), 1, HEIGHT
                columns_of_a = a.ctypes.data + (k * a.shape[1] + i) * size
                copy_rows(floor, source, HEIGHT * size, columns_of_a, a.shape[1] * size, depth, stop - i)
            else:
                source, a_row, a_step = np.intp(a.ctypes.data + (i * a.shape[1] + k) * size), a.shape[1], 1
            start, start_row = target, out_row
            if k == steps[0]:
                start, start_row = base.ctypes.data, 0
            _rows(
                source, a_row, a_step, packed, depth, start, start_row, target, out_row, i, stop, columns, edge, floor
            )


@threads.serial
def _rows(a, a_row, a_step, packed, depth, start, start_row, out, out_row, first, last, columns, edge, floor):
    """Compute rows first to last for the terms of one set of panels: all panels for some rows, then the next rows."""
    most_rows, most_vectors, lanes = panel_tile_shape(floor)
    width, size, inside = most_vectors * lanes, packed.itemsize, np.intp(edge.ctypes.data)
    height = most_rows
    while first < last:
        while height > last - first:
            height //= 2
        panel = np.intp(packed.ctypes.data)
        for j in range(columns[0], columns[1], width):
            part = min(width, columns[1] - j)
            vectors = -(-part // lanes)
            begin, begin_row = start + (first * start_row + j) * size, start_row
            end, end_row = out + (first * out_row + j) * size, out_row
            if part < vectors * lanes:  # the tile writes whole vectors
                copy_rows(floor, inside, width * size, begin, begin_row * size, height if begin_row else 1, part)
                begin, begin_row, end, end_row = inside, width if begin_row else 0, inside, width
            panel_tile(height, vectors, floor, a, a_row, a_step, panel, depth, begin, begin_row, end, end_row)
            if part < vectors * lanes:
                copy_rows(floor, out + (first * out_row + j) * size, out_row * size, inside, width * size, height, part)
            panel += depth * vectors * lanes * size
        first += height
        a += height * a_row * size


@threads.serial
def _pack(b, first, depth, columns, packed):
    """Pack `depth` rows of b from `first` on into panels; the last vector of a row reads past its columns."""
    zero, size = b.dtype.type(0), b.itemsize
    _, most_vectors, lanes = panel_tile_shape(zero)
    for k in range(0, depth, ROWS):
        target = np.intp(packed.ctypes.data)
        for j in range(columns[0], columns[1], most_vectors * lanes):
            part = min(most_vectors * lanes, columns[1] - j)
            vectors = -(-part // lanes)
            at, row = (first + k) * b.shape[1] + j, vectors * lanes
            count = min(ROWS, depth - k)
            inside = min(count, max(0, (b.size - at - row) // b.shape[1] + 1))
            copy_panel(vectors, zero, target + k * row * size, b.ctypes.data + at * size, b.shape[1], inside)
            rest, source = target + (k + inside) * row * size, b.ctypes.data + (at + inside * b.shape[1]) * size
            copy_rows(zero, rest, row * size, source, b.shape[1] * size, count - inside, part)
            target += depth * row * size


@threads.serial
def _pack_turned(b, first, depth, columns, packed):
    """Pack a transposed b in square blocks, which read past the end of a row of b and write past the panel."""
    zero, size = b.dtype.type(0), b.itemsize
    _, most_vectors, lanes = panel_tile_shape(zero)
    at = 0
    for first_column in range(columns[0], columns[1], most_vectors * lanes):
        part = min(most_vectors * lanes, columns[1] - first_column)
        row = -(-part // lanes) * lanes
        for j in range(0, part, lanes):
            for k in range(0, depth, lanes):
                source = (first_column + j) * b.shape[1] + first + k
                if j + lanes <= part and source + (lanes - 1) * b.shape[1] + lanes <= b.size:
                    block = packed.ctypes.data + (at + k * row + j) * size
                    copy_transposed(zero, block, row, b.ctypes.data + source * size, b.shape[1])
                else:
                    for column in range(j, min(j + lanes, part)):
                        for step in range(k, min(k + lanes, depth)):
                            packed[U(at + step * row + column)] = b[U(first_column + column), U(first + step)]
        at += depth * row


@threads.parallel(grain=1 << 14)
def _add(start, stop, out, partial, relu):
    """Add the chunks of the sum in order, then apply ReLU."""
    zero = out.dtype.type(0)
    for begin in range(start, stop, 1024):
        total = out[begin : min(begin + 1024, stop)]
        for chunk in range(partial.shape[0]):
            more = partial[chunk, begin : min(begin + 1024, stop)]
            for i in range(total.size):
                total[i] += more[i]
        if relu:
            for i in range(total.size):
                total[i] = zero if total[i] < zero else total[i]


@threads.serial
def _pass(dout, mask, masks, passed, db):
    """passed = dout where the mask is positive, else 0; db = the sum of its rows."""
    zero = dout.dtype.type(0)
    total = np.zeros(db.size, np.float64)
    for n in range(dout.shape[0]):
        if masks:
            for m in range(db.size):
                passed[n, m] = dout[n, m] if mask[n, m] > zero else zero
        for m in range(db.size):
            total[m] += passed[n, m]
    for m in range(db.size):
        db[m] = total[m]

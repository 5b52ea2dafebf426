"""Matrix products of the njit backend: out = x @ w + b and its gradients, all with one kernel.

    out[i, j] = bias[j] + sum_k a[i, k] * b[k, j]

A task is a block of rows, a block of columns and a chunk of the sum over k. It packs its part of b into panels as wide
as the register tile, some terms at a time; for few rows it reads b where it is. It reads a where it is too, unless its
rows share lines of the caches. Transposed matrices are copied in square blocks that are transposed in registers; for
very few rows or columns another form of the product takes less time. If rows and columns give too few tasks, the sum is
cut into chunks, which are added in order. Blocks and chunks depend on the shapes and `sizes`, so no bit of a result
depends on the number of threads.

BLAS was tried: OpenBLAS's threads spin after a call and double the time of the next kernels.
"""

import numpy as np

from .. import threads
from . import cpu_info, sizes
from .gemm_tiles import copy_panel, copy_transposed, dot_rows, panel_tile, panel_tile_shape
from .row_copies import copy_rows, pass_rows

HEIGHT = 48  # rows of `a` that are copied at a time: whole tiles, and if transposed, whole cache lines
GAP = 16  # elements between the rows of such a copy, so that they share few lines of a cache
SPREAD = 1 << 14  # rows of `a` a multiple of so many bytes apart share lines of the caches, so they are copied ...
MANY = 128  # ... if there are so many columns
DOTS = 8  # maximum rows of a product with a transposed b that is computed as dot products
NARROW = 16  # maximum columns of a product with a transposed a that is computed as its transpose
LINE = 64  # bytes of a cache line
CHUNKS = 8  # maximum number of chunks, since adding them takes time
TASKS = 16  # desired number of tasks, to balance the load
ROWS = 16  # rows of b that are packed at a time into all panels, so that they are read as streams
GRAIN = 1 << 14  # minimum elements of a part of the sum over chunks


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
    given = dout, passed if mask is None else mask, mask is not None, passed, db
    if passed_gradient(*threads.split(db.size, _columns(len(dout))), *given):
        raise MemoryError(f"{__name__}: gradients ran out of memory; use smaller batches")
    dx = np.empty_like(x) if need_dx else None
    dw = np.empty_like(w)
    _multiply(x, True, passed, False, no_bias, dw, False)
    if need_dx:
        _multiply(passed, False, w, True, no_bias, dx, False)
    return dx, dw, db


def _multiply(a, a_turned, b, b_turned, bias, out, relu):
    """out = a @ b + bias, where a or b may be given transposed; an empty bias means no bias."""
    count = a.shape[0] if a_turned else a.shape[1]
    if not out.size or not count:
        out[...] = bias if bias.size else 0
        if relu:
            np.maximum(out, 0, out=out)
        return
    plan = plan_of(*out.shape, count, a_turned, b_turned, out.dtype, threads.get_num_threads())
    slots, scratch = threads.split(int(plan[TASKS_OF]), 1)[0], np.empty(plan[SCRATCH], out.dtype)
    if multiply(slots, plan, a, a_turned, b, b_turned, bias, out, scratch, relu):
        raise MemoryError(f"{__name__}: multiply ran out of memory; use smaller batches")


# Numbers of a plan: form, blocks, chunks and tasks of the product, the parts of its two loops, the elements of scratch
# memory, the depth of panels, whether b is read where it is, and the parts of `passed_gradient` before dw.
FORM, ROW_BLOCKS, COLUMN_BLOCKS, CHUNKS_OF, TASKS_OF, PARTS, PARTS_OF_SUM, SCRATCH, DEPTH, IN_PLACE, PASSES = range(11)
PLAN = 11
BLOCKS, DOT_PRODUCTS, TRANSPOSED = range(3)


@sizes.cached_plans(maxsize=512)
def plan_of(rows, columns, count, a_turned, b_turned, dtype, number):
    """Return the plan of a product on `number` threads. What is added up in which order does not depend on `number`."""
    limits = sizes.of_product(rows, columns, count, a_turned, b_turned, dtype)
    if b_turned and rows <= DOTS and columns >= cpu_info.lanes(dtype):
        tasks = max(1, min(TASKS, rows * columns * count * dtype.itemsize // limits.task))
        return np.array([DOT_PRODUCTS, 1, 1, 1, tasks, threads.parts(tasks, 1, number), 1, 0, 0, 0, 1])
    is_narrow = a_turned and columns <= NARROW < rows
    height, width = (columns, rows) if is_narrow else (rows, columns)
    grid = _grid(height, width, count, dtype, limits)
    in_place = cpu_info.has_masks() and not b_turned and grid[0] == 1 and height <= limits.in_place
    tasks, size = int(np.prod(grid)), rows * columns
    parts = threads.parts(tasks, 1, number), threads.parts(size, GRAIN, number)
    scratch = (grid[2] - 1 + is_narrow) * size
    form, passes = TRANSPOSED if is_narrow else BLOCKS, threads.parts(columns, _columns(count), number)
    return np.array([form, *grid, tasks, *parts, scratch, limits.depth, in_place, passes])


@threads.serial
def multiply(slots, plan, a, a_turned, b, b_turned, bias, out, scratch, relu):
    """Compute a product by its plan; return 0 unless memory ran out."""
    form, chunks, (rows, columns) = plan[FORM], plan[CHUNKS_OF], out.shape
    helpers = slots if plan[PARTS] > 1 else slots[:0]
    if form == DOT_PRODUCTS:
        return _dot_products(helpers, plan[TASKS_OF], plan[PARTS], plan[TASKS_OF], a, b, out)
    target, grid = out, (plan[ROW_BLOCKS], plan[COLUMN_BLOCKS], chunks, plan[DEPTH], plan[IN_PLACE])
    if form == TRANSPOSED:
        a, b, rows, columns = b, a, columns, rows
        target = scratch[(chunks - 1) * out.size : chunks * out.size].reshape((rows, columns))
    partial, at_once = scratch[: (chunks - 1) * out.size].reshape((chunks - 1, rows, columns)), relu and chunks == 1
    status = _tasks(
        helpers, plan[TASKS_OF], plan[PARTS], a, a_turned, b, b_turned, bias, target, partial, grid, at_once
    )
    if status == 0 and chunks > 1:
        helpers, rest = slots if plan[PARTS_OF_SUM] > 1 else slots[:0], partial.reshape((chunks - 1, out.size))
        status = _sums(helpers, out.size, plan[PARTS_OF_SUM], target.reshape(out.size), rest, relu)
    if form == TRANSPOSED:
        _turn(target, out)
    return status


@threads.parallel(grain=1)
def _dots(first, last, tasks, a, b, out):
    """out = a @ b.T for few rows, as dot products of rows, so that b is not packed."""
    zero, size = out.dtype.type(0), out.itemsize
    lanes = panel_tile_shape(zero)[2]
    start, stop = _cut(first, tasks, out.shape[1], lanes)[0], _cut(last - 1, tasks, out.shape[1], lanes)[1]
    for j in range(start, stop, lanes):
        j = min(j, out.shape[1] - lanes)
        for row in range(out.shape[0]):
            source, target = a.ctypes.data + row * a.shape[1] * size, out.ctypes.data + (row * out.shape[1] + j) * size
            dot_rows(zero, source, b.ctypes.data + j * b.shape[1] * size, b.shape[1], a.shape[1], target)


@threads.serial
def _turn(source, out):
    """out = source.T"""
    zero, size = out.dtype.type(0), out.itemsize
    for row in range(out.shape[0]):
        for first in range(0, out.shape[1], 1024):
            target, line = out[row, first:].ctypes.data, source[first:, row:].ctypes.data
            copy_rows(zero, target, size, line, source.shape[1] * size, min(1024, out.shape[1] - first), 1)


def _grid(rows, columns, count, dtype, limits):
    """Return the numbers of row blocks, column blocks and chunks: up to TASKS tasks of at least `limits.task` each.

    The sum is cut first, since each row block packs b again.
    """
    _, vectors, lanes = cpu_info.panel_tile(dtype)
    padded = -(-columns // lanes) * lanes
    wanted = min(TASKS, rows * padded * count * dtype.itemsize // limits.task)
    column_blocks = -(-padded * limits.depth * dtype.itemsize // limits.panels)
    chunks = max(1, min(wanted // column_blocks, CHUNKS, count // (2 * limits.depth)))
    row_blocks = max(1, min(wanted // (column_blocks * chunks), rows // 128))
    column_blocks = max(column_blocks, min(wanted // (row_blocks * chunks), columns // (2 * vectors * lanes)))
    return row_blocks, column_blocks, chunks


@threads.parallel(grain=1)
def _run(first, last, a, a_turned, b, b_turned, bias, out, partial, grid, relu):
    row_blocks, column_blocks, chunks, most_depth, in_place = grid
    most_rows, most_vectors, lanes, widest = panel_tile_shape(out.dtype.type(0))
    width, count = most_vectors * lanes, a.shape[0] if a_turned else a.shape[1]
    panels = -(-out.shape[1] // (width * column_blocks))
    packed = _aligned(min(most_depth, count) * panels * width + lanes * widest * lanes, out.dtype)
    strip, zeros = _aligned((HEIGHT + lanes) * (most_depth + GAP), out.dtype), np.zeros(out.shape[1], out.dtype)
    for task in range(first, last):
        rows = _cut(task // column_blocks % row_blocks, row_blocks, out.shape[0], most_rows)
        columns = _cut(task % column_blocks, column_blocks, out.shape[1], width)
        chunk = task // (column_blocks * row_blocks)
        steps = _cut(chunk, chunks, count, 1)
        start = bias if bias.size and chunk == 0 else zeros
        target = out.ctypes.data if chunk == 0 else partial[chunk - 1].ctypes.data
        _block(
            a, a_turned, b, b_turned, start, target, rows, columns, steps, most_depth, in_place, packed, strip,
            out.shape[1], relu,
        )  # fmt: skip


@threads.serial
def _aligned(length, dtype):
    """Return an array that starts at a cache line; a vector that crosses one is loaded in two parts."""
    memory = np.empty(length + LINE // 4, dtype)
    first = -memory.ctypes.data % LINE // memory.itemsize
    return memory[first : first + length]


@threads.serial
def _cut(part, parts, length, unit):
    """Return start and stop of a part, when `length` is cut into `parts` parts of whole units."""
    units = -(-length // unit)
    return part * units // parts * unit, min((part + 1) * units // parts * unit, length)


@threads.serial
def _block(
    a, a_turned, b, b_turned, base, target, rows, columns, steps, most_depth, in_place, packed, strip, out_row, relu
):
    """Compute one task: rows x columns of `target`, as the row `base` plus the sum over `steps`."""
    size, strip_row = a.itemsize, most_depth + GAP
    copied = a_turned or (a.shape[1] * size % SPREAD == 0 and columns[1] - columns[0] >= MANY)
    for k in range(steps[0], steps[1], most_depth):
        depth = min(most_depth, steps[1] - k)
        panel, panel_row = np.intp(packed.ctypes.data), 0
        if in_place:
            panel, panel_row = np.intp(b.ctypes.data + (k * b.shape[1] + columns[0]) * size), b.shape[1]
        elif b_turned:
            _pack_turned(b, k, depth, columns, packed)
        else:
            _pack(b, k, depth, columns, packed)
        floor = a.dtype.type(0 if relu and k + depth == steps[1] else -np.inf)
        start, start_row = target, out_row
        if k == steps[0]:
            start, start_row = base.ctypes.data, 0
        for i in range(rows[0], rows[1], HEIGHT):
            stop = min(i + HEIGHT, rows[1])
            source, a_row = np.intp(a.ctypes.data + (i * a.shape[1] + k) * size), a.shape[1]
            if a_turned:
                _transpose(a, k, k + depth, i, stop, np.intp(strip.ctypes.data), strip_row)
            elif copied:
                copy_rows(floor, strip.ctypes.data, strip_row * size, source, a_row * size, stop - i, depth)
            if copied:
                source, a_row = np.intp(strip.ctypes.data), strip_row
            _panels(
                source, a_row, panel, panel_row, depth, start, start_row, target, out_row, i, stop, columns, floor, size
            )


@threads.serial
def _panels(a, a_row, panel, panel_row, depth, start, start_row, out, out_row, first, last, columns, floor, size):
    """Compute the rows from first to last for the terms of one set of panels; panel_row is 0 if these are packed."""
    most_rows, most_vectors, lanes, widest = panel_tile_shape(floor)
    j = columns[0]
    while j < columns[1]:
        vectors = _width(columns[1] - j, most_vectors, lanes, widest)
        width = vectors * lanes
        step, ending = panel_row if panel_row else width, min(lanes, columns[1] - j - width + lanes)
        row, line, height = first, a, 6 if vectors > most_vectors else most_rows
        while row < last:
            while height > last - row:
                height = 4 if height == 6 else height // 2
            begin, end = start + (row * start_row + j) * size, out + (row * out_row + j) * size
            panel_tile(height, vectors, floor, line, a_row, panel, step, depth, begin, start_row, end, out_row, ending)
            row += height
            line += height * a_row * size
        panel += (width if panel_row else depth * width) * size
        j += width


@threads.serial
def _width(columns, most_vectors, lanes, widest):
    """Return the vectors of the next panel: the usual number or the rest, and 4 at the end rather than 3 and 1."""
    left = -(-columns // lanes)
    return left if left == widest else min(left, most_vectors)


@threads.serial
def _pack(b, first, depth, columns, packed):
    """Pack `depth` rows of b from `first` on into panels; the last vector of a row reads past its columns."""
    zero, size = b.dtype.type(0), b.itemsize
    _, most_vectors, lanes, widest = panel_tile_shape(zero)
    for k in range(0, depth, ROWS):
        target, j = np.intp(packed.ctypes.data), columns[0]
        while j < columns[1]:
            vectors = _width(columns[1] - j, most_vectors, lanes, widest)
            at, row = (first + k) * b.shape[1] + j, vectors * lanes
            count = min(ROWS, depth - k)
            inside = min(count, max(0, (b.size - at - row) // b.shape[1] + 1))
            copy_panel(vectors, zero, target + k * row * size, b.ctypes.data + at * size, b.shape[1], inside)
            rest, source = target + (k + inside) * row * size, b.ctypes.data + (at + inside * b.shape[1]) * size
            copy_rows(zero, rest, row * size, source, b.shape[1] * size, count - inside, min(row, columns[1] - j))
            target += depth * row * size
            j += row


@threads.serial
def _pack_turned(b, first, depth, columns, packed):
    """Pack a transposed b into panels."""
    zero, size = b.dtype.type(0), b.itemsize
    _, most_vectors, lanes, widest = panel_tile_shape(zero)
    target, j = np.intp(packed.ctypes.data), columns[0]
    while j < columns[1]:
        row = _width(columns[1] - j, most_vectors, lanes, widest) * lanes
        _transpose(b, j, min(j + row, columns[1]), first, first + depth, target, row)
        target += depth * row * size
        j += row


@threads.serial
def _transpose(source, first_row, last_row, first_column, last_column, target, target_row):
    """Copy some columns of `source` to the rows at `target`, in square blocks.

    Blocks read past the end of a row of `source`, and write past the end of a row of `target` and past the last one.
    """
    zero, size = source.dtype.type(0), source.itemsize
    _, _, lanes, _ = panel_tile_shape(zero)
    for i in range(first_row, last_row, lanes):
        rows = min(lanes, last_row - i)
        for j in range(first_column, last_column, lanes):
            at, columns = i * source.shape[1] + j, min(lanes, last_column - j)
            to = target + ((j - first_column) * target_row + i - first_row) * size
            if at + (rows - 1) * source.shape[1] + lanes <= source.size:
                copy_transposed(zero, to, target_row, source.ctypes.data + at * size, source.shape[1], rows)
            else:
                for row in range(rows):
                    line = source.ctypes.data + (at + row * source.shape[1]) * size
                    copy_rows(zero, to + row * size, target_row * size, line, size, columns, 1)


@threads.parallel(grain=GRAIN)
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


def _columns(rows):
    """Return the minimum columns of a part of `_pass`."""
    return max(LINE, -(-GRAIN // max(1, rows)))


@threads.parallel(grain=LINE)
def _pass(start, stop, dout, mask, masks, passed, db):
    """passed = dout where the mask is positive, else 0; db = the sum of its rows; for the columns of a part."""
    zero, row, first = dout.dtype.type(0), db.size * dout.itemsize, start * dout.itemsize
    if masks:
        target, source, positive = passed.ctypes.data + first, dout.ctypes.data + first, mask.ctypes.data + first
        pass_rows(zero, target, row, source, row, positive, row, dout.shape[0], stop - start)
    total = np.zeros(stop - start, np.float64)
    for n in range(dout.shape[0]):
        for m in range(start, stop):
            total[m - start] += passed[n, m]
    for m in range(start, stop):
        db[m] = total[m - start]


_dot_products, _tasks, _sums, passed_gradient = _dots.kernel, _run.kernel, _add.kernel, _pass.kernel  # type: ignore[attr-defined]

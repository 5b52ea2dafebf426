"""The register tile of matrix products, and the packing of panels for it; emitted as LLVM code, as in `tiles`.

A panel is a block of columns of a matrix, stored row by row and as wide as a tile. It consists of whole vectors, which
beyond the last column of the matrix contain arbitrary values. Arguments are addresses in bytes and offsets in elements;
the dtype is that of the scalar argument `zero` or `floor`.

With NUMBA_DISABLE_JIT=1 the functions of `numpy_reference` replace these.
"""

from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.numpy_support import as_dtype

from ..compiling import exact
from . import cpu_info
from .ir_builder import INDEX, Emitter


def _panel_tile_of(rows, vectors):
    """Return the tile of this shape; shapes larger than the registers of the CPU are never used and do nothing."""

    @intrinsic
    def tile(context, floor, a, a_row, panel, panel_row, count, start, start_row, out, out_row, last):
        lanes = cpu_info.lanes(as_dtype(floor))
        signature = types.void(floor, *[types.intp] * 10)

        def codegen(context, builder, signature, arguments):
            floor, a, a_row, panel, panel_row, count, start, start_row, out, out_row, last = arguments
            emit = Emitter(builder, dtype, lanes)
            a, panel, start, out = (emit.pointer(address) for address in (a, panel, start, out))
            mask, whole = emit.first_lanes(last), builder.icmp_unsigned("==", last, INDEX(lanes))
            end = (vectors - 1) * lanes

            def row_of(pointer, row, stride):
                return emit.at(pointer, builder.mul(INDEX(row), stride))

            def step(_, accumulators, line, *rows_of_a):
                loaded = [emit.load(line, v * lanes) for v in range(vectors - 1)]
                loaded.append(emit.load_masked(mask, line, end) if cpu_info.has_masks() else emit.load(line, end))
                results = []
                for row in range(rows):
                    factor = emit.splat(emit.scalar(row_of(rows_of_a[row // 3], row % 3, a_row)))
                    for v in range(vectors):
                        results.append(emit.multiply_add(factor, loaded[v], accumulators[row * vectors + v]))
                return results

            def finish(masked):
                least = emit.splat(floor)
                for number, value in enumerate(sums):
                    row, at = number // vectors, number % vectors * lanes
                    source, target, part = (
                        row_of(start, row, start_row),
                        row_of(out, row, out_row),
                        masked and at == end,
                    )
                    value = builder.fadd(value, emit.load_masked(mask, source, at) if part else emit.load(source, at))
                    value = builder.select(builder.fcmp_ordered("<", value, least), least, value)
                    emit.store_masked(mask, value, target, at) if part else emit.store(value, target, at)

            for row in range(rows):
                emit.prefetch(row_of(start, row, start_row), vectors * lanes)
            moving = [(panel, panel_row), *((row_of(a, row, a_row), 1) for row in range(0, rows, 3))]
            sums = emit.accumulate(count, [emit.constant(0.0)] * (rows * vectors), step, moving, unroll=2)
            emit.either(whole, lambda: finish(False), lambda: finish(True))
            return context.get_dummy_value()

        def empty(context, builder, signature, arguments):
            return context.get_dummy_value()

        dtype = floor
        return signature, codegen if cpu_info.has_panel_tile(rows, vectors) else empty

    return tile


_tile_8x1, _tile_8x2, _tile_8x3 = (_panel_tile_of(8, vectors) for vectors in (1, 2, 3))
_tile_4x1, _tile_4x2, _tile_4x3, _tile_4x4 = (_panel_tile_of(4, vectors) for vectors in (1, 2, 3, 4))
_tile_2x1, _tile_2x2, _tile_2x3, _tile_2x4 = (_panel_tile_of(2, vectors) for vectors in (1, 2, 3, 4))
_tile_1x1, _tile_1x2, _tile_1x3, _tile_1x4 = (_panel_tile_of(1, vectors) for vectors in (1, 2, 3, 4))
_tile_6x4 = _panel_tile_of(6, 4)


@exact
def panel_tile(rows, vectors, floor, a, a_row, panel, panel_row, count, start, start_row, out, out_row, last):
    """out[row*out_row + j] = max(floor, start[row*start_row + j] + sum_k a[row*a_row + k] * panel[k*panel_row + j]).

    0 <= j < vectors*lanes, but of the last vector of `start` and `out` only `last` lanes are read and written; the same
    holds for the panel on processors that have masks. NaN stays NaN. `start` may be `out`.
    """
    arguments = (floor, a, a_row, panel, panel_row, count, start, start_row, out, out_row, last)
    if rows == 8:
        if vectors == 3:
            _tile_8x3(*arguments)
        elif vectors == 2:
            _tile_8x2(*arguments)
        else:
            _tile_8x1(*arguments)
    elif rows == 6:
        _tile_6x4(*arguments)
    elif rows == 4:
        if vectors == 4:
            _tile_4x4(*arguments)
        elif vectors == 3:
            _tile_4x3(*arguments)
        elif vectors == 2:
            _tile_4x2(*arguments)
        else:
            _tile_4x1(*arguments)
    elif rows == 2:
        if vectors == 4:
            _tile_2x4(*arguments)
        elif vectors == 3:
            _tile_2x3(*arguments)
        elif vectors == 2:
            _tile_2x2(*arguments)
        else:
            _tile_2x1(*arguments)
    elif vectors == 4:
        _tile_1x4(*arguments)
    elif vectors == 3:
        _tile_1x3(*arguments)
    elif vectors == 2:
        _tile_1x2(*arguments)
    else:
        _tile_1x1(*arguments)


def _copy_panel_of(vectors):
    """Return the copy of rows of this many vectors."""

    @intrinsic
    def copy(context, zero, target, source, source_row, count):
        def codegen(context, builder, signature, arguments):
            _, target, source, source_row, count = arguments
            lanes = cpu_info.lanes(as_dtype(dtype))
            emit = Emitter(builder, dtype, lanes)
            target, source = emit.pointer(target), emit.pointer(source)
            with cgutils.for_range(builder, count) as loop:
                line = emit.at(source, builder.mul(loop.index, source_row))
                row = emit.at(target, builder.mul(loop.index, INDEX(vectors * lanes)))
                for v in range(vectors):
                    emit.store(emit.load(line, v * lanes), row, v * lanes)
            return context.get_dummy_value()

        dtype = zero
        return types.void(zero, *[types.intp] * 4), codegen

    return copy


_copy_panel_1, _copy_panel_2, _copy_panel_3, _copy_panel_4 = map(_copy_panel_of, (1, 2, 3, 4))


@exact
def copy_panel(vectors, zero, target, source, source_row, count):
    """target[k*width + j] = source[k*source_row + j], 0 <= k < count, 0 <= j < width = vectors*lanes."""
    if vectors == 4:
        _copy_panel_4(zero, target, source, source_row, count)
    elif vectors == 3:
        _copy_panel_3(zero, target, source, source_row, count)
    elif vectors == 2:
        _copy_panel_2(zero, target, source, source_row, count)
    else:
        _copy_panel_1(zero, target, source, source_row, count)


@intrinsic
def copy_transposed(context, zero, target, target_row, source, source_row, rows):
    """target[k*target_row + j] = source[min(j, rows - 1)*source_row + k] for a square block, 0 <= j, k < lanes."""

    def codegen(context, builder, signature, arguments):
        _, target, target_row, source, source_row, count = arguments
        lanes = cpu_info.lanes(as_dtype(dtype))
        emit = Emitter(builder, dtype, lanes)
        target, source = emit.pointer(target), emit.pointer(source)
        last, whole = builder.sub(count, INDEX(1)), builder.icmp_signed("==", count, INDEX(lanes))

        def load(clamped):
            numbers = [INDEX(j) for j in range(lanes)]
            if clamped:
                numbers = [builder.select(builder.icmp_signed("<", j, last), j, last) for j in numbers]
            return [emit.load(source, builder.mul(j, source_row)) for j in numbers]

        rows = emit.either(whole, lambda: load(False), lambda: load(True))
        half = lanes // 2
        low = [lane // 2 + lane % 2 * lanes for lane in range(lanes)]
        high = [half + lane for lane in low]
        while half:  # log2(lanes) times: interleave rows j and j + lanes/2
            pairs = list(zip(rows[: lanes // 2], rows[lanes // 2 :], strict=True))
            rows = [emit.shuffle(*pair, order) for pair in pairs for order in (low, high)]
            half //= 2
        for k, row in enumerate(rows):
            emit.store(row, target, builder.mul(INDEX(k), target_row))
        return context.get_dummy_value()

    dtype = zero
    return types.void(zero, *[types.intp] * 5), codegen


@intrinsic
def dot_rows(context, zero, x, rows, row, count, out):
    """out[j] = sum_k x[k] * rows[j*row + k], 0 <= j < lanes, 0 <= k < count.

    Every sum is that of the terms with k % lanes = 0, 1, ..., which are added at the end.
    """

    def codegen(context, builder, signature, arguments):
        _, x, rows, row, count, out = arguments
        lanes = cpu_info.lanes(as_dtype(dtype))
        emit = Emitter(builder, dtype, lanes)
        x, rows, out = (emit.pointer(address) for address in (x, rows, out))

        def step(load):
            def added(_, sums, left, *lines):
                vector = load(left)
                pairs = [(sums[j], emit.at(lines[j // 3], builder.mul(INDEX(j % 3), row))) for j in range(lanes)]
                return [emit.multiply_add(vector, load(line), total) for total, line in pairs]

            return added

        starts = [x, *(emit.at(rows, builder.mul(INDEX(j), row)) for j in range(0, lanes, 3))]
        pointers = [(pointer, lanes) for pointer in starts]
        zeros, full = [emit.constant(0.0)] * lanes, builder.udiv(count, INDEX(lanes))
        sums, ends = emit.loop(full, zeros, step(emit.load), pointers)
        mask = emit.first_lanes(builder.urem(count, INDEX(lanes)))
        sums = step(lambda pointer: emit.load_masked(mask, pointer))(None, sums, *ends)
        emit.store(emit.sums_of_lanes(sums), out)
        return context.get_dummy_value()

    dtype = zero
    return types.void(zero, *[types.intp] * 5), codegen


@intrinsic
def panel_tile_shape(context, zero):
    """Return rows, vectors and lanes of the usual `panel_tile`, and the vectors of the widest, as constants."""
    shape = *cpu_info.panel_tile(as_dtype(zero)), 4 if cpu_info.has_panel_tile(6, 4) else 3

    def codegen(context, builder, signature, arguments):
        return context.make_tuple(builder, signature.return_type, [INDEX(number) for number in shape])

    return types.UniTuple(types.intp, 4)(zero), codegen


if config.DISABLE_JIT:
    from .numpy_reference import copy_panel, copy_transposed, dot_rows, panel_tile, panel_tile_shape  # noqa: F401

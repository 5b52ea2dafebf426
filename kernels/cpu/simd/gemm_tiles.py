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
    def tile(context, floor, a, a_row, a_step, panel, count, start, start_row, out, out_row):
        most_rows, most_vectors, lanes = cpu_info.panel_tile(as_dtype(floor))
        signature = types.void(floor, *[types.intp] * 9)

        def codegen(context, builder, signature, arguments):
            floor, a, a_row, a_step, panel, count, start, start_row, out, out_row = arguments
            emit = Emitter(builder, dtype, lanes)
            a, panel, start, out = (emit.pointer(address) for address in (a, panel, start, out))
            lines = [emit.at(a, builder.mul(INDEX(row), a_row)) for row in range(rows)]
            positions = [(row, v * lanes) for row in range(rows) for v in range(vectors)]
            starts = [emit.load(emit.at(start, builder.mul(INDEX(row), start_row)), at) for row, at in positions]

            def step(k, accumulators):
                line = emit.at(panel, builder.mul(k, INDEX(vectors * lanes)))
                loaded = [emit.load(line, v * lanes) for v in range(vectors)]
                at_a = builder.mul(k, a_step)
                results = []
                for row in range(rows):
                    factor = emit.splat(emit.scalar(lines[row], at_a))
                    for v in range(vectors):
                        results.append(emit.multiply_add(factor, loaded[v], accumulators[row * vectors + v]))
                return results

            least = emit.splat(floor)
            for (row, at), value in zip(positions, emit.accumulate(count, starts, step), strict=True):
                value = builder.select(builder.fcmp_ordered("<", value, least), least, value)
                emit.store(value, emit.at(out, builder.mul(INDEX(row), out_row)), at)
            return context.get_dummy_value()

        def empty(context, builder, signature, arguments):
            return context.get_dummy_value()

        dtype = floor
        return signature, codegen if rows <= most_rows and vectors <= most_vectors else empty

    return tile


_tile_8x1, _tile_8x2, _tile_8x3 = (_panel_tile_of(8, vectors) for vectors in (1, 2, 3))
_tile_4x1, _tile_4x2, _tile_4x3 = (_panel_tile_of(4, vectors) for vectors in (1, 2, 3))
_tile_2x1, _tile_2x2, _tile_2x3 = (_panel_tile_of(2, vectors) for vectors in (1, 2, 3))
_tile_1x1, _tile_1x2, _tile_1x3 = (_panel_tile_of(1, vectors) for vectors in (1, 2, 3))


@exact
def panel_tile(rows, vectors, floor, a, a_row, a_step, panel, count, start, start_row, out, out_row):
    """out[row*out_row + j] = max(floor, start[row*start_row + j] + sum_k a[row*a_row + k*a_step] * panel[k*width + j]).

    0 <= j < width = vectors*lanes. NaN stays NaN. `rows` is a power of two; `start` may overlap `out`, since all of it
    is read before anything is written.
    """
    arguments = (floor, a, a_row, a_step, panel, count, start, start_row, out, out_row)
    if rows == 8:
        if vectors == 3:
            _tile_8x3(*arguments)
        elif vectors == 2:
            _tile_8x2(*arguments)
        else:
            _tile_8x1(*arguments)
    elif rows == 4:
        if vectors == 3:
            _tile_4x3(*arguments)
        elif vectors == 2:
            _tile_4x2(*arguments)
        else:
            _tile_4x1(*arguments)
    elif rows == 2:
        if vectors == 3:
            _tile_2x3(*arguments)
        elif vectors == 2:
            _tile_2x2(*arguments)
        else:
            _tile_2x1(*arguments)
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
            lanes = cpu_info.panel_tile(as_dtype(dtype)).lanes
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


_copy_panel_1, _copy_panel_2, _copy_panel_3 = map(_copy_panel_of, (1, 2, 3))


@exact
def copy_panel(vectors, zero, target, source, source_row, count):
    """target[k*width + j] = source[k*source_row + j], 0 <= k < count, 0 <= j < width = vectors*lanes."""
    if vectors == 3:
        _copy_panel_3(zero, target, source, source_row, count)
    elif vectors == 2:
        _copy_panel_2(zero, target, source, source_row, count)
    else:
        _copy_panel_1(zero, target, source, source_row, count)


@intrinsic
def copy_transposed(context, zero, target, target_row, source, source_row):
    """target[k*target_row + j] = source[j*source_row + k] for a square block, 0 <= j, k < lanes."""

    def codegen(context, builder, signature, arguments):
        _, target, target_row, source, source_row = arguments
        lanes = cpu_info.panel_tile(as_dtype(dtype)).lanes
        emit = Emitter(builder, dtype, lanes)
        target, source = emit.pointer(target), emit.pointer(source)
        rows = [emit.load(source, builder.mul(INDEX(j), source_row)) for j in range(lanes)]
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
    return types.void(zero, *[types.intp] * 4), codegen


@intrinsic
def panel_tile_shape(context, zero):
    """Return the maximum rows, maximum vectors and lanes of `panel_tile`, as constants of the compiled kernel."""
    shape = cpu_info.panel_tile(as_dtype(zero))

    def codegen(context, builder, signature, arguments):
        return context.make_tuple(builder, signature.return_type, [INDEX(number) for number in shape])

    return types.UniTuple(types.intp, 3)(zero), codegen


if config.DISABLE_JIT:
    from .numpy_reference import copy_panel, copy_transposed, panel_tile, panel_tile_shape  # noqa: F401

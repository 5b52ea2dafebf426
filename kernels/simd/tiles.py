"""The register tiles: functions that emit their LLVM instructions themselves.

LLVM's own vectoriser reaches a fifth to a quarter of a CPU's multiply-add peak on a convolution; a tile of accumulators
that stays in registers over the whole sum reaches nearly all of it. Arguments are addresses in bytes and offsets in
elements; the dtype is that of the scalar argument `zero`, and the shape of a tile follows from it and the host alone.

Under NUMBA_DISABLE_JIT=1 the functions of `simd.twins` stand in for these.
"""

from numba import config, njit, types
from numba.extending import intrinsic
from numba.np.numpy_support import as_dtype

from . import host
from .emitter import INDEX, Emitter


def _outer_tile_of(rows):
    """The outer tile with this many rows."""

    @intrinsic
    def tile(context, zero, x, positions, offsets, weights, count, out, row_stride, places, bias):
        _, vectors, lanes = host.outer_tile(as_dtype(zero))
        signature = types.void(zero, *[types.intp] * 9)

        def codegen(context, builder, signature, arguments):
            floor, x, positions, offsets, weights, count, out, row_stride, places, bias = arguments
            emit = Emitter(builder, zero_type, lanes)
            x, weights, out, bias = (emit.pointer(address) for address in (x, weights, out, bias))
            positions, offsets, places = (emit.pointer(address, INDEX) for address in (positions, offsets, places))
            bases = [emit.at(x, emit.scalar(positions, v)) for v in range(vectors)]
            starts = [emit.splat(emit.scalar(bias, row)) for row in range(rows) for _ in range(vectors)]

            def step(k, accumulators):
                offset = emit.scalar(offsets, k)
                loaded = [emit.load(base, offset) for base in bases]
                weight = emit.at(weights, builder.mul(k, INDEX(rows)))
                results = []
                for row in range(rows):
                    factor = emit.splat(emit.scalar(weight, row))
                    for v in range(vectors):
                        results.append(emit.multiply_add(factor, loaded[v], accumulators[row * vectors + v]))
                return results

            sums = emit.accumulate(count, starts, step)
            least = emit.splat(floor)
            for row in range(rows):
                line = emit.at(out, builder.mul(INDEX(row), row_stride))
                for v in range(vectors):
                    value = sums[row * vectors + v]
                    value = builder.select(builder.fcmp_ordered("<", value, least), least, value)
                    emit.store(value, line, emit.scalar(places, v))
            return context.get_dummy_value()

        zero_type = zero
        return signature, codegen

    return tile


_outer_tile_1, _outer_tile_2, _outer_tile_3, _outer_tile_4 = map(_outer_tile_of, (1, 2, 3, 4))


@njit(error_model="numpy")
def outer_tile(rows, floor, x, positions, offsets, weights, count, out, row_stride, places, bias):
    """out[row*row_stride + places[v] + lane] = max(floor, bias[row] + sum_k weights[k*rows + row] * x[offsets[k] + ...

    ... positions[v] + lane]) for rows x vectors x lanes outputs that stay in registers while k walks the sum.
    NaN passes the maximum. 1 <= rows <= 4.
    """
    if rows == 4:
        _outer_tile_4(floor, x, positions, offsets, weights, count, out, row_stride, places, bias)
    elif rows == 3:
        _outer_tile_3(floor, x, positions, offsets, weights, count, out, row_stride, places, bias)
    elif rows == 2:
        _outer_tile_2(floor, x, positions, offsets, weights, count, out, row_stride, places, bias)
    else:
        _outer_tile_1(floor, x, positions, offsets, weights, count, out, row_stride, places, bias)


def _panel_tile_of(rows):
    """The panel tile with this many rows."""

    @intrinsic
    def tile(context, zero, a, a_row, a_step, panel, count, out, out_row):
        _, vectors, lanes = host.outer_tile(as_dtype(zero))
        signature = types.void(zero, *[types.intp] * 7)

        def codegen(context, builder, signature, arguments):
            _, a, a_row, a_step, panel, count, out, out_row = arguments
            emit = Emitter(builder, zero_type, lanes)
            a, panel, out = (emit.pointer(address) for address in (a, panel, out))
            lines = [emit.at(a, builder.mul(INDEX(row), a_row)) for row in range(rows)]
            targets = [emit.at(out, builder.mul(INDEX(row), out_row)) for row in range(rows)]
            places = [(row, v) for row in range(rows) for v in range(vectors)]
            starts = [emit.load(targets[row], v * lanes) for row, v in places]

            def step(k, accumulators):
                line = emit.at(panel, builder.mul(k, INDEX(vectors * lanes)))
                loaded = [emit.load(line, v * lanes) for v in range(vectors)]
                at_a = builder.mul(k, a_step)
                factors = [emit.splat(emit.scalar(line_of_a, at_a)) for line_of_a in lines]
                return [
                    emit.multiply_add(factors[row], loaded[v], total)
                    for (row, v), total in zip(places, accumulators, strict=True)
                ]

            for (row, v), total in zip(places, emit.accumulate(count, starts, step), strict=True):
                emit.store(total, targets[row], v * lanes)
            return context.get_dummy_value()

        zero_type = zero
        return signature, codegen

    return tile


_panel_tile_1, _panel_tile_2, _panel_tile_3, _panel_tile_4 = map(_panel_tile_of, (1, 2, 3, 4))


@njit(error_model="numpy")
def panel_tile(rows, zero, a, a_row, a_step, panel, count, out, out_row):
    """out[row*out_row + j] += sum_k a[row*a_row + k*a_step] * panel[k*width + j], 0 <= j < width = vectors*lanes.

    1 <= rows <= 4.
    """
    if rows == 4:
        _panel_tile_4(zero, a, a_row, a_step, panel, count, out, out_row)
    elif rows == 3:
        _panel_tile_3(zero, a, a_row, a_step, panel, count, out, out_row)
    elif rows == 2:
        _panel_tile_2(zero, a, a_row, a_step, panel, count, out, out_row)
    else:
        _panel_tile_1(zero, a, a_row, a_step, panel, count, out, out_row)


@intrinsic
def dot_tile(context, zero, x, x_positions, offsets, d, d_stride, d_positions, count, out, out_stride):
    """out[row*out_stride + q] += sum_t sum_lane d[row*d_stride + d_positions[t] + lane] * x[offsets[q] + ...

    ... x_positions[t] + lane]: rows x vectors dot products at once, whose lanes are added up at the end.
    """
    rows, vectors, lanes = host.dot_tile(as_dtype(zero))
    signature = types.void(zero, *[types.intp] * 9)

    def codegen(context, builder, signature, arguments):
        _, x, x_positions, offsets, d, d_stride, d_positions, count, out, out_stride = arguments
        emit = Emitter(builder, zero_type, lanes)
        x, d, out = (emit.pointer(address) for address in (x, d, out))
        x_positions, offsets, d_positions = (emit.pointer(a, INDEX) for a in (x_positions, offsets, d_positions))
        x_bases = [emit.at(x, emit.scalar(offsets, q)) for q in range(vectors)]
        d_bases = [emit.at(d, builder.mul(d_stride, INDEX(row))) for row in range(rows)]

        def step(t, accumulators):
            at_x, at_d = emit.scalar(x_positions, t), emit.scalar(d_positions, t)
            left = [emit.load(base, at_d) for base in d_bases]
            results = list(accumulators)
            for q in range(vectors):
                right = emit.load(x_bases[q], at_x)
                for row in range(rows):
                    place = row * vectors + q
                    results[place] = emit.multiply_add(left[row], right, accumulators[place])
            return results

        sums = emit.accumulate(count, [emit.constant(0.0)] * (rows * vectors), step)
        for row in range(rows):
            for q in range(vectors):
                place = emit.at(out, builder.add(builder.mul(INDEX(row), out_stride), INDEX(q)))
                builder.store(builder.fadd(builder.load(place), emit.sum_of_lanes(sums[row * vectors + q])), place)
        return context.get_dummy_value()

    zero_type = zero
    return signature, codegen


@intrinsic
def panel_width(context, zero):
    """The columns of a panel of `panel_tile`, a constant of the compiled kernel."""
    _, vectors, lanes = host.outer_tile(as_dtype(zero))
    return types.intp(zero), lambda context, builder, signature, arguments: INDEX(vectors * lanes)


@intrinsic
def outer_tile_vectors(context, zero):
    """The vectors in a row of `outer_tile`, a constant of the compiled kernel."""
    vectors = host.outer_tile(as_dtype(zero)).vectors
    return types.intp(zero), lambda context, builder, signature, arguments: INDEX(vectors)


@intrinsic
def dot_tile_shape(context, zero):
    """The rows and vectors of `dot_tile`, constants of the compiled kernel."""
    rows, vectors, _ = host.dot_tile(as_dtype(zero))

    def codegen(context, builder, signature, arguments):
        return context.make_tuple(builder, signature.return_type, [INDEX(rows), INDEX(vectors)])

    return types.UniTuple(types.intp, 2)(zero), codegen


if config.DISABLE_JIT:
    from .twins import (  # noqa: F401
        dot_tile,
        dot_tile_shape,
        outer_tile,
        outer_tile_vectors,
        panel_tile,
        panel_width,
    )

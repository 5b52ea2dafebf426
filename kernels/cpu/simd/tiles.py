"""Register tiles of convolutions (micro-kernels), emitted as LLVM instructions.

A tile of accumulators stays in registers over the whole sum. This reaches nearly the multiply-add peak of a CPU; LLVM's
vectoriser reaches a fifth to a quarter of it on a convolution. Arguments are addresses in bytes and offsets in
elements; the dtype is that of the scalar argument `zero`. The shape of a tile depends only on the dtype and the CPU.

With NUMBA_DISABLE_JIT=1 the functions of `numpy_reference` replace these.
"""

from numba import config, types
from numba.extending import intrinsic
from numba.np.numpy_support import as_dtype

from ..compiling import exact
from . import cpu_info
from .ir_builder import INDEX, Emitter


def _outer_tile_of(rows, ends=False):
    """Return the outer tile with this many rows, or the one for the ends of rows."""

    @intrinsic
    def tile(context, zero, x, positions, offsets, weights, count, out, row_stride, targets, bias):
        vectors, lanes = (
            (cpu_info.tail_vectors if ends else cpu_info.outer_vectors)(rows),
            cpu_info.lanes(as_dtype(zero)),
        )
        signature = types.void(zero, *[types.intp] * 9)

        def codegen(context, builder, signature, arguments):
            floor, x, positions, offsets, weights, count, out, row_stride, targets, bias = arguments
            emit = Emitter(builder, zero_type, lanes)
            x, weights, out, bias = (emit.pointer(address) for address in (x, weights, out, bias))
            positions, offsets, targets = (emit.pointer(address, INDEX) for address in (positions, offsets, targets))
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
                    emit.store(value, line, emit.scalar(targets, v))
            return context.get_dummy_value()

        zero_type = zero
        return signature, codegen

    return tile


_outer_tile_1, _outer_tile_2, _outer_tile_3, _outer_tile_4 = map(_outer_tile_of, (1, 2, 3, 4))
_outer_tile_5, _outer_tile_6, _outer_tile_8 = map(_outer_tile_of, (5, 6, 8))
_outer_tile_8_at_ends = _outer_tile_of(8, ends=True)


@exact
def outer_tile(rows, vectors, floor, x, positions, offsets, weights, count, out, row_stride, targets, bias):
    """out[row*row_stride + targets[v] + lane] = max(floor, bias[row] + sum_k weights[k*rows + row] * x[offsets[k] + ...

    ... positions[v] + lane]), for rows x vectors x lanes outputs that stay in registers over the whole sum.
    NaN stays NaN. `rows` are those of a tile of `cpu_info`, `vectors` those of `next_vectors`.
    """
    if rows == 8:
        if vectors > 2:
            _outer_tile_8(floor, x, positions, offsets, weights, count, out, row_stride, targets, bias)
        else:
            _outer_tile_8_at_ends(floor, x, positions, offsets, weights, count, out, row_stride, targets, bias)
    elif rows == 6:
        _outer_tile_6(floor, x, positions, offsets, weights, count, out, row_stride, targets, bias)
    elif rows == 5:
        _outer_tile_5(floor, x, positions, offsets, weights, count, out, row_stride, targets, bias)
    elif rows == 4:
        _outer_tile_4(floor, x, positions, offsets, weights, count, out, row_stride, targets, bias)
    elif rows == 3:
        _outer_tile_3(floor, x, positions, offsets, weights, count, out, row_stride, targets, bias)
    elif rows == 2:
        _outer_tile_2(floor, x, positions, offsets, weights, count, out, row_stride, targets, bias)
    else:
        _outer_tile_1(floor, x, positions, offsets, weights, count, out, row_stride, targets, bias)


@exact
def next_vectors(rows, vectors, left):
    """Return the number of vectors of the next outer tile if `left` are left: `vectors`, but 2 for the ends of rows."""
    return 2 if rows == 8 and vectors == 3 and (left < 3 or left == 4) else vectors


def _dot_tile_of(rows):
    """Return the dot tile with this many rows."""

    @intrinsic
    def tile(context, zero, x, positions, offsets, packed, count, out):
        vectors, lanes = cpu_info.dot_vectors(rows), cpu_info.lanes(as_dtype(zero))
        signature = types.void(zero, *[types.intp] * 6)

        def codegen(context, builder, signature, arguments):
            _, x, positions, offsets, packed, count, out = arguments
            emit = Emitter(builder, zero_type, lanes)
            x, packed, out = (emit.pointer(address) for address in (x, packed, out))
            positions, offsets = (emit.pointer(address, INDEX) for address in (positions, offsets))
            bases = [emit.at(x, emit.scalar(offsets, q)) for q in range(vectors)]

            def step(t, accumulators):
                position = emit.scalar(positions, t)
                line = emit.at(packed, builder.mul(t, INDEX(rows * lanes)))
                right = [emit.load(base, position) for base in bases]
                results = []
                for row in range(rows):
                    left = emit.load(line, row * lanes)
                    for q in range(vectors):
                        results.append(emit.multiply_add(left, right[q], accumulators[row * vectors + q]))
                return results

            sums = emit.accumulate(count, [emit.constant(0.0)] * (rows * vectors), step)
            sums = [sums[row * vectors + q] for q in range(vectors) for row in range(rows)]
            _add_sums(emit, zero_type, sums, out)
            return context.get_dummy_value()

        zero_type = zero
        return signature, codegen

    return tile


def _add_sums(emit, zero_type, vectors, out):
    """out[i] += the sum over vector i"""
    at = 0
    while at < len(vectors):
        some = min(emit.lanes, 1 << (len(vectors) - at).bit_length() - 1)
        short = Emitter(emit.builder, zero_type, some)
        total = emit.sums_of_lanes(vectors[at : at + some])
        short.store(emit.builder.fadd(short.load(out, at), total), out, at)
        at += some


def _packing_of(rows):
    """Return the packing of a dot tile with this many rows."""

    @intrinsic
    def pack(context, zero, packed, d, stride, last, positions, count, sums):
        lanes = cpu_info.lanes(as_dtype(zero))
        signature = types.void(zero, *[types.intp] * 7)

        def codegen(context, builder, signature, arguments):
            _, packed, d, stride, last, positions, count, sums = arguments
            emit = Emitter(builder, zero_type, lanes)
            packed, d, sums = (emit.pointer(address) for address in (packed, d, sums))
            positions = emit.pointer(positions, INDEX)
            lines = []
            for row in range(rows):
                exists = builder.icmp_signed("<=", INDEX(row), last)
                lines.append(emit.at(d, builder.mul(builder.select(exists, INDEX(row), last), stride)))

            def step(t, totals):
                position, target = emit.scalar(positions, t), emit.at(packed, builder.mul(t, INDEX(rows * lanes)))
                results = []
                for row, total in enumerate(totals):
                    vector = emit.load(lines[row], position)
                    emit.store(vector, target, row * lanes)
                    results.append(builder.fadd(total, vector))
                return results

            _add_sums(emit, zero_type, emit.accumulate(count, [emit.constant(0.0)] * rows, step), sums)
            return context.get_dummy_value()

        zero_type = zero
        return signature, codegen

    return pack


_pack_3, _pack_4, _pack_5, _pack_6, _pack_8 = map(_packing_of, (3, 4, 5, 6, 8))


@exact
def pack_rows(rows, zero, packed, d, stride, last, positions, count, sums):
    """packed[(t*rows + row)*lanes + lane] = d[min(row, last)*stride + positions[t] + lane], as `dot_tile` reads it.

    Adds the sum over t and lane to sums[row].
    """
    if rows == 8:
        _pack_8(zero, packed, d, stride, last, positions, count, sums)
    elif rows == 6:
        _pack_6(zero, packed, d, stride, last, positions, count, sums)
    elif rows == 5:
        _pack_5(zero, packed, d, stride, last, positions, count, sums)
    elif rows == 4:
        _pack_4(zero, packed, d, stride, last, positions, count, sums)
    else:
        _pack_3(zero, packed, d, stride, last, positions, count, sums)


_dot_tile_3, _dot_tile_4, _dot_tile_5, _dot_tile_6, _dot_tile_8 = map(_dot_tile_of, (3, 4, 5, 6, 8))


@exact
def dot_tile(rows, zero, x, positions, offsets, packed, count, out):
    """out[q*rows + row] += sum_t sum_lane packed[(t*rows + row)*lanes + lane] * x[offsets[q] + positions[t] + lane].

    Dot products of `rows` packed rows with several rows of x, as many as `cpu_info` gives vectors for such a tile; the
    lanes are summed at the end.
    """
    if rows == 8:
        _dot_tile_8(zero, x, positions, offsets, packed, count, out)
    elif rows == 6:
        _dot_tile_6(zero, x, positions, offsets, packed, count, out)
    elif rows == 5:
        _dot_tile_5(zero, x, positions, offsets, packed, count, out)
    elif rows == 4:
        _dot_tile_4(zero, x, positions, offsets, packed, count, out)
    else:
        _dot_tile_3(zero, x, positions, offsets, packed, count, out)


if config.DISABLE_JIT:
    from .numpy_reference import dot_tile, next_vectors, outer_tile, pack_rows  # noqa: F401

"""Interleave rows of several images element by element, and separate them again; prefetch memory.

If a row of outputs is shorter than a vector, a vector holds the same columns of several images instead: element j of
image e is at j*together + e. Each function handles `rows` rows of `count` elements of each image. Arguments are
addresses, the bytes from row to row, and in `stride` the bytes from image to image; the dtype is that of `zero`.
"""

from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from ..compiling import exact
from .ir_builder import INDEX, LANE, in_overlapping_strips

LINE = 64  # bytes of a cache line


def _perfect_shuffle(emit, vectors):
    """Interleave the elements of the first half of the vectors with those of the second half."""
    half = len(vectors) // 2
    order = [source for lane in range(emit.lanes) for source in (lane, emit.lanes + lane)]
    mixed = []
    for a, b in zip(vectors[:half], vectors[half:], strict=True):
        mixed += [emit.shuffle(a, b, order[: emit.lanes]), emit.shuffle(a, b, order[emit.lanes :])]
    return mixed


def _undo_shuffle(emit, vectors):
    pairs = list(zip(vectors[::2], vectors[1::2], strict=True))
    return [emit.shuffle(a, b, list(range(first, 2 * emit.lanes, 2))) for first in (0, 1) for a, b in pairs]


def _mix_of(together):
    @intrinsic
    def mix(context, zero, target, target_row, source, source_row, stride, rows, count):
        def codegen(context, builder, signature, arguments):
            _, target, target_row, source, source_row, stride, rows, count = arguments

            def body(emit, row, start):
                at = builder.add(source, builder.mul(row, source_row))
                lines = [emit.pointer(builder.add(at, builder.mul(stride, INDEX(e)))) for e in range(together)]
                vectors = [emit.load(line, start) for line in lines]
                for _ in range(together.bit_length() - 1):
                    vectors = _perfect_shuffle(emit, vectors)
                mixed = emit.pointer(builder.add(target, builder.mul(row, target_row)))
                mixed = emit.at(mixed, builder.mul(start, INDEX(together)))
                for e, vector in enumerate(vectors):
                    emit.store(vector, mixed, e * emit.lanes)

            in_overlapping_strips(builder, signature.args[0], rows, count, body)
            return context.get_dummy_value()

        return types.void(zero, *[types.intp] * 7), codegen

    return mix


def _part_of(together):
    @intrinsic
    def part(context, zero, target, target_row, stride, source, source_row, rows, count):
        def codegen(context, builder, signature, arguments):
            _, target, target_row, stride, source, source_row, rows, count = arguments

            def body(emit, row, start):
                mixed = emit.pointer(builder.add(source, builder.mul(row, source_row)))
                mixed = emit.at(mixed, builder.mul(start, INDEX(together)))
                vectors = [emit.load(mixed, e * emit.lanes) for e in range(together)]
                for _ in range(together.bit_length() - 1):
                    vectors = _undo_shuffle(emit, vectors)
                at = builder.add(target, builder.mul(row, target_row))
                for e, vector in enumerate(vectors):
                    emit.store(vector, emit.pointer(builder.add(at, builder.mul(stride, INDEX(e)))), start)

            in_overlapping_strips(builder, signature.args[0], rows, count, body)
            return context.get_dummy_value()

        return types.void(zero, *[types.intp] * 7), codegen

    return part


_mix_2, _mix_4, _mix_8, _mix_16 = map(_mix_of, (2, 4, 8, 16))
_part_2, _part_4, _part_8, _part_16 = map(_part_of, (2, 4, 8, 16))


@exact
def mix_rows(together, zero, target, target_row, source, source_row, stride, rows, count):
    """target[j*together + e] = element j of image e in source; `together` is 2, 4, 8 or 16."""
    if together == 2:
        _mix_2(zero, target, target_row, source, source_row, stride, rows, count)
    elif together == 4:
        _mix_4(zero, target, target_row, source, source_row, stride, rows, count)
    elif together == 8:
        _mix_8(zero, target, target_row, source, source_row, stride, rows, count)
    else:
        _mix_16(zero, target, target_row, source, source_row, stride, rows, count)


@exact
def part_rows(together, zero, target, target_row, stride, source, source_row, rows, count):
    """Element j of image e in target = source[j*together + e], the inverse of `mix_rows`."""
    if together == 2:
        _part_2(zero, target, target_row, stride, source, source_row, rows, count)
    elif together == 4:
        _part_4(zero, target, target_row, stride, source, source_row, rows, count)
    elif together == 8:
        _part_8(zero, target, target_row, stride, source, source_row, rows, count)
    else:
        _part_16(zero, target, target_row, stride, source, source_row, rows, count)


@intrinsic
def prefetch(context, address, size):
    """Prefetch `size` bytes into the second-level cache; invalid addresses do no harm."""

    def codegen(context, builder, signature, arguments):
        address, size = arguments
        byte = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [byte, LANE, LANE, LANE])
        fetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        with cgutils.for_range_slice(builder, INDEX(0), size, INDEX(LINE)) as (start, _):
            line = builder.inttoptr(builder.add(address, start), byte)
            builder.call(fetch, [line, LANE(0), LANE(2), LANE(1)])
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), codegen


if config.DISABLE_JIT:
    from .numpy_reference import mix_rows, part_rows, prefetch  # noqa: F401

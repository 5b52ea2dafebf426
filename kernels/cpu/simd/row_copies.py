"""Copies and 2 x 2 pooling of rows in vectors, also of rows that are shorter than a register.

LLVM's vectoriser leaves the rest of a row to a scalar loop, which for rows of 8 to 31 elements is the whole row. Here
the last vector of a row overlaps the previous one, so source and target must not overlap. Each function handles `rows`
rows of `count` elements. Arguments are addresses and the bytes from row to row; the dtype is that of `zero`.
"""

from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

from .ir_builder import INDEX, in_overlapping_strips

BYTE = ir.IntType(8)


def _strip(pointers, body):
    """Return an intrinsic (zero, (address, bytes from row to row) of each pointer, rows, count).

    It emits body(emit, start, addresses of the row) for each vector.
    """

    def codegen(context, builder, signature, arguments):
        *addresses, rows, count = arguments[1:]

        def step(emit, row, start):
            pairs = zip(addresses[::2], addresses[1::2], strict=True)
            body(emit, start, [builder.add(address, builder.mul(row, stride)) for address, stride in pairs])

        in_overlapping_strips(builder, signature.args[0], rows, count, step)
        return context.get_dummy_value()

    return lambda zero: (types.void(zero, *[types.intp] * (2 * pointers + 2)), codegen)


def _load_bytes(emit, address, at):
    pointer = emit.at(emit.pointer(address, BYTE), at)
    loaded = emit.builder.load(emit.builder.bitcast(pointer, ir.VectorType(BYTE, emit.lanes).as_pointer()))
    loaded.align = 1
    return loaded


def _store_bytes(emit, vector, address, at):
    pointer = emit.at(emit.pointer(address, BYTE), at)
    emit.builder.store(vector, emit.builder.bitcast(pointer, vector.type.as_pointer())).align = 1


def _bytes(emit, value):
    return ir.Constant(ir.VectorType(BYTE, emit.lanes), [value] * emit.lanes)


def _every_second(emit, address, at):
    """Load 2 * lanes elements from 2 * at on; return the even ones and the odd ones."""
    pointer, lanes = emit.at(emit.pointer(address), emit.builder.mul(at, INDEX(2))), emit.lanes
    low, high = emit.load(pointer), emit.load(pointer, lanes)
    return (emit.shuffle(low, high, list(range(first, 2 * lanes, 2))) for first in (0, 1))


@intrinsic
def copy_rows(context, zero, target, target_row, source, source_row, rows, count):
    """target[j] = source[j]"""

    def body(emit, at, arguments):
        target, source = map(emit.pointer, arguments)
        emit.store(emit.load(source, at), target, at)

    return _strip(2, body)(zero)


@intrinsic
def split_rows(context, zero, even, even_row, odd, odd_row, source, source_row, rows, count):
    """even[j] = source[2*j], odd[j] = source[2*j + 1]"""

    def body(emit, at, arguments):
        even, odd, source = arguments
        for target, vector in zip((even, odd), _every_second(emit, source, at), strict=True):
            emit.store(vector, emit.pointer(target), at)

    return _strip(3, body)(zero)


@intrinsic
def merge_rows(context, zero, target, target_row, source, source_row, rows, count):
    """target[2*j] = source[j]; target[2*j + 1] is read and written back unchanged."""

    def body(emit, at, arguments):
        target, source = arguments
        pointer, lanes = emit.at(emit.pointer(target), emit.builder.mul(at, INDEX(2))), emit.lanes
        new = emit.load(emit.pointer(source), at)
        for half in (0, 1):
            positions = range(half * lanes, (half + 1) * lanes)
            mixed = [i - half * lanes if i % 2 else lanes + i // 2 for i in positions]
            emit.store(emit.shuffle(emit.load(pointer, half * lanes), new, mixed), pointer, half * lanes)

    return _strip(2, body)(zero)


@intrinsic
def pass_rows(context, zero, target, target_row, source, source_row, relu, relu_row, rows, count):
    """target[j] = source[j] where relu[j] > 0, else 0"""

    def body(emit, at, arguments):
        target, source, relu = map(emit.pointer, arguments)
        passes = emit.builder.fcmp_ordered(">", emit.load(relu, at), emit.constant(0.0))
        emit.store(emit.builder.select(passes, emit.load(source, at), emit.constant(0.0)), target, at)

    return _strip(3, body)(zero)


@intrinsic
def pool_rows(context, zero, target, target_row, index, index_row, top, top_row, bottom, bottom_row, rows, count):
    """target[j] = max(top[2*j], top[2*j + 1], bottom[2*j], bottom[2*j + 1]); index[j] = its number, 4 if it is not > 0.

    The first of equal maxima is chosen; NaN is larger than any number, the first NaN is chosen. `index` holds bytes.
    """

    def body(emit, at, arguments):
        builder, (target, index, top, bottom) = emit.builder, arguments
        best, *others = (*_every_second(emit, top, at), *_every_second(emit, bottom, at))
        position = _bytes(emit, 0)
        for number, value in enumerate(others, start=1):
            wins = builder.and_(builder.fcmp_unordered(">", value, best), builder.fcmp_ordered("ord", best, best))
            best = builder.select(wins, value, best)
            position = builder.select(wins, _bytes(emit, number), position)
        positive = builder.fcmp_ordered(">", best, emit.constant(0.0))
        emit.store(best, emit.pointer(target), at)
        _store_bytes(emit, builder.select(positive, position, _bytes(emit, 4)), index, at)

    return _strip(4, body)(zero)


@intrinsic
def unpool_rows(context, zero, top, top_row, bottom, bottom_row, source, source_row, index, index_row, rows, count):
    """Write source[j] to position index[j] of its 2 x 2 window, and zero to the others."""

    def body(emit, at, arguments):
        builder, (top, bottom, source, index) = emit.builder, arguments
        value, position = emit.load(emit.pointer(source), at), _load_bytes(emit, index, at)
        zeros, lanes = emit.constant(0.0), emit.lanes
        for line, first in ((top, 0), (bottom, 2)):
            left, right = (
                builder.select(builder.icmp_unsigned("==", position, _bytes(emit, number)), value, zeros)
                for number in (first, first + 1)
            )
            mixed = [number // 2 + number % 2 * lanes for number in range(2 * lanes)]
            pointer = emit.at(emit.pointer(line), builder.mul(at, INDEX(2)))
            emit.store(emit.shuffle(left, right, mixed[:lanes]), pointer)
            emit.store(emit.shuffle(left, right, mixed[lanes:]), pointer, lanes)

    return _strip(4, body)(zero)


if config.DISABLE_JIT:
    from .numpy_reference import copy_rows, merge_rows, pass_rows, pool_rows, split_rows, unpool_rows  # noqa: F401

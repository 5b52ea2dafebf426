"""Pooling over 2 x 2 windows with stride 2, many planes at once.

Planes of 2, 4, 8 or 16 columns and an even number of rows are pooled as one long row of windows: a vector of outputs
needs four adjacent vectors of inputs, which may span rows and planes. Other planes are pooled row by row. Among equal
maxima the first is chosen; NaN is larger than any number, and the first NaN is chosen. If `relu` is 1, a window whose
maximum is not above 0 gets the index 4.
"""

from numba import config, types
from numba.extending import intrinsic

from .. import threads
from . import cpu_info
from .ir_builder import INDEX, in_strips
from .row_copies import _bytes, _every_second, _load_bytes, _store_bytes, unpool_rows

NARROW = (2, 4, 8, 16)


def narrow(H, W, dtype):
    """Return the width of planes that are pooled as one long row, or 0 for other planes."""
    return W if W in NARROW and H % 2 == 0 and cpu_info.lanes(dtype) >= W // 2 else 0


def _position(output, number, width):
    """Return the position of element `number` of an output's window, in contiguous planes of this width."""
    row, column = divmod(output, width // 2)
    return (2 * row + number // 2) * width + 2 * column + number % 2


def _joined(emit, vectors):
    """Join four vectors to two of twice the length."""
    return [emit.shuffle(*pair, list(range(2 * emit.lanes))) for pair in (vectors[:2], vectors[2:])]


def _store_largest(emit, values, relu, target, index, at):
    """Store the elementwise maximum of four vectors and its number."""
    builder, (best, *others), position = emit.builder, values, _bytes(emit, 0)
    for number, value in enumerate(others, start=1):
        wins = builder.and_(builder.fcmp_unordered(">", value, best), builder.fcmp_ordered("ord", best, best))
        best = builder.select(wins, value, best)
        position = builder.select(wins, _bytes(emit, number), position)
    asked = builder.icmp_signed("!=", relu, INDEX(0))
    positive = builder.fcmp_ordered(">", best, emit.constant(0.0))
    stays = builder.select(asked, _bytes(emit, 0), _bytes(emit, 255))
    lost = builder.select(asked, _bytes(emit, 4), _bytes(emit, 0))
    emit.store(best, emit.pointer(target), at)
    _store_bytes(emit, builder.select(positive, position, builder.or_(builder.and_(position, stays), lost)), index, at)


def _over_outputs(zero, others, pointers, body, width=None):
    """Return an intrinsic (zero, *others, *pointers, count) that emits body(emit, start, arguments) for each vector."""

    def codegen(context, builder, signature, arguments):
        def step(emit, at):
            if width is None or emit.lanes % (width // 2) == 0:  # vectors are whole rows of outputs
                body(emit, at, arguments[1 + len(others) : -1])

        in_strips(builder, signature.args[0], arguments[-1], step)
        return context.get_dummy_value()

    return types.void(zero, *others, *[types.intp] * (pointers + 1)), codegen


@intrinsic(prefer_literal=True)
def pool_quads(context, zero, width, relu, target, index, source, count):
    """Compute `count` outputs of planes of this width, a compile-time constant."""
    columns = width.literal_value

    def body(emit, at, arguments):
        relu, target, index, source = arguments
        pointer = emit.at(emit.pointer(source), emit.builder.mul(at, INDEX(4)))
        low, high = _joined(emit, [emit.load(pointer, part * emit.lanes) for part in range(4)])
        positions = [[_position(output, number, columns) for output in range(emit.lanes)] for number in range(4)]
        _store_largest(emit, [emit.shuffle(low, high, lanes) for lanes in positions], relu, target, index, at)

    return _over_outputs(zero, [width], 4, body, columns)


@intrinsic(prefer_literal=True)
def unpool_quads(context, zero, width, target, source, index, count):
    """Write source[j] to position index[j] of its window, and zero to the others."""
    columns = width.literal_value

    def body(emit, at, arguments):
        target, source, index = arguments
        value, position, lanes = emit.load(emit.pointer(source), at), _load_bytes(emit, index, at), emit.lanes
        low, high = _joined(
            emit,
            [
                emit.builder.select(
                    emit.builder.icmp_unsigned("==", position, _bytes(emit, number)), value, emit.constant(0.0)
                )
                for number in range(4)
            ],
        )
        origin = {_position(j, number, columns): number * lanes + j for j in range(lanes) for number in range(4)}
        pointer = emit.at(emit.pointer(target), emit.builder.mul(at, INDEX(4)))
        for part in range(0, 4 * lanes, lanes):
            emit.store(emit.shuffle(low, high, [origin[part + lane] for lane in range(lanes)]), pointer, part)

    return _over_outputs(zero, [width], 3, body, columns)


@intrinsic
def pool_pairs(context, zero, relu, target, index, top, bottom, count):
    """Compute `count` outputs of two rows."""

    def body(emit, at, arguments):
        relu, target, index, top, bottom = arguments
        values = [*_every_second(emit, top, at), *_every_second(emit, bottom, at)]
        _store_largest(emit, values, relu, target, index, at)

    return _over_outputs(zero, [], 5, body)


@intrinsic
def mean_pairs(context, zero, target, top, bottom, count):
    """target[j] = the mean of top[2*j], top[2*j + 1], bottom[2*j], bottom[2*j + 1]"""

    def body(emit, at, arguments):
        target, top, bottom = arguments
        first, *others = (*_every_second(emit, top, at), *_every_second(emit, bottom, at))
        for other in others:
            first = emit.builder.fadd(first, other)
        emit.store(emit.builder.fmul(first, emit.constant(0.25)), emit.pointer(target), at)

    return _over_outputs(zero, [], 3, body)


@intrinsic
def spread_pairs(context, zero, top, bottom, source, count):
    """top[2*j] = top[2*j + 1] = bottom[2*j] = bottom[2*j + 1] = source[j] / 4"""

    def body(emit, at, arguments):
        top, bottom, source = arguments
        value = emit.builder.fmul(emit.load(emit.pointer(source), at), emit.constant(0.25))
        twice = [number // 2 for number in range(2 * emit.lanes)]
        for line in (top, bottom):
            pointer = emit.at(emit.pointer(line), emit.builder.mul(at, INDEX(2)))
            emit.store(emit.shuffle(value, value, twice[: emit.lanes]), pointer)
            emit.store(emit.shuffle(value, value, twice[emit.lanes :]), pointer, emit.lanes)

    return _over_outputs(zero, [], 3, body)


@threads.njit_no_refcount
def pool_planes(planes, width, H, W, relu, x, out, index, out_at):
    """Pool `planes` planes from address x on into out from element out_at on. `width` is that of `narrow`."""
    zero, size, columns, rows = out.dtype.type(0), out.itemsize, W // 2, H // 2
    target, index_address = out.ctypes.data + out_at * size, index.ctypes.data + out_at
    count = planes * rows * columns
    if width == 2:
        pool_quads(zero, 2, relu, target, index_address, x, count)
    elif width == 4:
        pool_quads(zero, 4, relu, target, index_address, x, count)
    elif width == 8:
        pool_quads(zero, 8, relu, target, index_address, x, count)
    elif width == 16:
        pool_quads(zero, 16, relu, target, index_address, x, count)
    else:
        for plane in range(planes):
            for row in range(rows):
                top = x + (plane * H + 2 * row) * W * size
                at = (plane * rows + row) * columns
                pool_pairs(zero, relu, target + at * size, index_address + at, top, top + W * size, columns)


@threads.njit_no_refcount
def unpool_planes(planes, width, H, W, dout, index, at, dx, dx_at):
    """Write the gradients of `planes` planes into dx from element dx_at on."""
    zero, size, columns, rows = dx.dtype.type(0), dx.itemsize, W // 2, H // 2
    target, source, index_address = dx.ctypes.data + dx_at * size, dout.ctypes.data + at * size, index.ctypes.data + at
    count = planes * rows * columns
    if width == 2:
        unpool_quads(zero, 2, target, source, index_address, count)
    elif width == 4:
        unpool_quads(zero, 4, target, source, index_address, count)
    elif width == 8:
        unpool_quads(zero, 8, target, source, index_address, count)
    elif width == 16:
        unpool_quads(zero, 16, target, source, index_address, count)
    else:
        if 4 * count != planes * H * W:
            dx[dx_at : dx_at + planes * H * W] = zero
        line = W * size
        for plane in range(planes):
            top, here = target + plane * H * line, plane * rows * columns
            unpool_rows(
                zero, top, 2 * line, top + line, 2 * line, source + here * size, columns * size, index_address + here,
                columns, rows, columns,
            )  # fmt: skip


if config.DISABLE_JIT:
    from .norm_reference import mean_pairs, pool_pairs, pool_quads, spread_pairs, unpool_quads  # noqa: F401

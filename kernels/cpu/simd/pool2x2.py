"""Pooling over windows of 2 x 2 that do not overlap, in many planes at once.

Planes of at most 16 columns, an even number of rows and a power of two of columns lie in memory as one long row of
quads: a vector of outputs takes its inputs from four neighbouring vectors, whatever the plane. Other planes are pooled
row by row. Of equal elements the first wins, of NaN the first wins over all. Where `relu` is 1, windows whose largest
element is not above 0 get the index 4, "none"; where it is 0 none does.
"""

from numba import config, types
from numba.extending import intrinsic

from .. import threads
from . import cpu_info
from .ir_builder import INDEX, in_strips
from .row_copies import _bytes, _every_second, _load_bytes, _store_bytes, unpool_rows

NARROW = (2, 4, 8, 16)


def narrow(H, W, dtype):
    """The width of planes that are pooled as one long row, else 0."""
    return W if W in NARROW and H % 2 == 0 and cpu_info.lanes(dtype) >= W // 2 else 0


def _place(output, number, width):
    """Where element `number` of an output's window is, in planes of this width that lie behind one another."""
    row, column = divmod(output, width // 2)
    return (2 * row + number // 2) * width + 2 * column + number % 2


def _joined(emit, vectors):
    """Four vectors as two."""
    return [emit.shuffle(*pair, list(range(2 * emit.lanes))) for pair in (vectors[:2], vectors[2:])]


def _store_largest(emit, values, relu, target, index, at):
    """The largest of four vectors and which it is."""
    builder, (best, *others), place = emit.builder, values, _bytes(emit, 0)
    for number, value in enumerate(others, start=1):
        wins = builder.and_(builder.fcmp_unordered(">", value, best), builder.fcmp_ordered("ord", best, best))
        best = builder.select(wins, value, best)
        place = builder.select(wins, _bytes(emit, number), place)
    asked = builder.icmp_signed("!=", relu, INDEX(0))
    positive = builder.fcmp_ordered(">", best, emit.constant(0.0))
    stays = builder.select(asked, _bytes(emit, 0), _bytes(emit, 255))
    lost = builder.select(asked, _bytes(emit, 4), _bytes(emit, 0))
    emit.store(best, emit.pointer(target), at)
    _store_bytes(emit, builder.select(positive, place, builder.or_(builder.and_(place, stays), lost)), index, at)


def _over_outputs(zero, others, pointers, body, width=None):
    """An intrinsic (zero, *others, *pointers, count): body(emit, start, arguments) for each vector of outputs."""

    def codegen(context, builder, signature, arguments):
        def step(emit, at):
            if width is None or emit.lanes % (width // 2) == 0:  # there are whole rows only
                body(emit, at, arguments[1 + len(others) : -1])

        in_strips(builder, signature.args[0], arguments[-1], step)
        return context.get_dummy_value()

    return types.void(zero, *others, *[types.intp] * (pointers + 1)), codegen


@intrinsic(prefer_literal=True)
def pool_quads(context, zero, width, relu, target, index, source, count):
    """`count` outputs of planes of this width, an integer known when this is compiled."""
    columns = width.literal_value

    def body(emit, at, arguments):
        relu, target, index, source = arguments
        pointer = emit.at(emit.pointer(source), emit.builder.mul(at, INDEX(4)))
        low, high = _joined(emit, [emit.load(pointer, part * emit.lanes) for part in range(4)])
        places = [[_place(output, number, columns) for output in range(emit.lanes)] for number in range(4)]
        _store_largest(emit, [emit.shuffle(low, high, lanes) for lanes in places], relu, target, index, at)

    return _over_outputs(zero, [width], 4, body, columns)


@intrinsic(prefer_literal=True)
def unpool_quads(context, zero, width, target, source, index, count):
    """The inverse: source[j] goes to the place index[j] of its window, zero to the others."""
    columns = width.literal_value

    def body(emit, at, arguments):
        target, source, index = arguments
        value, place, lanes = emit.load(emit.pointer(source), at), _load_bytes(emit, index, at), emit.lanes
        low, high = _joined(
            emit,
            [
                emit.builder.select(
                    emit.builder.icmp_unsigned("==", place, _bytes(emit, number)), value, emit.constant(0.0)
                )
                for number in range(4)
            ],
        )
        origin = {_place(j, number, columns): number * lanes + j for j in range(lanes) for number in range(4)}
        pointer = emit.at(emit.pointer(target), emit.builder.mul(at, INDEX(4)))
        for part in range(0, 4 * lanes, lanes):
            emit.store(emit.shuffle(low, high, [origin[part + lane] for lane in range(lanes)]), pointer, part)

    return _over_outputs(zero, [width], 3, body, columns)


@intrinsic
def pool_pairs(context, zero, relu, target, index, top, bottom, count):
    """`count` outputs of two rows."""

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
def share_pairs(context, zero, top, bottom, source, count):
    """A quarter of source[j] to each of top[2*j], top[2*j + 1], bottom[2*j], bottom[2*j + 1]"""

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
    """Pool `planes` planes from the address x on into out[out_at] and what follows. `width` is that of `narrow`."""
    zero, size, columns, rows = out.dtype.type(0), out.itemsize, W // 2, H // 2
    target, places = out.ctypes.data + out_at * size, index.ctypes.data + out_at
    count = planes * rows * columns
    if width == 2:
        pool_quads(zero, 2, relu, target, places, x, count)
    elif width == 4:
        pool_quads(zero, 4, relu, target, places, x, count)
    elif width == 8:
        pool_quads(zero, 8, relu, target, places, x, count)
    elif width == 16:
        pool_quads(zero, 16, relu, target, places, x, count)
    else:
        for plane in range(planes):
            for row in range(rows):
                top = x + (plane * H + 2 * row) * W * size
                at = (plane * rows + row) * columns
                pool_pairs(zero, relu, target + at * size, places + at, top, top + W * size, columns)


@threads.njit_no_refcount
def unpool_planes(planes, width, H, W, dout, index, at, dx, dx_at):
    """The gradients of `planes` planes, from dx[dx_at] on."""
    zero, size, columns, rows = dx.dtype.type(0), dx.itemsize, W // 2, H // 2
    target, source, places = dx.ctypes.data + dx_at * size, dout.ctypes.data + at * size, index.ctypes.data + at
    count = planes * rows * columns
    if width == 2:
        unpool_quads(zero, 2, target, source, places, count)
    elif width == 4:
        unpool_quads(zero, 4, target, source, places, count)
    elif width == 8:
        unpool_quads(zero, 8, target, source, places, count)
    elif width == 16:
        unpool_quads(zero, 16, target, source, places, count)
    else:
        if 4 * count != planes * H * W:
            dx[dx_at : dx_at + planes * H * W] = zero
        line = W * size
        for plane in range(planes):
            top, here = target + plane * H * line, plane * rows * columns
            unpool_rows(
                zero, top, 2 * line, top + line, 2 * line, source + here * size, columns * size, places + here, columns,
                rows, columns,
            )  # fmt: skip


if config.DISABLE_JIT:
    from .norm_reference import mean_pairs, pool_pairs, pool_quads, share_pairs, unpool_quads  # noqa: F401

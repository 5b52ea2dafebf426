"""Vector code of batch and group norm over rows: full vectors of columns, then shorter ones.

LLVM's vectoriser would leave the rest of a row to a scalar loop and test all arrays for overlap first, which takes
longer than a row of about 100 elements; and slices in Numba count references. Arguments are addresses in bytes, and
steps from row to row in elements; the dtype is that of `zero`. The gradient g counts as 0 where `relu`, the output of
the ReLU after it, is not above 0; a row of ones with step 0 stands for no ReLU.
"""

from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

from .ir_builder import in_strips


def _over_columns(zero, addresses, body, numbers=0):
    """Return an intrinsic (zero, *addresses, *numbers, count): body(emit, start, arguments) emits each vector."""

    def codegen(context, builder, signature, arguments):
        in_strips(builder, signature.args[0], arguments[-1], lambda emit, at: body(emit, at, arguments[1:-1]))
        return context.get_dummy_value()

    return types.void(zero, *[types.intp] * addresses, *[zero] * numbers, types.intp), codegen


def _in_row(emit, address, step, row, at):
    """Load the vector of a row that starts at column `at`."""
    offset = emit.builder.add(emit.builder.mul(row, step), at)
    return emit.load(emit.pointer(address), offset)


def _passed(emit, gradient, relu):
    passes = emit.builder.fcmp_ordered(">", relu, emit.constant(0.0))
    return emit.builder.select(passes, gradient, emit.constant(0.0))


def _add_in_double(emit, vector, address, at):
    """address[at:] += vector, in float64."""
    double = ir.VectorType(ir.DoubleType(), emit.lanes)
    target = emit.at(emit.pointer(address, ir.DoubleType()), at)
    target = emit.builder.bitcast(target, double.as_pointer())
    total = emit.builder.load(target)
    total.align = 8
    widened = vector if vector.type == double else emit.builder.fpext(vector, double)
    emit.builder.store(emit.builder.fadd(total, widened), target).align = 8


@intrinsic
def add_moments(context, zero, sums, squares, x, step, center, rows, count):
    """sums[j], squares[j] (float64) += the sums over `rows` >= 1 rows of x - center and of its square."""

    def body(emit, at, arguments):
        sums, squares, x, step, center, rows = arguments
        middle, none = emit.load(emit.pointer(center), at), emit.constant(0.0)

        def add(row, totals):
            deviation = emit.builder.fsub(_in_row(emit, x, step, row, at), middle)
            return emit.builder.fadd(totals[0], deviation), emit.multiply_add(deviation, deviation, totals[1])

        for total, address in zip(emit.accumulate(rows, (none, none), add), (sums, squares), strict=True):
            _add_in_double(emit, total, address, at)

    return _over_columns(zero, 6, body)


@intrinsic
def add_products(context, zero, sums, products, g, relu, relu_step, x, step, center, rows, count):
    """sums[j], products[j] (float64) += the sums over `rows` >= 1 rows of g and of g * (x - center)."""

    def body(emit, at, arguments):
        sums, products, g, relu, relu_step, x, step, center, rows = arguments
        middle, none = emit.load(emit.pointer(center), at), emit.constant(0.0)

        def add(row, totals):
            gradient = _passed(emit, _in_row(emit, g, step, row, at), _in_row(emit, relu, relu_step, row, at))
            deviation = emit.builder.fsub(_in_row(emit, x, step, row, at), middle)
            return emit.builder.fadd(totals[0], gradient), emit.multiply_add(gradient, deviation, totals[1])

        for total, address in zip(emit.accumulate(rows, (none, none), add), (sums, products), strict=True):
            _add_in_double(emit, total, address, at)

    return _over_columns(zero, 9, body)


@intrinsic
def normalise_row(context, zero, out, x, center, scale, shift, floor, count):
    """out[j] = (x[j] - center[j]) * scale[j] + shift[j], but at least floor"""

    def body(emit, at, arguments):
        *pointers, floor = *map(emit.pointer, arguments[:5]), emit.splat(arguments[5])
        out, x, center, scale, shift = pointers[0], *(emit.load(pointer, at) for pointer in pointers[1:])
        value = emit.multiply_add(emit.builder.fsub(x, center), scale, shift)
        low = emit.builder.fcmp_ordered("<=", value, floor)
        emit.store(emit.builder.select(low, floor, value), out, at)

    return _over_columns(zero, 5, body, numbers=1)


@intrinsic
def write_row(context, zero, dx, g, relu, x, center, scale, shift, slope, count):
    """dx[j] = scale[j] * (g[j] - shift[j] - slope[j] * (x[j] - center[j]))"""

    def body(emit, at, arguments):
        dx, *pointers = map(emit.pointer, arguments)
        g, relu, x, center, scale, shift, slope = (emit.load(pointer, at) for pointer in pointers)
        deviation = emit.builder.fneg(emit.builder.fsub(x, center))
        rest = emit.multiply_add(deviation, slope, emit.builder.fsub(_passed(emit, g, relu), shift))
        emit.store(emit.builder.fmul(scale, rest), dx, at)

    return _over_columns(zero, 8, body)


@intrinsic
def scale_row(context, zero, dx, g, relu, scale, count):
    """dx[j] = scale[j] * g[j]"""

    def body(emit, at, arguments):
        dx, *pointers = map(emit.pointer, arguments)
        g, relu, scale = (emit.load(pointer, at) for pointer in pointers)
        emit.store(emit.builder.fmul(scale, _passed(emit, g, relu)), dx, at)

    return _over_columns(zero, 4, body)


@intrinsic
def normalise_plane(context, zero, out, x, center, scale, shift, floor, count):
    """out[j] = (x[j] - center) * scale + shift, but at least floor"""

    def body(emit, at, arguments):
        out, x = map(emit.pointer, arguments[:2])
        center, scale, shift, floor = map(emit.splat, arguments[2:])
        value = emit.multiply_add(emit.builder.fsub(emit.load(x, at), center), scale, shift)
        low = emit.builder.fcmp_ordered("<=", value, floor)
        emit.store(emit.builder.select(low, floor, value), out, at)

    return _over_columns(zero, 2, body, numbers=4)


@intrinsic
def write_plane(context, zero, dx, g, relu, masked, x, center, scale, shift, slope, count):
    """dx[j] = scale * g[j] - (shift + slope * (x[j] - center)); `relu` is only read if `masked`, a bool"""

    def codegen(context, builder, signature, arguments):
        _, dx, g, relu, masked, x, *numbers, count = arguments

        def write(only):
            def body(emit, at):
                center, scale, shift, slope = map(emit.splat, numbers)
                gradient = emit.load(emit.pointer(g), at)
                if only:
                    gradient = _passed(emit, gradient, emit.load(emit.pointer(relu), at))
                deviation = emit.builder.fsub(emit.load(emit.pointer(x), at), center)
                rest = emit.builder.fneg(emit.multiply_add(slope, deviation, shift))
                emit.store(emit.multiply_add(scale, gradient, rest), emit.pointer(dx), at)

            in_strips(builder, signature.args[0], count, body)

        with builder.if_else(masked) as (then, otherwise):
            with then:
                write(True)
            with otherwise:
                write(False)
        return context.get_dummy_value()

    return types.void(zero, *[types.intp] * 3, types.boolean, types.intp, *[zero] * 4, types.intp), codegen


@intrinsic
def normalise_group(context, zero, out, x, gamma, beta, center, inv, offset, floor, count):
    """out[j] = ((x[j] - center) * inv + offset) * gamma[j] + beta[j], but at least floor"""

    def body(emit, at, arguments):
        out, *pointers = map(emit.pointer, arguments[:4])
        x, gamma, beta = (emit.load(pointer, at) for pointer in pointers)
        center, inv, offset, floor = map(emit.splat, arguments[4:])
        value = emit.multiply_add(emit.builder.fsub(x, center), inv, offset)
        value = emit.multiply_add(value, gamma, beta)
        low = emit.builder.fcmp_ordered("<=", value, floor)
        emit.store(emit.builder.select(low, floor, value), out, at)

    return _over_columns(zero, 4, body, numbers=4)


@intrinsic
def write_group(context, zero, dx, g, relu, x, gamma, dgamma, dbeta, center, inv, shift, slope, count):
    """dx[j] = inv * gamma[j] * g[j] - (shift + slope * (x[j] - center)).

    Adds g to dbeta and g * (x - center) * inv to dgamma, in float64.
    """

    def body(emit, at, arguments):
        dx, *pointers = map(emit.pointer, arguments[:5])
        g, relu, x, gamma = (emit.load(pointer, at) for pointer in pointers)
        center, inv, shift, slope = map(emit.splat, arguments[7:])
        gradient, deviation = _passed(emit, g, relu), emit.builder.fsub(x, center)
        _add_in_double(emit, gradient, arguments[6], at)
        _add_in_double(emit, emit.builder.fmul(gradient, emit.builder.fmul(deviation, inv)), arguments[5], at)
        rest = emit.builder.fneg(emit.multiply_add(slope, deviation, shift))
        emit.store(emit.multiply_add(emit.builder.fmul(inv, gamma), gradient, rest), dx, at)

    return _over_columns(zero, 7, body, numbers=4)


if config.DISABLE_JIT:
    from .norm_reference import (  # noqa: F401
        add_moments,
        add_products,
        normalise_group,
        normalise_plane,
        normalise_row,
        scale_row,
        write_group,
        write_plane,
        write_row,
    )

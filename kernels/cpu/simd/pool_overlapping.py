"""Max pooling over windows that may overlap: a vector of outputs stays in registers while all taps are compared."""

from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

from .ir_builder import INDEX, in_overlapping_strips
from .row_copies import BYTE, _every_second, _store_bytes


@intrinsic(prefer_literal=True)
def largest_of_taps(context, zero, step, target, index, source, offsets, first, taps, count):
    """target[j] = max over t < `taps` of source[step*j + offsets[t]]; index[j] = `first` + the t of the maximum.

    The first of equal maxima is chosen; NaN is larger than any number, and the first NaN is chosen. `step` is 1 or 2; 2
    reads one element more than the last output needs. `index` holds bytes, `offsets` int64.
    """
    stride = step.literal_value

    def codegen(context, builder, signature, arguments):
        target, index, source, offsets, first, taps, count = arguments[2:]

        def body(emit, _, at):
            base = emit.at(emit.pointer(source), builder.mul(at, INDEX(stride)))
            table = emit.pointer(offsets, INDEX)

            def load(tap):
                pointer = emit.at(base, builder.load(emit.at(table, tap)))
                if stride == 1:
                    return emit.load(pointer)
                return next(_every_second(emit, builder.ptrtoint(pointer, INDEX), INDEX(0)))

            def compare(tap, accumulators):
                (best, number), value = accumulators, load(tap)
                larger = builder.fcmp_unordered(">", value, best)  # true for NaN
                wins = builder.and_(builder.fcmp_ordered("ord", best, best), larger)
                this = emit.splat(builder.uitofp(builder.add(tap, first), emit.element))
                return builder.select(wins, value, best), builder.select(wins, this, number)

            start = load(INDEX(0)), emit.splat(builder.uitofp(first, emit.element))
            best, number = emit.accumulate(taps, start, compare)
            emit.store(best, emit.pointer(target), at)
            _store_bytes(emit, builder.fptoui(number, ir.VectorType(BYTE, emit.lanes)), index, at)

        in_overlapping_strips(builder, signature.args[0], INDEX(1), count, body)
        return context.get_dummy_value()

    return types.void(zero, step, *[types.intp] * 7), codegen


if config.DISABLE_JIT:
    from .norm_reference import largest_of_taps  # noqa: F401

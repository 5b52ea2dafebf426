"""Kernels whose parts wait for each other, with volatile loads that a plain loop does not guarantee."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastnn.kernels.cpu import compiling, threads

SPIN_LIMIT = 1 << 30  # spins, about one second


@intrinsic
def _look(context, address, place):
    """Return the current value of an int64 element (a volatile load)."""

    def codegen(context, builder, signature, arguments):
        word = ir.IntType(64)
        pointer = builder.inttoptr(arguments[0], word.as_pointer())
        return builder.load_atomic(builder.gep(pointer, [arguments[1]]), "acquire", 8)

    return types.int64(types.intp, types.intp), codegen


@compiling.uncached
def wait_for_other(part, begun, spin_limit):
    """Mark that one of two parts has begun, wait for the other one, and return whether it came."""
    begun[part] = 1
    spins = 0
    while _look(begun.ctypes.data, 1 - part) == 0 and spins < spin_limit:
        spins += 1
    return spins < spin_limit


@threads.parallel(grain=1)
def meet(start, stop, begun, met, spin_limit):
    """Each of two parts waits for the other one; met[part] is 1 if it came."""
    met[start] = wait_for_other(start, begun, spin_limit)


@threads.parallel(grain=1)
def hold(start, stop, begun, ended):
    """Each part marks that it has begun, and waits until ended[0] is set."""
    begun[start] = 1
    while _look(ended.ctypes.data, 0) == 0:
        pass

"""Kernels whose parts wait for something: what they read is read anew each time, which no plain loop promises."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastnn.kernels.cpu import compiling, threads

SPIN_LIMIT = 1 << 30  # spins, about a second


@intrinsic
def _look(context, address, place):
    """The int64 at a place of an array as it is now."""

    def codegen(context, builder, signature, arguments):
        word = ir.IntType(64)
        pointer = builder.inttoptr(arguments[0], word.as_pointer())
        return builder.load_atomic(builder.gep(pointer, [arguments[1]]), "acquire", 8)

    return types.int64(types.intp, types.intp), codegen


@compiling.uncached
def wait_for_other(part, begun, spin_limit):
    """One of two parts begins and waits until the other one has, for so many spins; whether it has."""
    begun[part] = 1
    spins = 0
    while _look(begun.ctypes.data, 1 - part) == 0 and spins < spin_limit:
        spins += 1
    return spins < spin_limit


@threads.parallel(grain=1)
def meet(start, stop, begun, met, spin_limit):
    """Each of two parts waits for the other one; met says whether it came."""
    met[start] = wait_for_other(start, begun, spin_limit)


@threads.parallel(grain=1)
def hold(start, stop, begun, ended):
    """Each part begins, and stays until ended[0] is set."""
    begun[start] = 1
    while _look(ended.ctypes.data, 0) == 0:
        pass

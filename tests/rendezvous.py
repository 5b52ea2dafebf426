"""Kernels whose parts wait for something: what they read is read anew each time, which no plain loop promises."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastnn.kernels.cpu import compiling, threads

PATIENCE = 1 << 30  # glances, about a second


@intrinsic
def _look(context, address, place):
    """The int64 at a place of an array as it is now."""

    def codegen(context, builder, signature, arguments):
        word = ir.IntType(64)
        pointer = builder.inttoptr(arguments[0], word.as_pointer())
        return builder.load_atomic(builder.gep(pointer, [arguments[1]]), "acquire", 8)

    return types.int64(types.intp, types.intp), codegen


@compiling.uncached
def wait_for_other(part, begun, patience):
    """One of two parts begins and waits until the other one has, for so many glances; whether it has."""
    begun[part] = 1
    glances = 0
    while _look(begun.ctypes.data, 1 - part) == 0 and glances < patience:
        glances += 1
    return glances < patience


@threads.parallel(grain=1)
def meet(start, stop, begun, met, patience):
    """Each of two parts waits for the other one; met says whether it came."""
    met[start] = wait_for_other(start, begun, patience)


@threads.parallel(grain=1)
def hold(start, stop, begun, ended):
    """Each part begins, and stays until ended[0] is set."""
    begun[start] = 1
    while _look(ended.ctypes.data, 0) == 0:
        pass

"""Kernels whose parts wait for something: what they read is read anew each time, which no plain loop promises."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastnn.kernels import threads

PATIENCE = 1 << 30  # glances


@intrinsic
def _look(context, address, place):
    """The int64 at a place of an array as it is now."""

    def codegen(context, builder, signature, arguments):
        word = ir.IntType(64)
        pointer = builder.inttoptr(arguments[0], word.as_pointer())
        return builder.load_atomic(builder.gep(pointer, [arguments[1]]), "acquire", 8)

    return types.int64(types.intp, types.intp), codegen


@threads.parallel(grain=1)
def meet(start, stop, begun, met, patience):
    """Each of two parts begins and waits until the other one has, for so many glances; met says whether it did."""
    begun[start] = 1
    glances = 0
    while _look(begun.ctypes.data, 1 - start) == 0 and glances < patience:
        glances += 1
    met[start] = glances < patience


@threads.parallel(grain=1)
def hold(start, stop, begun, ended, patience):
    """Each part begins, and stays until ended[0] is set, for so many glances at most."""
    begun[start] = 1
    glances = 0
    while _look(ended.ctypes.data, 0) == 0 and glances < patience:
        glances += 1

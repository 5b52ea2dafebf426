"""The floating-point mode of a thread: whether it flushes denormal numbers to zero, and how it rounds.

Each thread has its own, in the register MXCSR (x86) or FPCR (ARM). Libraries set it for the thread that calls them:
`torch.set_flush_denormal(True)`, or code compiled with -ffast-math. Kernels compute every part in the mode of the
thread that launched them, so that no bit depends on the thread that takes a part.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic

_WORD, _SHORT, _POINTER = ir.IntType(64), ir.IntType(32), ir.IntType(8).as_pointer()
_SETTINGS = ~0x3F  # of MXCSR; its lowest six bits record what has happened


def emit_read(builder):
    """LLVM code that reads the mode of the thread it runs on, as an int64; 0 on other processors."""
    if machine() == "x86":
        place = cgutils.alloca_once(builder, _SHORT)
        _call(builder, "llvm.x86.sse.stmxcsr", ir.VoidType(), builder.bitcast(place, _POINTER))
        return builder.zext(builder.and_(builder.load(place), _SHORT(_SETTINGS)), _WORD)
    if machine() == "arm":
        return _call(builder, "llvm.aarch64.get.fpcr", _WORD)
    return _WORD(0)


def emit_write(builder, mode):
    """LLVM code that gives the thread it runs on a mode that `emit_read` found."""
    if machine() == "x86":
        place = cgutils.alloca_once(builder, _SHORT)
        builder.store(builder.trunc(mode, _SHORT), place)
        _call(builder, "llvm.x86.sse.ldmxcsr", ir.VoidType(), builder.bitcast(place, _POINTER))
    elif machine() == "arm":
        _call(builder, "llvm.aarch64.set.fpcr", ir.VoidType(), mode)


def machine() -> str:
    """The kind of processor that is compiled for: "x86", "arm", or another name, where there is no mode to set."""
    name = cpu_target.target_context.codegen().magic_tuple()[0].partition("-")[0]
    return {"x86_64": "x86", "i386": "x86", "i686": "x86", "aarch64": "arm", "arm64": "arm"}.get(name, name)


def _call(builder, name, result, *arguments):
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


@intrinsic
def read(context):
    """The mode of the thread that calls, for kernels."""
    return types.int64(), lambda context, builder, signature, arguments: emit_read(builder)


@intrinsic
def write(context, mode):
    """Give the thread that calls a mode that `read` returned, for kernels."""

    def codegen(context, builder, signature, arguments):
        emit_write(builder, arguments[0])
        return context.get_dummy_value()

    return types.void(types.int64), codegen

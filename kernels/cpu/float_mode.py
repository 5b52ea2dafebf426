"""The floating-point mode of a thread: whether it flushes denormal numbers to zero, and how it rounds.

The mode is in the register MXCSR (x86) or FPCR (ARM) of each thread. Libraries change it for the calling thread:
`torch.set_flush_denormal(True)`, or code compiled with -ffast-math. Kernels compute every part in the mode of the
thread that launched them, so that no bit depends on which thread computes a part.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic

_WORD, _SHORT, _POINTER = ir.IntType(64), ir.IntType(32), ir.IntType(8).as_pointer()
_SETTINGS = ~0x3F  # bits of MXCSR; the lowest six are exception flags


def emit_read(builder):
    """Emit LLVM code that reads the mode of its thread as an int64; 0 on processors other than x86 and ARM."""
    if machine() == "x86":
        memory = cgutils.alloca_once(builder, _SHORT)
        _call(builder, "llvm.x86.sse.stmxcsr", ir.VoidType(), builder.bitcast(memory, _POINTER))
        return builder.zext(builder.and_(builder.load(memory), _SHORT(_SETTINGS)), _WORD)
    if machine() == "arm":
        return _call(builder, "llvm.aarch64.get.fpcr", _WORD)
    return _WORD(0)


def emit_write(builder, mode):
    """Emit LLVM code that sets the mode of its thread to a value from `emit_read`."""
    if machine() == "x86":
        memory = cgutils.alloca_once(builder, _SHORT)
        builder.store(builder.trunc(mode, _SHORT), memory)
        _call(builder, "llvm.x86.sse.ldmxcsr", ir.VoidType(), builder.bitcast(memory, _POINTER))
    elif machine() == "arm":
        _call(builder, "llvm.aarch64.set.fpcr", ir.VoidType(), mode)


def machine() -> str:
    """Return the kind of processor that Numba compiles for: "x86", "arm", or another name."""
    name = cpu_target.target_context.codegen().magic_tuple()[0].partition("-")[0]
    return {"x86_64": "x86", "i386": "x86", "i686": "x86", "aarch64": "arm", "arm64": "arm"}.get(name, name)


def _call(builder, name, result, *arguments):
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


@intrinsic
def read(context):
    """Return the mode of the calling thread; for kernels."""
    return types.int64(), lambda context, builder, signature, arguments: emit_read(builder)


@intrinsic
def write(context, mode):
    """Set the mode of the calling thread to a value from `read`; for kernels."""

    def codegen(context, builder, signature, arguments):
        emit_write(builder, arguments[0])
        return context.get_dummy_value()

    return types.void(types.int64), codegen

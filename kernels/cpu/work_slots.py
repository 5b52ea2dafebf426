"""Work for other threads, handed over without coming back to Python: slots in memory, read by waiting threads.

A slot is five int64: its state, the address of a machine-code function, that of its arguments, the status that the
function returned, and the floating-point mode in which it runs, that of the sender. A sender reserves a free slot,
fills it and posts it; the reader takes what is posted, runs it and says when it is done; only the sender frees it. What
the reader has not taken by the time that the sender is done with all the parts, the sender takes back: arguments stay
on its stack, and nobody reads them after `parallel_for` returns.

The state orders everything else: who sets it releases what was written before, who reads it acquires that. Several
senders may look at the arguments of one slot, to see whether they are their own; these are atomic, too.
"""

import os

from llvmlite import ir
from numba import types
from numba.core import cgutils, compiler
from numba.extending import intrinsic

from . import float_mode

FREE, RESERVED, POSTED, TAKEN, DONE = range(5)
STATE, FUNCTION, ARGUMENTS, STATUS, MODE = range(5)
SIZE = 16  # int64 of a slot that shares no cache line, nor the next one, which processors fetch together with it

WORD, SHORT, POINTER = ir.IntType(64), ir.IntType(32), ir.IntType(8).as_pointer()
ENTRY = ir.FunctionType(SHORT, [POINTER])
SPINS = 1 << 10  # after which a waiting thread yields its core to others


def _field(builder, address, field):
    return builder.inttoptr(builder.add(address, WORD(8 * field)), WORD.as_pointer())


def _load(builder, pointer, ordering="acquire"):
    return builder.load_atomic(pointer, ordering, 8)


def _store(builder, value, pointer, ordering="release"):
    builder.store_atomic(value, pointer, ordering, 8)


def _change(builder, pointer, old, new):
    """Set the state from old to new, all at once; whether it was old."""
    return builder.extract_value(builder.cmpxchg(pointer, WORD(old), WORD(new), "acq_rel", "acquire"), 1)


def _is(builder, value, expected):
    return builder.icmp_signed("==", value, WORD(expected))


def _rest(builder, spins):
    """Between two spins: a pause of the processor, and after many spins another thread's turn on this core."""
    with builder.if_else(builder.icmp_signed("<", builder.load(spins), WORD(SPINS))) as (few, many):
        with few:
            if float_mode.machine() == "x86":
                pause = cgutils.get_or_insert_function(
                    builder.module, ir.FunctionType(ir.VoidType(), []), "llvm.x86.sse2.pause"
                )
                builder.call(pause, [])
            elif float_mode.machine() == "arm":
                hint = ir.FunctionType(ir.VoidType(), [SHORT])
                builder.call(cgutils.get_or_insert_function(builder.module, hint, "llvm.aarch64.hint"), [SHORT(1)])
        with many:
            if hasattr(os, "sched_yield"):
                take_turns = ir.FunctionType(SHORT, [])
                builder.call(cgutils.get_or_insert_function(builder.module, take_turns, "sched_yield"), [])
    builder.store(builder.add(builder.load(spins), WORD(1)), spins)


@intrinsic
def worker_loop(context, slot, spin_limit):
    """Run what is posted to a slot, until nothing has come for so many spins.

    While the sender is still busy with the rest of the last work, more may be on its way: that time does not count.
    """

    def codegen(context, builder, signature, arguments):
        slot, spin_limit = arguments
        state = _field(builder, slot, STATE)
        left, spins = cgutils.alloca_once_value(builder, spin_limit), cgutils.alloca_once_value(builder, WORD(0))
        look, posted, idle, done = (builder.append_basic_block() for _ in range(4))
        builder.branch(look)
        builder.position_at_end(look)
        seen = _load(builder, state)
        builder.cbranch(_is(builder, seen, POSTED), posted, idle)
        builder.position_at_end(posted)
        with builder.if_then(_change(builder, state, POSTED, TAKEN)):
            function = builder.inttoptr(builder.load(_field(builder, slot, FUNCTION)), ENTRY.as_pointer())
            given = builder.inttoptr(_load(builder, _field(builder, slot, ARGUMENTS), "monotonic"), POINTER)
            float_mode.emit_write(builder, builder.load(_field(builder, slot, MODE)))
            status = builder.sext(builder.call(function, [given]), WORD)
            builder.store(status, _field(builder, slot, STATUS))
            _store(builder, WORD(DONE), state)
            builder.store(spin_limit, left)
            builder.store(WORD(0), spins)
        builder.branch(look)
        builder.position_at_end(idle)
        _rest(builder, spins)
        waiting = builder.zext(_is(builder, seen, FREE), WORD)
        builder.store(builder.sub(builder.load(left), waiting), left)
        builder.cbranch(builder.icmp_signed(">", builder.load(left), WORD(0)), look, done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def parallel_for(context, kernel, slots, workers, count, parts, arguments):
    """Run kernel(start, stop, *arguments) over `parts` parts of range(count), with whoever reads `workers` slots.

    `slots` is the address of their addresses. Each thread takes the next part until none is left. Returns 0, or
    the status of a part that failed; then others may not have run. Helpers only borrow the arguments.
    """
    signature = types.int64(kernel, types.int64, types.int64, types.int64, types.int64, arguments)

    def codegen(context, builder, signature, values):
        _, slots, workers, count, parts, given = values
        fields = [WORD, WORD, WORD, given.type]
        box = cgutils.alloca_once(builder, ir.LiteralStructType(fields))  # next part, count, parts, arguments
        for place, value in enumerate((WORD(0), count, parts, given)):
            builder.store(value, builder.gep(box, [SHORT(0), SHORT(place)]))
        entry = _entry(context, builder, kernel.dispatcher, arguments, box.type)
        address, function = builder.ptrtoint(box, WORD), builder.ptrtoint(entry, WORD)
        slots = builder.inttoptr(slots, WORD.as_pointer())
        mode = float_mode.emit_read(builder)

        with cgutils.for_range(builder, workers) as loop:
            slot = builder.load(builder.gep(slots, [loop.index]))
            state = _field(builder, slot, STATE)
            with builder.if_then(_change(builder, state, FREE, RESERVED)):
                builder.store(function, _field(builder, slot, FUNCTION))
                builder.store(mode, _field(builder, slot, MODE))
                _store(builder, address, _field(builder, slot, ARGUMENTS), "monotonic")
                _store(builder, WORD(POSTED), state)
        own = builder.sext(builder.call(entry, [builder.bitcast(box, POINTER)]), WORD)
        result = cgutils.alloca_once_value(builder, own)

        with cgutils.for_range(builder, workers) as loop:
            slot = builder.load(builder.gep(slots, [loop.index]))
            state, arguments_field = (_field(builder, slot, field) for field in (STATE, ARGUMENTS))
            ours = builder.icmp_signed("==", _load(builder, arguments_field, "monotonic"), address)
            with builder.if_then(ours):
                with builder.if_then(builder.not_(_change(builder, state, POSTED, RESERVED))):  # it was taken
                    _wait_until_done(builder, state)
                    status = builder.load(_field(builder, slot, STATUS))
                    failed = builder.icmp_signed("!=", status, WORD(0))
                    builder.store(builder.select(failed, status, builder.load(result)), result)
                _store(builder, WORD(0), arguments_field, "monotonic")
                _store(builder, WORD(FREE), state)
        return builder.load(result)

    return signature, codegen


def _wait_until_done(builder, state):
    spins = cgutils.alloca_once_value(builder, WORD(0))
    look, wait, done = (builder.append_basic_block() for _ in range(3))
    builder.branch(look)
    builder.position_at_end(look)
    builder.cbranch(_is(builder, _load(builder, state), DONE), done, wait)
    builder.position_at_end(wait)
    _rest(builder, spins)
    builder.branch(look)
    builder.position_at_end(done)


def _entry(context, builder, kernel, arguments, box_type):
    """A function of the module: takes parts of the box that it is given, until none is left; returns a status."""
    signature = types.none(types.int64, types.int64, *arguments)
    described = _compile(context, kernel, signature)
    module = builder.module
    entry = ir.Function(module, ENTRY, module.get_unique_name("parts"))
    entry.linkage = "internal"
    builder = ir.IRBuilder(entry.append_basic_block())
    box = builder.bitcast(entry.args[0], box_type)
    place = [builder.gep(box, [SHORT(0), SHORT(number)]) for number in range(4)]
    count, parts, given = (builder.load(pointer) for pointer in place[1:])
    loop, body, done, failed = (builder.append_basic_block() for _ in range(4))
    builder.branch(loop)
    builder.position_at_end(loop)
    part = builder.atomic_rmw("add", place[0], WORD(1), "monotonic")
    builder.cbranch(builder.icmp_signed("<", part, parts), body, done)
    builder.position_at_end(body)
    start, stop = (builder.sdiv(builder.mul(number, count), parts) for number in (part, builder.add(part, WORD(1))))
    given = _borrowed(context, builder, arguments, given)
    values = [start, stop, *cgutils.unpack_tuple(builder, given, len(arguments))]
    status, _ = context.call_internal_no_propagate(builder, described, signature, values)
    builder.cbranch(status.is_error, failed, loop)
    builder.position_at_end(done)
    builder.ret(SHORT(0))
    builder.position_at_end(failed)
    builder.ret(status.code)
    return entry


def _borrowed(context, builder, kind, value):
    """The value without the counters of its arrays, which all threads would write to, one after the other."""
    if isinstance(kind, types.Array):
        array = context.make_array(kind)(context, builder, value)
        array.meminfo = cgutils.get_null_value(array.meminfo.type)
        return array._getvalue()
    if isinstance(kind, types.BaseTuple):
        members = cgutils.unpack_tuple(builder, value, len(kind))
        return context.make_tuple(
            builder, kind, [_borrowed(context, builder, *member) for member in zip(kind, members, strict=True)]
        )
    return value


def _compile(context, kernel, signature):
    """Compile a kernel into the library of the function that calls it: LLVM optimises both once, together."""
    flags = compiler.Flags()
    kernel.targetdescr.options.parse_as_flags(flags, kernel.targetoptions)
    flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    library = context.active_code_library
    return compiler.compile_internal(
        context.typing_context, context, library, kernel.py_func, signature.args, signature.return_type, flags, {}
    ).fndesc

"""Slots in memory through which a kernel hands work to waiting threads, without returning to Python.

A slot is five int64: its state, the address of a machine-code function, the address of its arguments, the status that
the function returned, and the floating-point mode of the sender, in which it runs. A sender reserves a free slot, fills
it and posts it. The worker takes posted work, runs it and sets the state to done; only the sender frees the slot. Work
that no worker has taken when the sender has finished all parts is taken back by the sender. Arguments are on the
sender's stack, and nobody reads them after `parallel_for` returns.

The state is written with release and read with acquire ordering, which orders all other fields. Several senders may
read the address of the arguments of one slot, to see whether the work is their own; it is atomic too.
"""

import os

from llvmlite import ir
from numba import types
from numba.core import cgutils, compiler
from numba.extending import intrinsic

from . import float_mode

FREE, RESERVED, POSTED, TAKEN, DONE = range(5)
STATE, FUNCTION, ARGUMENTS, STATUS, MODE = range(5)
SIZE = 16  # int64 from slot to slot: two cache lines, since processors fetch them in pairs

WORD, SHORT, POINTER = ir.IntType(64), ir.IntType(32), ir.IntType(8).as_pointer()
ENTRY = ir.FunctionType(SHORT, [POINTER])
SPINS = 1 << 10  # after so many, a waiting thread yields its core


def _field(builder, address, field):
    return builder.inttoptr(builder.add(address, WORD(8 * field)), WORD.as_pointer())


def _load(builder, pointer, ordering="acquire"):
    return builder.load_atomic(pointer, ordering, 8)


def _store(builder, value, pointer, ordering="release"):
    builder.store_atomic(value, pointer, ordering, 8)


def _change(builder, pointer, old, new):
    """Compare and swap the state from old to new; return whether it was old."""
    return builder.extract_value(builder.cmpxchg(pointer, WORD(old), WORD(new), "acq_rel", "acquire"), 1)


def _is(builder, value, expected):
    return builder.icmp_signed("==", value, WORD(expected))


def _pause(builder, spins):
    """Wait between two spins: a pause instruction, or after many spins a yield of the core."""
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
                kind = ir.FunctionType(SHORT, [])
                builder.call(cgutils.get_or_insert_function(builder.module, kind, "sched_yield"), [])
    builder.store(builder.add(builder.load(spins), WORD(1)), spins)


@intrinsic
def worker_loop(context, slot, spin_limit):
    """Run the work that is posted to a slot, until none has come for `spin_limit` spins.

    Spins do not count while the sender is still busy with the last work, because more may follow soon.
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
        _pause(builder, spins)
        waiting = builder.zext(_is(builder, seen, FREE), WORD)
        builder.store(builder.sub(builder.load(left), waiting), left)
        builder.cbranch(builder.icmp_signed(">", builder.load(left), WORD(0)), look, done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def parallel_for(context, kernel, slots, workers, count, parts, arguments):
    """Run kernel(start, stop, *arguments) over `parts` parts of range(count), on this thread and on `workers` slots.

    `slots` is the address of the table of slot addresses. Each thread takes the next part until none is left. Returns
    0, or the status of a part that failed; then other parts may not have run. Workers do not count references to the
    arguments.
    """
    signature = types.int64(kernel, types.int64, types.int64, types.int64, types.int64, arguments)

    def codegen(context, builder, signature, values):
        _, slots, workers, count, parts, given = values
        fields = [WORD, WORD, WORD, given.type]
        box = cgutils.alloca_once(builder, ir.LiteralStructType(fields))  # next part, count, parts, arguments
        for number, value in enumerate((WORD(0), count, parts, given)):
            builder.store(value, builder.gep(box, [SHORT(0), SHORT(number)]))
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
    _pause(builder, spins)
    builder.branch(look)
    builder.position_at_end(done)


def _entry(context, builder, kernel, arguments, box_type):
    """Emit the function of a slot: it runs parts of the work in its box until none is left, and returns a status."""
    signature = types.none(types.int64, types.int64, *arguments)
    described = _compile(context, kernel, signature)
    module = builder.module
    entry = ir.Function(module, ENTRY, module.get_unique_name("parts"))
    entry.linkage = "internal"
    builder = ir.IRBuilder(entry.append_basic_block())
    box = builder.bitcast(entry.args[0], box_type)
    fields = [builder.gep(box, [SHORT(0), SHORT(number)]) for number in range(4)]
    count, parts, given = (builder.load(pointer) for pointer in fields[1:])
    loop, body, done, failed = (builder.append_basic_block() for _ in range(4))
    builder.branch(loop)
    builder.position_at_end(loop)
    part = builder.atomic_rmw("add", fields[0], WORD(1), "monotonic")
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
    """Return the value without the reference counters of its arrays, for which all threads would contend."""
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
    """Compile a kernel into the library of its caller, so that LLVM optimises both together, once."""
    flags = compiler.Flags()
    kernel.targetdescr.options.parse_as_flags(flags, kernel.targetoptions)
    flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    library = context.active_code_library
    return compiler.compile_internal(
        context.typing_context, context, library, kernel.py_func, signature.args, signature.return_type, flags, {}
    ).fndesc

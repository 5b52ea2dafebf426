"""How a kernel reaches other threads without coming back to Python: mailboxes in memory, read by waiting threads.

A mailbox is five int64: its state, the address of a machine-code function, that of its arguments, the status that the
function returned, and whether the thread that reads it has gone to sleep. The sender reserves a free mailbox, fills it
and posts it; the reader takes what is posted, runs it and says when it is done. What the reader has not taken by the
time that the sender is done with all the work, the sender takes back.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

FREE, RESERVED, POSTED, TAKEN, DONE = range(5)
STATE, FUNCTION, ARGUMENTS, STATUS, ASLEEP = range(5)
SIZE = 16  # int64 of a mailbox with a cache line to itself

WORD, POINTER = ir.IntType(64), ir.IntType(8).as_pointer()
ENTRY = ir.FunctionType(ir.IntType(32), [POINTER])


def _field(builder, address, field):
    return builder.inttoptr(builder.add(address, WORD(8 * field)), WORD.as_pointer())


def _load(builder, pointer):
    return builder.load_atomic(pointer, "acquire", 8)


def _store(builder, value, pointer):
    builder.store_atomic(value, pointer, "release", 8)


def _change(builder, pointer, old, new):
    """Set the state from old to new, all at once; whether it was old."""
    return builder.extract_value(builder.cmpxchg(pointer, WORD(old), WORD(new), "acq_rel", "acquire"), 1)


def _wait_until(builder, condition):
    loop, after = builder.append_basic_block(), builder.append_basic_block()
    builder.branch(loop)
    builder.position_at_end(loop)
    builder.cbranch(condition(), after, loop)
    builder.position_at_end(after)


@intrinsic
def serve(context, mailbox, patience):
    """Run what is posted to a mailbox, until nothing has come for so many glances.

    While the sender is still busy with the rest of the last work, more may be on its way: that time does not count.
    """

    def codegen(context, builder, signature, arguments):
        mailbox, patience = arguments
        state = _field(builder, mailbox, STATE)
        left = cgutils.alloca_once_value(builder, patience)
        look, posted, idle, done = (builder.append_basic_block() for _ in range(4))
        builder.branch(look)
        builder.position_at_end(look)
        seen = _load(builder, state)
        builder.cbranch(builder.icmp_signed("==", seen, WORD(POSTED)), posted, idle)
        builder.position_at_end(posted)
        with builder.if_then(_change(builder, state, POSTED, TAKEN)):
            function = builder.inttoptr(builder.load(_field(builder, mailbox, FUNCTION)), ENTRY.as_pointer())
            given = builder.inttoptr(builder.load(_field(builder, mailbox, ARGUMENTS)), POINTER)
            status = builder.sext(builder.call(function, [given]), WORD)
            builder.store(status, _field(builder, mailbox, STATUS))
            _store(builder, WORD(DONE), state)
            builder.store(patience, left)
        builder.branch(look)
        builder.position_at_end(idle)
        waiting = builder.zext(builder.icmp_signed("==", seen, WORD(FREE)), WORD)
        builder.store(builder.sub(builder.load(left), waiting), left)
        builder.cbranch(builder.icmp_signed(">", builder.load(left), WORD(0)), look, done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def share(context, kernel, mailboxes, helpers, count, parts, arguments):
    """Run kernel(start, stop, *arguments) over `parts` parts of range(count), with whoever reads `helpers` mailboxes.

    `mailboxes` is the address of their addresses. Each thread takes the next part until none is left. Returns 0, or
    the status of a part that failed; then others may not have run.
    """
    inner = kernel.get_call_type(context, (types.int64, types.int64, *arguments.types), {})
    signature = types.int64(kernel, types.int64, types.int64, types.int64, types.int64, arguments)

    def codegen(context, builder, signature, values):
        _, mailboxes, helpers, count, parts, given = values
        fields = [WORD, WORD, WORD, given.type]
        box = cgutils.alloca_once(builder, ir.LiteralStructType(fields))  # next part, count, parts, arguments
        for place, value in enumerate((WORD(0), count, parts, given)):
            builder.store(value, builder.gep(box, [ir.IntType(32)(0), ir.IntType(32)(place)]))
        entry = _entry(context, builder, kernel.dispatcher, inner, arguments, box.type)
        address, function = builder.ptrtoint(box, WORD), builder.ptrtoint(entry, WORD)
        mailboxes = builder.inttoptr(mailboxes, WORD.as_pointer())

        with cgutils.for_range(builder, helpers) as loop:
            mailbox = builder.load(builder.gep(mailboxes, [loop.index]))
            state = _field(builder, mailbox, STATE)
            with builder.if_then(_change(builder, state, FREE, RESERVED)):
                builder.store(function, _field(builder, mailbox, FUNCTION))
                builder.store(address, _field(builder, mailbox, ARGUMENTS))
                _store(builder, WORD(POSTED), state)
        own = builder.sext(builder.call(entry, [builder.bitcast(box, POINTER)]), WORD)
        result = cgutils.alloca_once_value(builder, own)

        with cgutils.for_range(builder, helpers) as loop:
            mailbox = builder.load(builder.gep(mailboxes, [loop.index]))
            state = _field(builder, mailbox, STATE)
            ours = builder.icmp_signed("==", builder.load(_field(builder, mailbox, ARGUMENTS)), address)
            with builder.if_then(ours):
                with builder.if_else(_change(builder, state, POSTED, RESERVED)) as (not_taken, taken):
                    with not_taken:
                        pass
                    with taken:
                        _wait_until(builder, lambda: builder.icmp_signed("==", _load(builder, state), WORD(DONE)))
                        status = builder.load(_field(builder, mailbox, STATUS))
                        failed = builder.icmp_signed("!=", status, WORD(0))
                        builder.store(builder.select(failed, status, builder.load(result)), result)
                builder.store(WORD(0), _field(builder, mailbox, ARGUMENTS))
                _store(builder, WORD(FREE), state)
        return builder.load(result)

    return signature, codegen


def _entry(context, builder, dispatcher, signature, arguments, box_type):
    """A function of the module: takes parts of the box that it is given, until none is left; returns a status."""
    module = builder.module
    entry = ir.Function(module, ENTRY, module.get_unique_name("parts"))
    entry.linkage = "internal"
    builder = ir.IRBuilder(entry.append_basic_block())
    box = builder.bitcast(entry.args[0], box_type)
    place = [builder.gep(box, [ir.IntType(32)(0), ir.IntType(32)(number)]) for number in range(4)]
    count, parts, given = (builder.load(pointer) for pointer in place[1:])
    compiled = dispatcher.overloads[signature.args]
    context.active_code_library.add_linking_library(compiled.library)
    loop, body, done, failed = (builder.append_basic_block() for _ in range(4))
    builder.branch(loop)
    builder.position_at_end(loop)
    part = builder.atomic_rmw("add", place[0], WORD(1), "monotonic")
    builder.cbranch(builder.icmp_signed("<", part, parts), body, done)
    builder.position_at_end(body)
    start, stop = (builder.sdiv(builder.mul(number, count), parts) for number in (part, builder.add(part, WORD(1))))
    values = [start, stop, *cgutils.unpack_tuple(builder, given, len(arguments.types))]
    status, _ = context.call_internal_no_propagate(builder, compiled.fndesc, signature, values)
    builder.cbranch(status.is_error, failed, loop)
    builder.position_at_end(done)
    builder.ret(ir.IntType(32)(0))
    builder.position_at_end(failed)
    builder.ret(status.code)
    return entry

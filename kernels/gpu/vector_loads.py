"""Transfers of several numbers at once, and of ones that a thread does not wait for.

    load4, store4    four neighbours to or from registers; float32 or float64, at an address that 16 bytes divide
    copy, copy4      one float32, or four neighbours, from the GPU's memory to a block's, past the registers; under way
                     until the thread waits
    commit           what was copied since the last one is a group
    wait_but_one     until all groups are there but for the newest

Source: NVIDIA, PTX ISA, "ld", "st", "cp.async".
"""

import threading
from typing import Any

import numpy as np

from .availability import SIMULATED

if not SIMULATED:
    from llvmlite import ir
    from numba import types
    from numba.cuda.extending import intrinsic

    def pointer(context, builder, kind, memory, place):
        """To an element of a kernel's argument, or of shared memory."""
        if isinstance(kind, types.CPointer):
            return builder.gep(memory, [place])
        return builder.gep(context.make_array(kind)(context, builder, value=memory).data, [place])

    @intrinsic
    def load4(context, memory, place):
        """memory[place], memory[place + 1], memory[place + 2], memory[place + 3]"""

        def codegen(context, builder, signature, arguments):
            first = pointer(context, builder, signature.args[0], *arguments)
            four = ir.VectorType(first.type.pointee, 4)
            loaded = builder.load(builder.bitcast(first, four.as_pointer()), align=16)
            members = [builder.extract_element(loaded, ir.Constant(ir.IntType(32), i)) for i in range(4)]
            return context.make_tuple(builder, signature.return_type, members)

        return types.UniTuple(memory.dtype, 4)(memory, place), codegen

    @intrinsic
    def store4(context, memory, place, values):
        """memory[place], ..., memory[place + 3] = values"""

        def codegen(context, builder, signature, arguments):
            first = pointer(context, builder, signature.args[0], *arguments[:2])
            four = ir.VectorType(first.type.pointee, 4)
            stored = ir.Constant(four, ir.Undefined)
            for i in range(4):
                member = builder.extract_value(arguments[2], i)
                stored = builder.insert_element(stored, member, ir.Constant(ir.IntType(32), i))
            builder.store(stored, builder.bitcast(first, four.as_pointer()), align=16)
            return context.get_dummy_value()

        return types.void(memory, place, values), codegen

    def _copy_of(numbers: int) -> Any:
        """The copy of one number or of four, of which the first `count` are read; the others are 0."""

        def copied(context, strip, place, memory, start, count):
            def codegen(context, builder, signature, arguments):
                kinds, word, long = signature.args, ir.IntType(32), ir.IntType(64)
                there = pointer(context, builder, kinds[0], *arguments[:2])
                shared = builder.addrspacecast(there, ir.PointerType(there.type.pointee, addrspace=3))
                here = builder.ptrtoint(pointer(context, builder, kinds[2], *arguments[2:4]), long)
                read = builder.mul(context.cast(builder, arguments[4], kinds[4], types.int32), ir.Constant(word, 4))
                way = "cg" if numbers == 4 else "ca"  # past the first cache, which keeps nothing that is copied once
                text = f"cp.async.{way}.shared.global [$0], [$1], {4 * numbers}, $2;"
                kind = ir.FunctionType(ir.VoidType(), [word, long, word])
                code = ir.InlineAsm(kind, text, "r,l,r,~{memory}", side_effect=True)
                builder.call(code, [builder.ptrtoint(shared, word), here, read])
                return context.get_dummy_value()

            return types.void(strip, place, memory, start, count), codegen

        return intrinsic(copied)

    copy, copy4 = _copy_of(1), _copy_of(4)

    @intrinsic
    def commit(context):
        """End a group of copies."""

        def codegen(context, builder, signature, arguments):
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(ir.InlineAsm(kind, "cp.async.commit_group;", "~{memory}", side_effect=True), [])
            return context.get_dummy_value()

        return types.void(), codegen

    @intrinsic
    def wait_but_one(context):
        """Wait until all groups of this thread's copies are there, but for the newest."""

        def codegen(context, builder, signature, arguments):
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(ir.InlineAsm(kind, "cp.async.wait_group 1;", "~{memory}", side_effect=True), [])
            return context.get_dummy_value()

        return types.void(), codegen

else:

    def copy(strip, place, memory, start, count, numbers=1):
        """The copy of one number, or none of it: then 0. It is done when the thread waits for it."""

        def copied():
            strip[place : place + numbers] = 0
            strip[place : place + count] = memory[start : start + count]

        if place % numbers or (count and start % numbers) or not 0 <= count <= numbers:
            raise ValueError(f"copy: from {start} to {place}, {count} of {numbers} numbers, is not aligned")
        _groups()[-1].append(copied)

    def copy4(strip, place, memory, start, count):
        """The copy of the first `count` of four numbers; the others are 0."""
        copy(strip, place, memory, start, count, 4)

    def commit():  # type: ignore[misc]
        """End a group of copies."""
        _groups().append([])

    def wait_but_one():  # type: ignore[misc]
        """Wait until all groups of this thread's copies are there, but for the newest."""
        groups = _groups()
        while len(groups) > 2:  # the last one is not complete
            for copied in groups.pop(0):
                copied()

    def _groups() -> list[list]:
        """The groups of copies that the thread of the GPU has under way."""
        thread: Any = threading.current_thread()
        if thread.__dict__.get("copying") != thread.number:
            thread.copying, thread.copies = thread.number, [[]]
        return thread.copies

    def load4(memory, place):  # type: ignore[misc]
        """memory[place], memory[place + 1], memory[place + 2], memory[place + 3]"""
        return tuple(memory[_aligned(memory, place) + i] for i in range(4))

    def store4(memory, place, values):  # type: ignore[misc]
        """memory[place], ..., memory[place + 3] = values"""
        memory[_aligned(memory, place) : place + 4] = values

    def _aligned(memory: np.ndarray, place: int) -> int:
        """The place; on a GPU the kernel fails where 16 bytes do not divide it."""
        if place % (16 // memory.itemsize) or not 0 <= place <= memory.size - 4:
            raise ValueError(f"load4, store4: place {place} of {memory.size} cannot be reached with 128 bits")
        return place

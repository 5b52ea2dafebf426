"""Vector loads and stores, and asynchronous copies to shared memory.

    load4, store4    load or store four adjacent float32 or float64, aligned to 16 bytes
    copy, copy4      start copying one float32, or four adjacent ones, from global to shared memory
    commit           make a group of the copies since the last commit
    wait_but_one     wait for all groups except the newest

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

    def pointer(context, builder, kind, memory, index):
        """Return a pointer to an element of a kernel's argument or of shared memory."""
        if isinstance(kind, types.CPointer):
            return builder.gep(memory, [index])
        return builder.gep(context.make_array(kind)(context, builder, value=memory).data, [index])

    @intrinsic
    def load4(context, memory, index):
        """memory[index], memory[index + 1], memory[index + 2], memory[index + 3]"""

        def codegen(context, builder, signature, arguments):
            first = pointer(context, builder, signature.args[0], *arguments)
            four = ir.VectorType(first.type.pointee, 4)
            loaded = builder.load(builder.bitcast(first, four.as_pointer()), align=16)
            members = [builder.extract_element(loaded, ir.Constant(ir.IntType(32), i)) for i in range(4)]
            return context.make_tuple(builder, signature.return_type, members)

        return types.UniTuple(memory.dtype, 4)(memory, index), codegen

    @intrinsic
    def store4(context, memory, index, values):
        """memory[index], ..., memory[index + 3] = values"""

        def codegen(context, builder, signature, arguments):
            first = pointer(context, builder, signature.args[0], *arguments[:2])
            four = ir.VectorType(first.type.pointee, 4)
            stored = ir.Constant(four, ir.Undefined)
            for i in range(4):
                member = builder.extract_value(arguments[2], i)
                stored = builder.insert_element(stored, member, ir.Constant(ir.IntType(32), i))
            builder.store(stored, builder.bitcast(first, four.as_pointer()), align=16)
            return context.get_dummy_value()

        return types.void(memory, index, values), codegen

    def _copy_of(numbers: int) -> Any:
        """Return the copy of one number or four, of which the first `count` are read and the others set to 0."""

        def copied(context, strip, index, memory, start, count):
            def codegen(context, builder, signature, arguments):
                kinds, word, long = signature.args, ir.IntType(32), ir.IntType(64)
                there = pointer(context, builder, kinds[0], *arguments[:2])
                shared = builder.addrspacecast(there, ir.PointerType(there.type.pointee, addrspace=3))
                here = builder.ptrtoint(pointer(context, builder, kinds[2], *arguments[2:4]), long)
                read = builder.mul(context.cast(builder, arguments[4], kinds[4], types.int32), ir.Constant(word, 4))
                way = "cg" if numbers == 4 else "ca"  # cg bypasses the first-level cache
                text = f"cp.async.{way}.shared.global [$0], [$1], {4 * numbers}, $2;"
                kind = ir.FunctionType(ir.VoidType(), [word, long, word])
                code = ir.InlineAsm(kind, text, "r,l,r,~{memory}", side_effect=True)
                builder.call(code, [builder.ptrtoint(shared, word), here, read])
                return context.get_dummy_value()

            return types.void(strip, index, memory, start, count), codegen

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
        """Wait for all groups of this thread's copies except the newest."""

        def codegen(context, builder, signature, arguments):
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(ir.InlineAsm(kind, "cp.async.wait_group 1;", "~{memory}", side_effect=True), [])
            return context.get_dummy_value()

        return types.void(), codegen

else:

    def copy(strip, index, memory, start, count, numbers=1):
        """Copy one number, or set it to 0 if `count` is 0; done when the thread waits for it."""

        def copied():
            strip[index : index + numbers] = 0
            strip[index : index + count] = memory[start : start + count]

        if index % numbers or (count and start % numbers) or not 0 <= count <= numbers:
            raise ValueError(f"copy: from {start} to {index}, {count} of {numbers} numbers, is not aligned")
        _groups()[-1].append(copied)

    def copy4(strip, index, memory, start, count):
        """Copy the first `count` of four numbers and set the others to 0."""
        copy(strip, index, memory, start, count, 4)

    def commit():  # type: ignore[misc]
        """End a group of copies."""
        _groups().append([])

    def wait_but_one():  # type: ignore[misc]
        """Wait for all groups of this thread's copies except the newest."""
        groups = _groups()
        while len(groups) > 2:  # the last one is not committed
            for copied in groups.pop(0):
                copied()

    def _groups() -> list[list]:
        """Return the groups of copies in flight of the simulated thread."""
        thread: Any = threading.current_thread()
        if thread.__dict__.get("copying") != thread.number:
            thread.copying, thread.copies = thread.number, [[]]
        return thread.copies

    def load4(memory, index):  # type: ignore[misc]
        """memory[index], memory[index + 1], memory[index + 2], memory[index + 3]"""
        return tuple(memory[_aligned(memory, index) + i] for i in range(4))

    def store4(memory, index, values):  # type: ignore[misc]
        """memory[index], ..., memory[index + 3] = values"""
        memory[_aligned(memory, index) : index + 4] = values

    def _aligned(memory: np.ndarray, index: int) -> int:
        """Return `index`; raise ValueError if it is not aligned to 16 bytes, where a GPU kernel would fail."""
        if index % (16 // memory.itemsize) or not 0 <= index <= memory.size - 4:
            raise ValueError(f"load4, store4: element {index} of {memory.size} is not aligned to 16 bytes")
        return index

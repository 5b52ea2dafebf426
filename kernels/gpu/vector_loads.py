"""Vector loads and stores, and asynchronous copies to shared memory.

    load4, store4    load or store four adjacent float32 or float64, aligned to 16 bytes
    store            store one number; indexing would first check whether the index counts from the end
    line_of          the address of an element, from which the next ones load: one addition fewer for each of them
    load_from, load4_from    load one number, or four adjacent ones, some terms behind a line's address
    copy, copy4      start copying one float32, or four adjacent ones, from there to shared memory
    commit           make a group of the copies since the last commit
    wait_for_all, wait_but_one    wait for all groups, or for all except the newest

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

    @intrinsic
    def store(context, memory, index, value):
        """memory[index] = value"""

        def codegen(context, builder, signature, arguments):
            builder.store(arguments[2], pointer(context, builder, signature.args[0], *arguments[:2]))
            return context.get_dummy_value()

        return types.void(memory, index, value), codegen

    def source(context, builder, kinds, memory, line, term):
        """Return the address of memory[line + term], whose type is that of `memory`, as an integer."""
        size = context.get_abi_sizeof(context.get_data_type(kinds[0].dtype))
        steps = context.cast(builder, term, kinds[2], types.int32)
        return builder.add(line, builder.mul(builder.sext(steps, line.type), ir.Constant(line.type, size)))

    @intrinsic
    def line_of(context, memory, offset):
        """Return the address of memory[offset]."""

        def codegen(context, builder, signature, arguments):
            first = pointer(context, builder, signature.args[0], *arguments)
            return builder.ptrtoint(first, ir.IntType(64))

        return types.int64(memory, offset), codegen

    def _load_of(numbers: int) -> Any:
        """Return the load of one number or four."""

        def loaded(context, memory, line, term):
            def codegen(context, builder, signature, arguments):
                number = context.get_data_type(memory.dtype)
                kind = ir.VectorType(number, numbers) if numbers > 1 else number
                address = source(context, builder, signature.args, *arguments)
                found = builder.load(builder.inttoptr(address, ir.PointerType(kind, addrspace=1)))
                found.align = min(16, numbers * context.get_abi_sizeof(number))
                if numbers == 1:
                    return found
                members = [builder.extract_element(found, ir.Constant(ir.IntType(32), i)) for i in range(numbers)]
                return context.make_tuple(builder, signature.return_type, members)

            return (types.UniTuple(memory.dtype, numbers) if numbers > 1 else memory.dtype)(memory, line, term), codegen

        return intrinsic(loaded)

    load_from, load4_from = _load_of(1), _load_of(4)

    def _copy_of(numbers: int) -> Any:
        """Return the copy of one number or four, of which the first `count` are read and the others set to 0."""

        def copied(context, strip, index, memory, line, term, count):
            def codegen(context, builder, signature, arguments):
                kinds, word, long = signature.args, ir.IntType(32), ir.IntType(64)
                there = pointer(context, builder, kinds[0], *arguments[:2])
                shared = builder.addrspacecast(there, ir.PointerType(there.type.pointee, addrspace=3))
                here = source(context, builder, kinds[2:5], *arguments[2:5])
                read = builder.mul(context.cast(builder, arguments[5], kinds[5], types.int32), ir.Constant(word, 4))
                way = "cg" if numbers == 4 else "ca"  # cg bypasses the first-level cache
                text = f"cp.async.{way}.shared.global [$0], [$1], {4 * numbers}, $2;"
                kind = ir.FunctionType(ir.VoidType(), [word, long, word])
                code = ir.InlineAsm(kind, text, "r,l,r,~{memory}", side_effect=True)
                builder.call(code, [builder.ptrtoint(shared, word), here, read])
                return context.get_dummy_value()

            return types.void(strip, index, memory, line, term, count), codegen

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

    def _wait_of(newest: int) -> Any:
        """Return the wait for all groups of this thread's copies except the newest ones."""

        def waited(context):
            def codegen(context, builder, signature, arguments):
                kind = ir.FunctionType(ir.VoidType(), [])
                code = ir.InlineAsm(kind, f"cp.async.wait_group {newest};", "~{memory}", side_effect=True)
                builder.call(code, [])
                return context.get_dummy_value()

            return types.void(), codegen

        return intrinsic(waited)

    wait_for_all, wait_but_one = _wait_of(0), _wait_of(1)

else:

    def store(memory, index, value):  # type: ignore[misc]
        """memory[index] = value"""
        if index < 0:
            raise ValueError(f"store: element {index} is not in the array")
        memory[index] = value

    def line_of(memory, offset):  # type: ignore[misc]
        """Return what addresses memory[offset]: in the simulator the offset."""
        return offset

    def load_from(memory, line, term):
        """memory[line + term]"""
        return memory[line + term]

    def load4_from(memory, line, term):
        """memory[line + term], ..., memory[line + term + 3]"""
        return load4(memory, line + term)

    def copy(strip, index, memory, line, term, count, numbers=1):
        """Copy memory[line + term], or write 0 if `count` is 0; done when the thread waits for it."""
        start = line + term

        def copied():
            strip[index : index + numbers] = 0
            strip[index : index + count] = memory[start : start + count]

        if index % numbers or (count and start % numbers) or not 0 <= count <= numbers:
            raise ValueError(f"copy: from {start} to {index}, {count} of {numbers} numbers, is not aligned")
        _groups()[-1].append(copied)

    def copy4(strip, index, memory, line, term, count):
        """Copy the first `count` of four numbers and set the others to 0."""
        copy(strip, index, memory, line, term, count, 4)

    def commit():  # type: ignore[misc]
        """End a group of copies."""
        _groups().append([])

    def wait_for_all():
        """Wait for all groups of this thread's copies."""
        _wait(0)

    def wait_but_one():
        """Wait for all groups of this thread's copies except the newest."""
        _wait(1)

    def _wait(newest: int) -> None:
        groups = _groups()
        while len(groups) > newest + 1:  # the last one is not committed
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

"""Warp-level instructions, 32 threads at once: PTX on a GPU, NumPy in the simulator.

`exchange` is a butterfly shuffle between registers. `multiply_add` is a matrix product on tensor cores,

    c[16, 8] += a[16, 8] @ b[8, 8]

in TF32: factors have a 10-bit mantissa, to which `to_tf32` rounds; products and sums are float32. Thread g*4 + t of the
warp holds

    a[g, t], a[g+8, t], a[g, t+4], a[g+8, t+4];  b[t, g], b[t+4, g];  c[g, 2t], c[g, 2t+1], c[g+8, 2t], c[g+8, 2t+1]

Source: NVIDIA, PTX ISA, "shfl.sync", "ldmatrix", "Matrix fragments for mma.m16n8k8".
"""

import numpy as np

from .availability import SIMULATED

WARP = 32
ROWS, COLUMNS, TERMS = 16, 8, 8  # shapes of one instruction
SUMS = 4  # elements of c in one thread


def in_step(function):
    """Decorate a function of shuffles: the simulator computes it once, for all threads of a warp."""
    if not SIMULATED:
        return function
    return lambda value: together(lambda given: list(function(np.array(given))), value)


if not SIMULATED:
    from llvmlite import ir
    from numba import types
    from numba.cuda.core import targetconfig
    from numba.cuda.extending import intrinsic

    from .vector_loads import pointer

    FLOAT, BITS, LONG = ir.FloatType(), ir.IntType(32), ir.IntType(64)

    @intrinsic
    def exchange(context, value, step):
        """Return the value of the thread whose lane is lane ^ step; 32 or 64 bits."""

        def codegen(context, builder, signature, arguments):
            given, bit = arguments[0], context.cast(builder, arguments[1], signature.args[1], types.int32)
            text = "shfl.sync.bfly.b32 $0, $1, $2, 31, 0xffffffff;"
            code = ir.InlineAsm(ir.FunctionType(BITS, [BITS, BITS]), text, "=r,r,r", side_effect=True)

            def half(bits):
                return builder.call(code, [bits, bit], attrs=("convergent", "nounwind"))

            if signature.args[0].bitwidth == 32:
                return builder.bitcast(half(builder.bitcast(given, BITS)), given.type)
            bits, width = builder.bitcast(given, LONG), ir.Constant(LONG, 32)
            low, high = half(builder.trunc(bits, BITS)), half(builder.trunc(builder.lshr(bits, width), BITS))
            both = builder.or_(builder.zext(low, LONG), builder.shl(builder.zext(high, LONG), width))
            return builder.bitcast(both, given.type)

        return value(value, step), codegen

    @intrinsic
    def to_tf32(context, value):
        """Return a float32 rounded to TF32: with one instruction, ties to even, from compute capability 9.0 on."""

        def codegen(context, builder, signature, arguments):
            way = "rn" if targetconfig.ConfigStack().top().compute_capability >= (9, 0) else "rna"
            kind = ir.FunctionType(BITS, [FLOAT])
            code = ir.InlineAsm(kind, f"cvt.{way}.tf32.f32 $0, $1;", "=r,f")
            return builder.bitcast(builder.call(code, arguments), FLOAT)

        return types.float32(types.float32), codegen

    @intrinsic
    def load_matrices(context, strip, index):
        """Load element (lane // 4, lane % 4) of each of four 8 x 4 float32 matrices in shared memory.

        `index` of thread 8*m + r is the position of row r of matrix m, aligned to 16 bytes.
        """

        def codegen(context, builder, signature, arguments):
            first = pointer(context, builder, signature.args[0], *arguments)
            shared = builder.ptrtoint(builder.addrspacecast(first, ir.PointerType(FLOAT, addrspace=3)), BITS)
            kind = ir.FunctionType(ir.LiteralStructType([BITS] * 4), [BITS])
            text = "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {$0,$1,$2,$3}, [$4];"
            code = ir.InlineAsm(kind, text, "=r,=r,=r,=r,r,~{memory}", side_effect=True)
            loaded = builder.call(code, [shared], attrs=("convergent", "nounwind"))
            members = [builder.bitcast(builder.extract_value(loaded, i), FLOAT) for i in range(4)]
            return context.make_tuple(builder, signature.return_type, members)

        return types.UniTuple(types.float32, 4)(strip, index), codegen

    @intrinsic
    def multiply_add(context, a0, a1, a2, a3, b0, b1, c0, c1, c2, c3):
        """Return the thread's four elements of c after the product."""

        def codegen(context, builder, signature, arguments):
            kind = ir.FunctionType(ir.LiteralStructType([FLOAT] * 4), [BITS] * 6 + [FLOAT] * 4)
            arguments = [*(builder.bitcast(factor, BITS) for factor in arguments[:6]), *arguments[6:]]
            text = (
                "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
                "{$0,$1,$2,$3}, {$4,$5,$6,$7}, {$8,$9}, {$10,$11,$12,$13};"
            )
            code = ir.InlineAsm(kind, text, "=f,=f,=f,=f,r,r,r,r,r,r,f,f,f,f", side_effect=True)
            sums = builder.call(code, arguments, attrs=("convergent", "nounwind"))
            members = [builder.extract_value(sums, i) for i in range(4)]
            return context.make_tuple(builder, signature.return_type, members)

        return types.UniTuple(types.float32, 4)(*[types.float32] * 10), codegen

else:
    from .simulator import together

    def to_tf32(value):  # type: ignore[misc]
        """Return a float32 rounded to TF32, with ties away from zero, as before compute capability 9.0."""
        bits = int(np.float32(value).view(np.uint32))
        is_finite = bits & 0x7F800000 != 0x7F800000
        return np.uint32((bits + 0x1000) & 0xFFFFE000 if is_finite else bits).view(np.float32)

    def exchange(value, step):  # type: ignore[misc]
        """Return the value of the thread whose lane is lane ^ step."""
        if isinstance(value, np.ndarray):  # the values of all lanes, see `in_step`
            return value[np.arange(WARP) ^ step]
        return together(lambda given: [given[lane ^ step] for lane in range(WARP)], value)

    def load_matrices(strip, index):  # type: ignore[misc]
        """Load this thread's element of each of four 8 x 4 float32 matrices in shared memory."""

        def rows_to_lanes(starts):
            rows = np.array([strip[start : start + 4] for start in starts]).reshape(4, 32)
            return list(map(tuple, rows.T))

        if index % 4:
            raise ValueError(f"load_matrices: element {index} is not aligned to 16 bytes")
        return together(rows_to_lanes, index)

    def multiply_add(*values):  # type: ignore[misc]
        """Return the thread's four elements of c after the product."""
        return together(_multiply_all, values)

    def _multiply_all(given):
        """Return the elements of c of each thread."""
        factors = np.array([values[:6] for values in given], np.float32)
        sums = np.array([values[6:] for values in given], np.float32)
        g, t = np.divmod(np.arange(WARP), 4)
        a, b, c = np.zeros((ROWS, TERMS)), np.zeros((TERMS, COLUMNS)), np.zeros((ROWS, COLUMNS))
        a[g, t], a[g + 8, t], a[g, t + 4], a[g + 8, t + 4] = factors.T[:4]
        b[t, g], b[t + 4, g] = factors.T[4:]
        positions = (g, 2 * t), (g, 2 * t + 1), (g + 8, 2 * t), (g + 8, 2 * t + 1)
        for position, values in zip(positions, sums.T, strict=True):
            c[position] = values
        product = (c + a @ b).astype(np.float32)
        return list(zip(*(product[position] for position in positions), strict=True))

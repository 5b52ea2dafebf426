"""What a warp, 32 threads in step, does together: through PTX on a GPU, by hand in the simulator.

Its threads hand one another numbers from register to register, `exchange`. On tensor cores they multiply,

    c[16, 8] += a[16, 8] @ b[8, 8]

in TF32: factors are rounded to 10 bits of mantissa, products and sums are float32. Thread g*4 + t of the warp holds

    a[g, t], a[g+8, t], a[g, t+4], a[g+8, t+4];  b[t, g], b[t+4, g];  c[g, 2t], c[g, 2t+1], c[g+8, 2t], c[g+8, 2t+1]

Source: NVIDIA, PTX ISA, "shfl.sync", "ldmatrix", "Matrix fragments for mma.m16n8k8".
"""

import numpy as np

from .availability import SIMULATED

WARP = 32
ROWS, COLUMNS, TERMS = 16, 8, 8  # of one instruction
SUMS = 4  # of one thread


def in_step(function):
    """A function of exchanges: in the simulator the threads of a warp meet once, and it is computed for all of them."""
    if not SIMULATED:
        return function
    return lambda value: together(lambda given: list(function(np.array(given))), value)


if not SIMULATED:
    from llvmlite import ir
    from numba import types
    from numba.cuda.extending import intrinsic

    from .vector_loads import pointer

    FLOAT, BITS, LONG = ir.FloatType(), ir.IntType(32), ir.IntType(64)

    @intrinsic
    def exchange(context, value, step):
        """The number that the thread whose lane differs in the bit `step` hands in; of 32 or 64 bits."""

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
        """The bits of a float32 rounded to TF32."""

        def codegen(context, builder, signature, arguments):
            kind = ir.FunctionType(BITS, [FLOAT])
            return builder.call(ir.InlineAsm(kind, "cvt.rna.tf32.f32 $0, $1;", "=r,f"), arguments)

        return types.uint32(types.float32), codegen

    @intrinsic
    def load_matrices(context, strip, place):
        """Of four matrices of 8 x 4 float32 in shared memory the thread's number of each, at lane//4, lane%4.

        Thread 8*m + r says where row r of matrix m begins, at an address that 16 bytes divide.
        """

        def codegen(context, builder, signature, arguments):
            first = pointer(context, builder, signature.args[0], *arguments)
            shared = builder.ptrtoint(builder.addrspacecast(first, ir.PointerType(FLOAT, addrspace=3)), BITS)
            kind = ir.FunctionType(ir.LiteralStructType([BITS] * 4), [BITS])
            text = "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {$0,$1,$2,$3}, [$4];"
            code = ir.InlineAsm(kind, text, "=r,=r,=r,=r,r,~{memory}", side_effect=True)
            loaded = builder.call(code, [shared], attrs=("convergent", "nounwind"))
            members = [builder.bitcast(builder.extract_value(loaded, place), FLOAT) for place in range(4)]
            return context.make_tuple(builder, signature.return_type, members)

        return types.UniTuple(types.float32, 4)(strip, place), codegen

    @intrinsic
    def multiply_add(context, a0, a1, a2, a3, b0, b1, c0, c1, c2, c3):
        """The thread's four numbers of c after the multiplication."""

        def codegen(context, builder, signature, arguments):
            kind = ir.FunctionType(ir.LiteralStructType([FLOAT] * 4), [BITS] * 6 + [FLOAT] * 4)
            text = (
                "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
                "{$0,$1,$2,$3}, {$4,$5,$6,$7}, {$8,$9}, {$10,$11,$12,$13};"
            )
            code = ir.InlineAsm(kind, text, "=f,=f,=f,=f,r,r,r,r,r,r,f,f,f,f", side_effect=True)
            sums = builder.call(code, arguments, attrs=("convergent", "nounwind"))
            members = [builder.extract_value(sums, place) for place in range(4)]
            return context.make_tuple(builder, signature.return_type, members)

        return types.UniTuple(types.float32, 4)(*[types.uint32] * 6, *[types.float32] * 4), codegen

else:
    from .simulator import together

    def to_tf32(value):  # type: ignore[misc]
        """The bits of a float32 rounded to TF32: half of the last place kept is added, and the rest cut off."""
        bits = int(np.float32(value).view(np.uint32))
        is_finite = bits & 0x7F800000 != 0x7F800000
        return np.uint32((bits + 0x1000) & 0xFFFFE000 if is_finite else bits)

    def exchange(value, step):  # type: ignore[misc]
        """The number that the thread whose lane differs in the bit `step` hands in."""
        if isinstance(value, np.ndarray):  # those of all lanes, see `in_step`
            return value[np.arange(WARP) ^ step]
        return together(lambda given: [given[lane ^ step] for lane in range(WARP)], value)

    def load_matrices(strip, place):  # type: ignore[misc]
        """Of four matrices of 8 x 4 float32 in shared memory the thread's number of each."""

        def rows_to_lanes(places):
            rows = np.array([strip[start : start + 4] for start in places]).reshape(4, 32)
            return list(map(tuple, rows.T))

        if place % 4:
            raise ValueError(f"load_matrices: 16 bytes do not divide the address of place {place}")
        return together(rows_to_lanes, place)

    def multiply_add(*mine):  # type: ignore[misc]
        """The thread's four numbers of c after the multiplication."""
        return together(_multiply_all, mine)

    def _multiply_all(given):
        """What each thread gets."""
        factors = np.array([values[:6] for values in given], np.uint32).view(np.float32)
        sums = np.array([values[6:] for values in given], np.float32)
        g, t = np.divmod(np.arange(WARP), 4)
        a, b, c = np.zeros((ROWS, TERMS)), np.zeros((TERMS, COLUMNS)), np.zeros((ROWS, COLUMNS))
        a[g, t], a[g + 8, t], a[g, t + 4], a[g + 8, t + 4] = factors.T[:4]
        b[t, g], b[t + 4, g] = factors.T[4:]
        places = (g, 2 * t), (g, 2 * t + 1), (g + 8, 2 * t), (g + 8, 2 * t + 1)
        for place, values in zip(places, sums.T, strict=True):
            c[place] = values
        product = (c + a @ b).astype(np.float32)
        return list(zip(*(product[place] for place in places), strict=True))

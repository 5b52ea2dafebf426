"""What a warp, 32 threads in step, does together on tensor cores: through PTX on a GPU, by hand in the simulator.

    c[16, 8] += a[16, 8] @ b[8, 8]

in TF32: factors are rounded to 10 bits of mantissa, products and sums are float32. Thread g*4 + t of the warp holds

    a[g, t], a[g+8, t], a[g, t+4], a[g+8, t+4];  b[t, g], b[t+4, g];  c[g, 2t], c[g, 2t+1], c[g+8, 2t], c[g+8, 2t+1]

Source: NVIDIA, PTX ISA, "Matrix fragments for mma.m16n8k8".
"""

import threading
from typing import Any

import numpy as np

from .driver import SIMULATED

WARP = 32
ROWS, COLUMNS, TERMS = 16, 8, 8  # of one instruction
SUMS = 4  # of one thread

if not SIMULATED:
    from llvmlite import ir
    from numba import types
    from numba.cuda.extending import intrinsic

    FLOAT, BITS = ir.FloatType(), ir.IntType(32)

    @intrinsic
    def to_tf32(context, value):
        """The bits of a float32 rounded to TF32."""

        def codegen(context, builder, signature, arguments):
            kind = ir.FunctionType(BITS, [FLOAT])
            return builder.call(ir.InlineAsm(kind, "cvt.rna.tf32.f32 $0, $1;", "=r,f"), arguments)

        return types.uint32(types.float32), codegen

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

    class _Meeting:
        """Where the threads of a warp hand in what they have, and one of them works for all."""

        def __init__(self) -> None:
            self.barrier = threading.Barrier(WARP)
            self.given: list[Any] = [None] * WARP
            self.results: list[Any] = []

    _lock = threading.Lock()

    def to_tf32(value):  # type: ignore[misc]
        """The bits of a float32 rounded to TF32: half of the last place kept is added, and the rest cut off."""
        bits = int(np.float32(value).view(np.uint32))
        is_finite = bits & 0x7F800000 != 0x7F800000
        return np.uint32((bits + 0x1000) & 0xFFFFE000 if is_finite else bits)

    def multiply_add(*mine):  # type: ignore[misc]
        """The thread's four numbers of c after the multiplication."""
        thread = threading.current_thread()
        number, lane = divmod(thread.thread_id, WARP)
        with _lock:
            meetings = thread._manager.__dict__.setdefault("meetings", {})
            meeting = meetings.setdefault(number, _Meeting())
        meeting.given[lane] = mine
        meeting.barrier.wait(timeout=60)
        if lane == 0:
            meeting.results = _multiply_all(meeting.given)
        meeting.barrier.wait(timeout=60)
        return meeting.results[lane]

    def _multiply_all(given):
        """What each thread gets; a thread hands in nothing new before all have read it, since all wait twice."""
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

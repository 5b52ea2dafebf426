"""`l2` on a GPU: block reductions in float64, with a number of blocks that depends only on the sizes of the arrays.

The sums of all blocks and arrays are written to one table, which is reduced in the same way. See `gpu.reduce`.
"""

from numba import cuda

from ..gpu.launch import kernel
from ..gpu.memory import on_device, writing
from ..gpu.reduce import total_of_squares


@writing("dw")
def weight_penalty(w, dw, reg):
    for weights, gradients in zip(w, dw, strict=True):
        _add_penalty(weights.size, weights.size, weights, weights.dtype.type(reg), gradients)
    return global_norm(w)


@on_device
def global_norm(dw):
    return total_of_squares(dw)


@kernel
def _add_penalty(count, w, reg, dw):
    """dw[i] += reg * w[i]"""
    i = cuda.grid(1)
    if i < count:
        dw[i] += reg * w[i]

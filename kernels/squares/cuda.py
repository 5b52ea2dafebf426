"""`squares` on a GPU, plainly: each thread sums a share of the squares in float64; one adds these sums, in order.

Their number is fixed, whatever the arrays and the GPU, and so is the total. They go on from array to array.
"""

from numba import cuda, float64

from ..gpu.launch import BLOCK, kernel
from ..gpu.memory import on_device, writing, xp

_SUMS = 16 * BLOCK  # a constant of the kernel, and a power of two: its loop divides by it to count its turns


@writing("dw")
def weight_penalty(w, dw, reg):
    for weights, gradients in zip(w, dw, strict=True):
        _add_penalty(weights.size, weights.size, weights, weights.dtype.type(reg), gradients)
    return gradient_norm(w)


@on_device
def gradient_norm(dw):
    sums, out = xp.zeros(_SUMS), xp.empty(())
    for gradients in dw:
        _add_squares(min(_SUMS, gradients.size), gradients.size, gradients, sums)
    _add_up(1, _SUMS, sums, out)
    return out


@kernel
def _add_penalty(count, w, reg, dw):
    """dw[i] += reg * w[i]"""
    i = cuda.grid(1)
    if i < count:
        dw[i] += reg * w[i]


@kernel
def _add_squares(count, values, sums):
    """sums[i] += values[i]**2 + values[i + _SUMS]**2 + values[i + 2*_SUMS]**2 + ..."""
    i = cuda.grid(1)
    if i < _SUMS:
        total = sums[i]
        for place in range(i, count, _SUMS):
            value = float64(values[place])
            total += value * value
        sums[i] = total


@kernel
def _add_up(count, values, out):
    """out[0] = values[0] + values[1] + values[2] + ..."""
    if cuda.grid(1) == 0:
        total = float64(0)
        for i in range(count):
            total += values[i]
        out[0] = total

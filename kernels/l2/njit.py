"""`l2` in one pass over memory on all cores, all arrays in one launch.

The sums of chunks of fixed size are added in order, so the total does not depend on the number of threads.
"""

import numpy as np

from ..cpu import threads
from ..cpu.simd import multi_tensor
from ..cpu.simd.multi_tensor import piece, row_of

U = np.uintp  # unsigned indices need no wrap-around of negative ones, so loops vectorise


@threads.parallel(multi_tensor.GRAIN)
def _penalty(start, stop, table, reg, sums):
    for chunk in range(start, stop):
        row = row_of(table, chunk)
        w, dw = piece(table, row, 0, chunk, reg), piece(table, row, 1, chunk, reg)
        total = 0.0
        for i in range(U(w.size)):
            weight = np.float64(w[i])
            total += weight * weight
            dw[i] += reg * w[i]
        sums[chunk] = total


def weight_penalty(w, dw, reg):
    total, rows = 0.0, list(zip(w, dw, strict=True))
    for some, table, count in multi_tensor.launches(rows):
        sums = np.empty(count)
        _penalty(count, table, rows[some][0][0].dtype.type(reg), sums)
        total += float(sums.sum())
    return total


@threads.parallel(multi_tensor.GRAIN)
def _squares(start, stop, table, zero, sums):
    for chunk in range(start, stop):
        values = piece(table, row_of(table, chunk), 0, chunk, zero)
        total = 0.0
        for i in range(U(values.size)):
            value = np.float64(values[i])
            total += value * value
        sums[chunk] = total


def global_norm(dw):
    total, rows = 0.0, [(array,) for array in dw]
    for some, table, count in multi_tensor.launches(rows):
        sums = np.empty(count)
        _squares(count, table, rows[some][0][0].dtype.type(0), sums)
        total += float(sums.sum())
    return total

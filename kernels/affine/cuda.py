"""`affine` on a GPU: three products of matrices, see `gpu.products`; and the sums of columns, each by a thread."""

import numpy as np
from numba import cuda

from ..gpu.launch import kernel
from ..gpu.memory import on_device, xp
from ..gpu.products import Matrix, multiply, steps


@on_device
def affine_forward(x, w, b):
    return forward(x, w, b)


@on_device
def affine_backward(dout, x, w, need_dx):
    (N, M), D = dout.shape, x.shape[1]
    dx, dw, db = xp.empty_like(x) if need_dx else None, xp.empty_like(w), xp.empty(M, x.dtype)
    if need_dx:  # dout @ w.T
        multiply(
            Matrix(dout, steps(N, M), steps(M)), Matrix(w, steps(D, M), steps(M)), Matrix(dx, steps(N, D), steps(D))
        )
    # x.T @ dout
    multiply(Matrix(x, steps(D), steps(N, D)), Matrix(dout, steps(M), steps(N, M)), Matrix(dw, steps(D, M), steps(M)))
    _column_sums(M, N, M, dout, x.dtype.type(0), db)
    return dx, dw, db


def forward(x, w, b, floor=-np.inf):
    """x @ w + b, not below `floor`."""
    (N, D), M = x.shape, w.shape[1]
    out = xp.empty((N, M), x.dtype)
    matrix = Matrix(out, steps(N, M), steps(M))
    multiply(Matrix(x, steps(N, D), steps(D)), Matrix(w, steps(M), steps(D, M)), matrix, b, (0, 1), floor)
    return out


@kernel
def _column_sums(N, M, dout, zero, db):
    """db[m] = sum_n dout[n, m]"""
    m = cuda.grid(1)
    if m < M:
        total = zero
        for n in range(N):
            total += dout[n * M + m]
        db[m] = total

"""`affine` on a GPU, plainly: each thread computes one output, a dot product that it walks from end to end."""

from numba import cuda

from ..gpu.launch import kernel, split
from ..gpu.memory import on_device, xp


@on_device
def affine_forward(x, w, b):
    (N, D), M = x.shape, w.shape[1]
    out = xp.empty((N, M), x.dtype)
    _outputs(out.size, out.size, D, M, x, w, b, out)
    return out


@on_device
def affine_backward(dout, x, w, need_dx):
    (N, M), D, zero = dout.shape, x.shape[1], x.dtype.type(0)
    dx, dw, db = xp.empty_like(x) if need_dx else None, xp.empty_like(w), xp.empty(M, x.dtype)
    if need_dx:
        _input_gradients(dx.size, dx.size, D, M, dout, w, zero, dx)
    _weight_gradients(dw.size, dw.size, N, D, M, dout, x, zero, dw)
    _bias_gradients(M, N, M, dout, zero, db)
    return dx, dw, db


@kernel
def _outputs(count, D, M, x, w, b, out):
    """out[n, m] = b[m] + sum_d x[n, d] * w[d, m]"""
    i = cuda.grid(1)
    if i < count:
        n, m = split(i, M)
        total = b[m]
        for d in range(D):
            total += x[n * D + d] * w[d * M + m]
        out[i] = total


@kernel
def _input_gradients(count, D, M, dout, w, zero, dx):
    """dx[n, d] = sum_m dout[n, m] * w[d, m]"""
    i = cuda.grid(1)
    if i < count:
        n, d = split(i, D)
        total = zero
        for m in range(M):
            total += dout[n * M + m] * w[d * M + m]
        dx[i] = total


@kernel
def _weight_gradients(count, N, D, M, dout, x, zero, dw):
    """dw[d, m] = sum_n x[n, d] * dout[n, m]"""
    i = cuda.grid(1)
    if i < count:
        d, m = split(i, M)
        total = zero
        for n in range(N):
            total += x[n * D + d] * dout[n * M + m]
        dw[i] = total


@kernel
def _bias_gradients(N, M, dout, zero, db):
    """db[m] = sum_n dout[n, m]"""
    m = cuda.grid(1)
    if m < M:
        total = zero
        for n in range(N):
            total += dout[n * M + m]
        db[m] = total

"""The specification of `affine`: one output at a time."""

import numpy as np


def affine_forward(x, w, b):
    (N, _), M = x.shape, w.shape[1]
    out = np.empty((N, M), x.dtype)
    for n in range(N):
        for m in range(M):
            out[n, m] = np.sum(x[n] * w[:, m]) + b[m]
    return out


def affine_backward(dout, x, w, need_dx):
    N, M = dout.shape
    dx, dw, db = np.zeros_like(x), np.zeros_like(w), np.zeros(M, x.dtype)
    for n in range(N):
        for m in range(M):
            db[m] += dout[n, m]
            dw[:, m] += dout[n, m] * x[n]
            if need_dx:
                dx[n] += dout[n, m] * w[:, m]
    return dx if need_dx else None, dw, db

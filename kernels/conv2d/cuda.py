"""`conv2d` on a GPU: the tiled kernels of `gpu.convolution`, and simple kernels that are easier to read.

In the simple kernels each thread computes one element of a result as one sum. The naive loops scatter a gradient over
the window that read it, which would need atomic additions on a GPU. Here each element of dx gathers from the outputs
that read it instead, so that one thread computes each sum, in a fixed order.
"""

import math

from numba import cuda

from ..gpu import convolution
from ..gpu.launch import kernel, split, windows_over
from ..gpu.memory import on_device, xp


@on_device
def conv2d_forward(x, w, b, geometry):
    return convolution.forward(x, w, b, geometry)


@on_device
def conv2d_backward(dout, x, w, geometry, need_dx):
    return convolution.backward(dout, x, w, geometry, need_dx)


def _plain_forward(x, w, b, geometry):
    out = xp.empty((len(x), len(w), *geometry.out), x.dtype)
    _outputs(out.size, out.size, *_lengths(x, w, geometry), x, w, b, x.dtype.type(0), out)
    return out


def _plain_backward(dout, x, w, geometry, need_dx):
    N, F, lengths, zero = len(x), len(w), _lengths(x, w, geometry), x.dtype.type(0)
    dx, dw, db = xp.empty_like(x) if need_dx else None, xp.empty_like(w), xp.empty(F, x.dtype)
    if need_dx:
        _input_gradients(dx.size, dx.size, *lengths, dout, w, zero, dx)
    _weight_gradients(dw.size, dw.size, N, *lengths, dout, x, zero, dw)
    _bias_gradients(F, N, F, math.prod(geometry.out), dout, zero, db)
    return dx, dw, db


def _lengths(x, w, geometry):
    """C, H, W, F, KH, KW, OH, OW, SH, SW, PH, PW, DH, DW: the sizes that the kernels take."""
    return *x.shape[1:], len(w), *geometry.window, *geometry.out, *geometry.stride, *geometry.pad, *geometry.dilation


@kernel
def _outputs(count, C, H, W, F, KH, KW, OH, OW, SH, SW, PH, PW, DH, DW, x, w, b, zero, out):
    """out[n, f, oh, ow] = b[f] + sum_{c, kh, kw} x[n, c, oh*SH + kh*DH - PH, ow*SW + kw*DW - PW] * w[f, c, kh, kw]"""
    i = cuda.grid(1)
    if i < count:
        rest, ow = split(i, OW)
        rest, oh = split(rest, OH)
        n, f = split(rest, F)
        total = b[f]
        for c in range(C):
            for kh in range(KH):
                row = oh * SH + kh * DH - PH
                for kw in range(KW):
                    column, value = ow * SW + kw * DW - PW, zero
                    if 0 <= row < H and 0 <= column < W:
                        value = x[((n * C + c) * H + row) * W + column]
                    # in the padding too: 0 times a NaN or infinite weight is NaN
                    total += value * w[((f * C + c) * KH + kh) * KW + kw]
        out[i] = total


@kernel
def _input_gradients(count, C, H, W, F, KH, KW, OH, OW, SH, SW, PH, PW, DH, DW, dout, w, zero, dx):
    """dx[n, c, h, v] = sum of dout[n, f, oh, ow] * w[f, c, (h + PH - oh*SH)/DH, (v + PW - ow*SW)/DW] over valid taps"""
    i = cuda.grid(1)
    if i < count:
        rest, v = split(i, W)
        rest, h = split(rest, H)
        n, c = split(rest, C)
        first_row, past_row = windows_over(h + PH, DH * (KH - 1) + 1, SH, OH)
        first_column, past_column = windows_over(v + PW, DW * (KW - 1) + 1, SW, OW)
        total = zero
        for f in range(F):
            for oh in range(first_row, past_row):
                kh, above = split(h + PH - oh * SH, DH)
                for ow in range(first_column, past_column):
                    kw, before = split(v + PW - ow * SW, DW)
                    if above == 0 and before == 0:
                        total += dout[((n * F + f) * OH + oh) * OW + ow] * w[((f * C + c) * KH + kh) * KW + kw]
        dx[i] = total


@kernel
def _weight_gradients(count, N, C, H, W, F, KH, KW, OH, OW, SH, SW, PH, PW, DH, DW, dout, x, zero, dw):
    """dw[f, c, kh, kw] = sum_{n, oh, ow} dout[n, f, oh, ow] * x[n, c, oh*SH + kh*DH - PH, ow*SW + kw*DW - PW]"""
    i = cuda.grid(1)
    if i < count:
        rest, kw = split(i, KW)
        rest, kh = split(rest, KH)
        f, c = split(rest, C)
        total = zero
        for n in range(N):
            for oh in range(OH):
                row = oh * SH + kh * DH - PH
                for ow in range(OW):
                    column, value = ow * SW + kw * DW - PW, zero
                    if 0 <= row < H and 0 <= column < W:
                        value = x[((n * C + c) * H + row) * W + column]
                    total += dout[((n * F + f) * OH + oh) * OW + ow] * value
        dw[i] = total


@kernel
def _bias_gradients(N, F, S, dout, zero, db):
    """db[f] = sum_{n, s} dout[n, f, s], where s counts the S outputs of an image"""
    f = cuda.grid(1)
    if f < F:
        total = zero
        for n in range(N):
            for s in range(S):
                total += dout[(n * F + f) * S + s]
        db[f] = total

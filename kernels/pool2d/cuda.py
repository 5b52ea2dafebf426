"""`pool2d` on a GPU: forward a thread computes one window, backward one element of dx from the windows that contain it.

The naive loops scatter gradients from windows to elements, which would need atomic additions on a GPU; here an element
gathers them instead, in the same order.
"""

import math

from numba import cuda

from ..gpu.launch import kernel, split, windows_over
from ..gpu.memory import on_device, xp
from ..gpu.reduce import add_up
from . import index_dtype


@on_device
def max_pool2d_forward(x, geometry):
    out = xp.empty((*x.shape[:2], *geometry.out), x.dtype)
    index = xp.empty(out.shape, index_dtype(geometry.window))
    _largest(out.size, out.size, *_lengths(geometry), x, out, index)
    return out, index


@on_device
def max_pool2d_backward(dout, index, x_shape, geometry):
    dx = xp.empty(x_shape, dout.dtype)
    _winners_gradients(dx.size, dx.size, *_lengths(geometry), dout, index, dx.dtype.type(0), dx)
    return dx


@on_device
def avg_pool2d_forward(x, geometry):
    out, number = xp.empty((*x.shape[:2], *geometry.out), x.dtype), x.dtype.type
    _means(out.size, out.size, *_lengths(geometry), x, number(0), number(math.prod(geometry.window)), out)
    return out


@on_device
def avg_pool2d_backward(dout, x_shape, geometry):
    dx, number = xp.empty(x_shape, dout.dtype), dout.dtype.type
    _shares(dx.size, dx.size, *_lengths(geometry), dout, number(0), number(math.prod(geometry.window)), dx)
    return dx


@on_device
def global_avg_pool2d_forward(x):
    (N, C, H, W), out = x.shape, xp.empty(x.shape[:2], x.dtype)
    add_up(x, (1, N * C, H * W), out)
    _divide(out.size, out.size, x.dtype.type(H * W), out)
    return out


@on_device
def global_avg_pool2d_backward(dout, x_shape):
    dx, area = xp.empty(x_shape, dout.dtype), x_shape[2] * x_shape[3]
    _channel_shares(dx.size, dx.size, area, dout, dout.dtype.type(area), dx)
    return dx


def _lengths(geometry):
    """H, W, OH, OW, KH, KW, SH, SW, PH, PW: the sizes that the kernels take."""
    return *geometry.image, *geometry.out, *geometry.window, *geometry.stride, *geometry.pad


@kernel
def _largest(count, H, W, OH, OW, KH, KW, SH, SW, PH, PW, x, out, index):
    """out[n, c, oh, ow] = max_{kh, kw} x[n, c, oh*SH + kh - PH, ow*SW + kw - PW] within x, index its kh*KW + kw"""
    i = cuda.grid(1)
    if i < count:
        row, ow = split(i, OW)
        plane, oh = split(row, OH)
        top, left = oh * SH - PH, ow * SW - PW
        h_first, w_first = max(top, 0), max(left, 0)
        largest = x[(plane * H + h_first) * W + w_first]
        winner = (h_first - top) * KW + w_first - left
        for h in range(h_first, min(top + KH, H)):
            for w in range(w_first, min(left + KW, W)):
                value = x[(plane * H + h) * W + w]
                if value > largest or (value != value and largest == largest):  # the first NaN is the maximum
                    largest = value
                    winner = (h - top) * KW + w - left
        out[i] = largest
        index[i] = winner


@kernel
def _winners_gradients(count, H, W, OH, OW, KH, KW, SH, SW, PH, PW, dout, index, zero, dx):
    """dx[n, c, h, w] = sum of dout over the windows whose maximum it is"""
    i = cuda.grid(1)
    if i < count:
        row, w = split(i, W)
        plane, h = split(row, H)
        total = zero
        oh_first, oh_stop = windows_over(h + PH, KH, SH, OH)
        ow_first, ow_stop = windows_over(w + PW, KW, SW, OW)
        for oh in range(oh_first, oh_stop):
            for ow in range(ow_first, ow_stop):
                window = (plane * OH + oh) * OW + ow
                if index[window] == (h + PH - oh * SH) * KW + w + PW - ow * SW:
                    total += dout[window]
        dx[i] = total


@kernel
def _means(count, H, W, OH, OW, KH, KW, SH, SW, PH, PW, x, zero, area, out):
    """out[n, c, oh, ow] = 1/area * sum_{kh, kw} x[n, c, oh*SH + kh - PH, ow*SW + kw - PW] within x"""
    i = cuda.grid(1)
    if i < count:
        row, ow = split(i, OW)
        plane, oh = split(row, OH)
        top, left = oh * SH - PH, ow * SW - PW
        total = zero
        for h in range(max(top, 0), min(top + KH, H)):
            for w in range(max(left, 0), min(left + KW, W)):
                total += x[(plane * H + h) * W + w]
        out[i] = total / area


@kernel
def _shares(count, H, W, OH, OW, KH, KW, SH, SW, PH, PW, dout, zero, area, dx):
    """dx[n, c, h, w] = sum of dout/area over the windows that contain it"""
    i = cuda.grid(1)
    if i < count:
        row, w = split(i, W)
        plane, h = split(row, H)
        total = zero
        oh_first, oh_stop = windows_over(h + PH, KH, SH, OH)
        ow_first, ow_stop = windows_over(w + PW, KW, SW, OW)
        for oh in range(oh_first, oh_stop):
            for ow in range(ow_first, ow_stop):
                total += dout[(plane * OH + oh) * OW + ow] / area
        dx[i] = total


@kernel
def _divide(count, divisor, out):
    i = cuda.grid(1)
    if i < count:
        out[i] /= divisor


@kernel
def _channel_shares(count, area, dout, divisor, dx):
    """dx[n, c, h, w] = dout[n, c] / (H*W)"""
    i = cuda.grid(1)
    if i < count:
        plane, _ = split(i, area)
        dx[i] = dout[plane] / divisor

"""Reference implementation of `pool2d`: explicit loops, one window at a time."""

import numpy as np

from . import index_dtype


def max_pool2d_forward(x, geometry):
    (N, C, _, _), (OH, OW), (KH, KW) = x.shape, geometry.out, geometry.window
    (SH, SW), (PH, PW) = geometry.stride, geometry.pad
    out, index = np.empty((N, C, OH, OW), x.dtype), np.empty((N, C, OH, OW), index_dtype((KH, KW)))
    for n in range(N):
        for c in range(C):
            for oh in range(OH):
                for ow in range(OW):
                    top, left = oh * SH - PH, ow * SW - PW
                    window = x[n, c, max(0, top) : top + KH, max(0, left) : left + KW]  # its part in the image
                    h, w = divmod(int(window.argmax()), window.shape[1])
                    out[n, c, oh, ow] = window[h, w]
                    index[n, c, oh, ow] = (h + max(0, -top)) * KW + w + max(0, -left)
    return out, index


def max_pool2d_backward(dout, index, x_shape, geometry):
    (N, C, H, W), (OH, OW), (KH, KW) = x_shape, geometry.out, geometry.window
    (SH, SW), (PH, PW) = geometry.stride, geometry.pad
    dx = np.zeros(x_shape, dout.dtype)
    for n in range(N):
        for c in range(C):
            for oh in range(OH):
                for ow in range(OW):
                    winner = int(index[n, c, oh, ow])
                    h, w = oh * SH + winner // KW - PH, ow * SW + winner % KW - PW
                    if winner < KH * KW and 0 <= h < H and 0 <= w < W:
                        dx[n, c, h, w] += dout[n, c, oh, ow]
    return dx


def avg_pool2d_forward(x, geometry):
    (N, C, _, _), (OH, OW), (KH, KW) = x.shape, geometry.out, geometry.window
    (SH, SW), (PH, PW) = geometry.stride, geometry.pad
    padded = np.pad(x, ((0, 0), (0, 0), (PH, PH), (PW, PW)))
    out = np.empty((N, C, OH, OW), x.dtype)
    for n in range(N):
        for c in range(C):
            for oh in range(OH):
                for ow in range(OW):
                    out[n, c, oh, ow] = np.mean(padded[n, c, oh * SH : oh * SH + KH, ow * SW : ow * SW + KW])
    return out


def avg_pool2d_backward(dout, x_shape, geometry):
    (N, C, H, W), (OH, OW), (KH, KW) = x_shape, geometry.out, geometry.window
    (SH, SW), (PH, PW) = geometry.stride, geometry.pad
    dpadded = np.zeros((N, C, H + 2 * PH, W + 2 * PW), dout.dtype)
    for n in range(N):
        for c in range(C):
            for oh in range(OH):
                for ow in range(OW):
                    share = dout[n, c, oh, ow] / (KH * KW)
                    dpadded[n, c, oh * SH : oh * SH + KH, ow * SW : ow * SW + KW] += share
    return dpadded[:, :, PH : PH + H, PW : PW + W].copy()


def global_avg_pool2d_forward(x):
    N, C, _, _ = x.shape
    out = np.empty((N, C), x.dtype)
    for n in range(N):
        for c in range(C):
            out[n, c] = np.mean(x[n, c])
    return out


def global_avg_pool2d_backward(dout, x_shape):
    N, C, H, W = x_shape
    dx = np.empty(x_shape, dout.dtype)
    for n in range(N):
        for c in range(C):
            dx[n, c] = dout[n, c] / (H * W)
    return dx

"""`conv2d` as one matrix product per image.

The windows of one image are copied into the columns of a matrix (C*KH*KW, OH*OW); the filters times that matrix are the
image's output (im2col; Chellapilla, Puri & Simard 2006, section 3). Images are processed one at a time, since the
matrix of a whole batch would take KH*KW times the memory of x.
"""

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..dispatch import windows


def conv2d_forward(x, w, b, geometry):
    x, geometry, _ = windows.cropped(x, geometry)
    N, F, (OH, OW) = len(x), len(w), geometry.out
    filters = w.reshape(F, -1)
    out = np.empty((N, F, OH, OW), x.dtype)
    for n in range(N):
        np.matmul(filters, _columns(x[n], geometry), out=out[n].reshape(F, OH * OW))
        out[n] += b[:, None, None]
    return out


def conv2d_backward(dout, x, w, geometry, need_dx):
    x, geometry, crop = windows.cropped(x, geometry)
    (N, C, H, W), (F, _, KH, KW), (OH, OW) = x.shape, w.shape, geometry.out
    (SH, SW), (PH, PW), (DH, DW) = geometry.stride, geometry.pad, geometry.dilation
    filters = w.reshape(F, -1)
    dx = np.empty_like(x) if need_dx else None
    dw = np.zeros_like(filters)
    for n in range(N):
        rows = dout[n].reshape(F, OH * OW)
        dw += rows @ _columns(x[n], geometry).T
        if need_dx:
            dcolumns = (filters.T @ rows).reshape(C, KH, KW, OH, OW)
            dpadded = np.zeros((C, H + 2 * PH, W + 2 * PW), x.dtype)
            for kh in range(KH):
                for kw in range(KW):
                    h, v = kh * DH, kw * DW
                    dpadded[:, h : h + SH * OH : SH, v : v + SW * OW : SW] += dcolumns[:, kh, kw]
            dx[n] = dpadded[:, PH : PH + H, PW : PW + W]
    return windows.uncropped(dx, crop), dw.reshape(w.shape), dout.sum(axis=(0, 2, 3))


def _columns(image, geometry):
    """Return the windows of one image (C, H, W) as a matrix (C*KH*KW, OH*OW)."""
    (SH, SW), (PH, PW), (DH, DW) = geometry.stride, geometry.pad, geometry.dilation
    padded = np.pad(image, ((0, 0), (PH, PH), (PW, PW)))
    view = sliding_window_view(padded, geometry.extent, axis=(1, 2))[:, ::SH, ::SW, ::DH, ::DW]
    return view.transpose(0, 3, 4, 1, 2).reshape(-1, math.prod(geometry.out))

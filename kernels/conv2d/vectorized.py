"""`conv2d` as one matrix product per image.

The windows of one image, copied side by side, form a matrix (C*KH*KW, OH*OW); the filters times that matrix are the
image's output (im2col; Chellapilla, Puri & Simard 2006, section 3). One image at a time: the matrix of a whole batch
would take KH*KW times the memory of x.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..dispatch import windows


def conv2d_forward(x, w, b, stride, pad):
    x, stride, pad, _ = windows.cropped(x, w, stride, pad)
    (N, _, H, W), (F, _, KH, KW), (SH, SW), (PH, PW) = x.shape, w.shape, stride, pad
    OH, OW = 1 + (H + 2 * PH - KH) // SH, 1 + (W + 2 * PW - KW) // SW
    filters = w.reshape(F, -1)
    out = np.empty((N, F, OH, OW), x.dtype)
    for n in range(N):
        np.matmul(filters, _columns(x[n], w, stride, pad), out=out[n].reshape(F, OH * OW))
        out[n] += b[:, None, None]
    return out


def conv2d_backward(dout, x, w, stride, pad, need_dx):
    x, stride, pad, places = windows.cropped(x, w, stride, pad)
    (N, C, H, W), (F, _, KH, KW), (SH, SW), (PH, PW) = x.shape, w.shape, stride, pad
    OH, OW = dout.shape[2:]
    filters = w.reshape(F, -1)
    dx = np.empty_like(x) if need_dx else None
    dw = np.zeros_like(filters)
    for n in range(N):
        rows = dout[n].reshape(F, OH * OW)
        dw += rows @ _columns(x[n], w, stride, pad).T
        if need_dx:
            dcolumns = (filters.T @ rows).reshape(C, KH, KW, OH, OW)
            dpadded = np.zeros((C, H + 2 * PH, W + 2 * PW), x.dtype)
            for kh in range(KH):
                for kw in range(KW):
                    dpadded[:, kh : kh + SH * OH : SH, kw : kw + SW * OW : SW] += dcolumns[:, kh, kw]
            dx[n] = dpadded[:, PH : PH + H, PW : PW + W]
    return windows.uncropped(dx, places), dw.reshape(w.shape), dout.sum(axis=(0, 2, 3))


def _columns(image, w, stride, pad):
    """The windows of one image (C, H, W) as a matrix (C*KH*KW, OH*OW)."""
    padded = np.pad(image, ((0, 0), (pad[0], pad[0]), (pad[1], pad[1])))
    view = sliding_window_view(padded, w.shape[2:], axis=(1, 2))[:, :: stride[0], :: stride[1]]
    return view.transpose(0, 3, 4, 1, 2).reshape(w[0].size, -1)

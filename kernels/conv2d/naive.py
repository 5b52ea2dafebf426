"""Reference implementation of `conv2d`: explicit loops, one window at a time."""

import numpy as np


def conv2d_forward(x, w, b, geometry):
    N, F, (OH, OW), (EH, EW) = len(x), len(w), geometry.out, geometry.extent
    (SH, SW), (PH, PW), (DH, DW) = geometry.stride, geometry.pad, geometry.dilation
    padded = np.pad(x, ((0, 0), (0, 0), (PH, PH), (PW, PW)))
    out = np.empty((N, F, OH, OW), x.dtype)
    for n in range(N):
        for f in range(F):
            for oh in range(OH):
                for ow in range(OW):
                    window = padded[n, :, oh * SH : oh * SH + EH : DH, ow * SW : ow * SW + EW : DW]
                    out[n, f, oh, ow] = np.sum(window * w[f]) + b[f]
    return out


def conv2d_backward(dout, x, w, geometry, need_dx):
    (N, _, H, W), F, (OH, OW), (EH, EW) = x.shape, len(w), geometry.out, geometry.extent
    (SH, SW), (PH, PW), (DH, DW) = geometry.stride, geometry.pad, geometry.dilation
    padded = np.pad(x, ((0, 0), (0, 0), (PH, PH), (PW, PW)))
    dpadded, dw, db = np.zeros_like(padded), np.zeros_like(w), np.zeros(F, x.dtype)
    for n in range(N):
        for f in range(F):
            for oh in range(OH):
                for ow in range(OW):
                    rows, columns = slice(oh * SH, oh * SH + EH, DH), slice(ow * SW, ow * SW + EW, DW)
                    gradient = dout[n, f, oh, ow]
                    db[f] += gradient
                    dw[f] += gradient * padded[n, :, rows, columns]
                    if need_dx:
                        dpadded[n, :, rows, columns] += gradient * w[f]
    return dpadded[:, :, PH : PH + H, PW : PW + W].copy() if need_dx else None, dw, db

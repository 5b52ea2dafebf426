"""`pool2d` as one pass over the whole batch for each of the KH*KW positions in a window.

`_at` is a strided view of the elements at one position in all windows; the running maximum and the sums are then array
expressions. An argmax over a sliding_window_view would copy x KH*KW times.
"""

import numpy as np

from . import index_dtype


def _pad(x, geometry, value):
    PH, PW = geometry.pad
    return np.pad(x, ((0, 0), (0, 0), (PH, PH), (PW, PW)), constant_values=value)


def _at(padded, kh, kw, geometry):
    (OH, OW), (SH, SW) = geometry.out, geometry.stride
    return padded[:, :, kh : kh + SH * (OH - 1) + 1 : SH, kw : kw + SW * (OW - 1) + 1 : SW]


def max_pool2d_forward(x, geometry):
    padded, size = _pad(x, geometry, -np.inf), geometry.window
    on_image = _pad(np.ones((1, 1, *x.shape[2:]), bool), geometry, False)
    out = np.full((*x.shape[:2], *geometry.out), -np.inf, x.dtype)
    index = np.full(out.shape, size[0] * size[1], index_dtype(size))
    for position in range(size[0] * size[1]):
        kh, kw = divmod(position, size[1])
        candidate = _at(padded, kh, kw, geometry)
        # the first candidate is always taken (all may be -inf); the first NaN replaces any number and is kept
        first = (index == size[0] * size[1]) & _at(on_image, kh, kw, geometry)
        wins = first | (candidate > out) | (np.isnan(candidate) & ~np.isnan(out))
        np.copyto(out, candidate, where=wins)
        index[wins] = position
    return out, index


def max_pool2d_backward(dout, index, x_shape, geometry):
    (N, C, H, W), size, pad = x_shape, geometry.window, geometry.pad
    dpadded = np.zeros((N, C, H + 2 * pad[0], W + 2 * pad[1]), dout.dtype)
    for position in range(size[0] * size[1]):
        kh, kw = divmod(position, size[1])
        view = _at(dpadded, kh, kw, geometry)
        view += np.where(index == position, dout, dout.dtype.type(0))
    return dpadded[:, :, pad[0] : pad[0] + H, pad[1] : pad[1] + W].copy()


def avg_pool2d_forward(x, geometry):
    padded, size = _pad(x, geometry, 0), geometry.window
    out = np.zeros((*x.shape[:2], *geometry.out), x.dtype)
    for kh in range(size[0]):
        for kw in range(size[1]):
            out += _at(padded, kh, kw, geometry)
    out /= size[0] * size[1]
    return out


def avg_pool2d_backward(dout, x_shape, geometry):
    (N, C, H, W), size, pad = x_shape, geometry.window, geometry.pad
    dpadded = np.zeros((N, C, H + 2 * pad[0], W + 2 * pad[1]), dout.dtype)
    share = dout / (size[0] * size[1])
    for kh in range(size[0]):
        for kw in range(size[1]):
            view = _at(dpadded, kh, kw, geometry)
            view += share
    return dpadded[:, :, pad[0] : pad[0] + H, pad[1] : pad[1] + W].copy()


def global_avg_pool2d_forward(x):
    return x.mean(axis=(2, 3), dtype=x.dtype)


def global_avg_pool2d_backward(dout, x_shape):
    share = dout / (x_shape[2] * x_shape[3])
    return np.broadcast_to(share[:, :, None, None], x_shape).copy()

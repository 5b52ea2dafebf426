"""`pool2d` as one pass over the whole batch for each of the KH*KW places of a window.

`_place` is the array of what all windows have at one place, a strided view; the running maximum and the sums are then
plain array expressions. Tried and dropped: argmax over a sliding_window_view, which copies KH*KW times x.
"""

import numpy as np

from . import index_dtype


def _pad(x, pad, value):
    return np.pad(x, ((0, 0), (0, 0), (pad[0], pad[0]), (pad[1], pad[1])), constant_values=value)


def _place(padded, kh, kw, out_size, stride):
    (OH, OW), (SH, SW) = out_size, stride
    return padded[:, :, kh : kh + SH * (OH - 1) + 1 : SH, kw : kw + SW * (OW - 1) + 1 : SW]


def _out_size(padded, size, stride):
    return 1 + (padded.shape[2] - size[0]) // stride[0], 1 + (padded.shape[3] - size[1]) // stride[1]


def max_pool2d_forward(x, size, stride, pad):
    padded = _pad(x, pad, -np.inf)
    on_image = _pad(np.ones((1, 1, *x.shape[2:]), bool), pad, False)
    out_size = _out_size(padded, size, stride)
    out = np.full((*x.shape[:2], *out_size), -np.inf, x.dtype)
    index = np.full(out.shape, size[0] * size[1], index_dtype(size))
    for place in range(size[0] * size[1]):
        kh, kw = divmod(place, size[1])
        candidate = _place(padded, kh, kw, out_size, stride)
        # a first candidate always wins (all may be -inf), a NaN wins over numbers and never loses again
        first = (index == size[0] * size[1]) & _place(on_image, kh, kw, out_size, stride)
        wins = first | (candidate > out) | (np.isnan(candidate) & ~np.isnan(out))
        np.copyto(out, candidate, where=wins)
        index[wins] = place
    return out, index


def max_pool2d_backward(dout, index, x_shape, size, stride, pad):
    N, C, H, W = x_shape
    dpadded = np.zeros((N, C, H + 2 * pad[0], W + 2 * pad[1]), dout.dtype)
    for place in range(size[0] * size[1]):
        kh, kw = divmod(place, size[1])
        view = _place(dpadded, kh, kw, dout.shape[2:], stride)
        view += np.where(index == place, dout, dout.dtype.type(0))
    return dpadded[:, :, pad[0] : pad[0] + H, pad[1] : pad[1] + W].copy()


def avg_pool2d_forward(x, size, stride, pad):
    padded = _pad(x, pad, 0)
    out_size = _out_size(padded, size, stride)
    out = np.zeros((*x.shape[:2], *out_size), x.dtype)
    for kh in range(size[0]):
        for kw in range(size[1]):
            out += _place(padded, kh, kw, out_size, stride)
    out /= size[0] * size[1]
    return out


def avg_pool2d_backward(dout, x_shape, size, stride, pad):
    N, C, H, W = x_shape
    dpadded = np.zeros((N, C, H + 2 * pad[0], W + 2 * pad[1]), dout.dtype)
    share = dout / (size[0] * size[1])
    for kh in range(size[0]):
        for kw in range(size[1]):
            view = _place(dpadded, kh, kw, dout.shape[2:], stride)
            view += share
    return dpadded[:, :, pad[0] : pad[0] + H, pad[1] : pad[1] + W].copy()


def global_avg_pool2d_forward(x):
    return x.mean(axis=(2, 3), dtype=x.dtype)


def global_avg_pool2d_backward(dout, x_shape):
    share = dout / (x_shape[2] * x_shape[3])
    return np.broadcast_to(share[:, :, None, None], x_shape).copy()

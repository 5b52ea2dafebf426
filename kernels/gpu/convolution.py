"""Convolution as three implicit matrix products (see `products`): windows are read through index tables, not copied.

In zero-padded images, output (n, oh, ow) reads tap (c, kh, kw) at

    n*image + oh*SH*row + ow*SW    +    c*plane + kh*DH*row + kw*DW

which is the sum of an index of the output and an index of the tap, as the tables of a product require:

    out[f, (n, oh, ow)] = sum over taps of            w[f, tap] * x[(n, oh, ow) + tap]
    dw[f, tap]          = sum over (n, oh, ow) of  dout[f, (n, oh, ow)] * x[(n, oh, ow) + tap]
    dx[c, (n, h, w)]    = sum over (f, kh, kw) of  w[f, c, kh, kw] * dout[(n, h, w) + (f, (KH-1-kh)*DH, (KW-1-kw)*DW)]

For dx the rows and columns of dout are spread by the stride, with zeros between and around them.
"""

import numpy as np
from numba import cuda

from .launch import kernel, split
from .memory import cached, xp
from .products import Matrix, check_size, in_fours, multiply, rows_of, steps, table
from .reduce import add_up
from .tiles import ALONE, TERMS


def forward(x, w, b, geometry, floor=-np.inf):
    """Return max(floor, output of the convolution); a floor of 0 is ReLU."""
    (N, C, _, _), (F, _, KH, KW), (OH, OW) = x.shape, w.shape, geometry.out
    H, W = _padded(geometry)
    out = xp.empty((N, F, OH, OW), x.dtype)
    K = C * KH * KW
    filters = rows_of(w, F, K)
    grid = _grid(N, OH, OW, C * H * W, geometry.stride, W)
    windows = Matrix(_spread(x, geometry.pad, (1, 1), (H, W)), grid, _taps(C, KH, KW, H, W, geometry.dilation))
    multiply(
        filters, windows._replace(overlap=KW), Matrix(out, steps(F, OH * OW), _images(N, F, OH * OW)), b, (1, 0), floor
    )
    return out


def backward(dout, x, w, geometry, need_dx):
    """Return dx (or None), dw and db."""
    (N, F, OH, OW), (_, C, KH, KW), padded = dout.shape, w.shape, _padded(geometry)
    dw, db, P, K = xp.empty_like(w), xp.empty(F, x.dtype), OH * OW, C * KH * KW
    add_up(dout, (N, F, P), db)
    outputs = Matrix(dout, steps(F, P), _images(N, F, P), TERMS if in_fours(dout, P) else ALONE)
    grid = _grid(N, OH, OW, C * padded[0] * padded[1], geometry.stride, padded[1])
    windows = Matrix(_spread(x, geometry.pad, (1, 1), padded), _taps(C, KH, KW, *padded, geometry.dilation), grid)
    multiply(outputs, windows._replace(overlap=KW), rows_of(dw, F, K))
    return _input_gradients(dout, w, geometry) if need_dx else None, dw, db


def _input_gradients(dout, w, geometry):
    N, (F, C, KH, KW), (H, W), (EH, EW) = len(dout), w.shape, geometry.image, geometry.extent
    dx, size = xp.empty((N, C, H, W), dout.dtype), (H + EH - 1, W + EW - 1)
    border = EH - 1 - geometry.pad[0], EW - 1 - geometry.pad[1]
    grid = _grid(N, H, W, F * size[0] * size[1], (1, 1), size[1])
    windows = Matrix(
        _spread(dout, border, geometry.stride, size), grid, _taps(F, KH, KW, *size, geometry.dilation, flipped=True)
    )
    filters = Matrix(w, steps(C, KH * KW), _images(F, C, KH * KW))
    multiply(filters, windows._replace(overlap=KW), Matrix(dx, steps(C, H * W), _images(N, C, H * W)))
    return dx


def _padded(geometry):
    """Return the rows and columns of the padded images."""
    return geometry.image[0] + 2 * geometry.pad[0], geometry.image[1] + 2 * geometry.pad[1]


@cached(maxsize=1024)
def _taps(C, KH, KW, H, W, dilation, flipped=False):
    """Return the index of tap (c, kh, kw), or of the flipped tap, in an image of C planes, from the window's corner."""
    c, kh, kw = np.meshgrid(np.arange(C), np.arange(KH), np.arange(KW), indexing="ij")
    if flipped:
        kh, kw = KH - 1 - kh, KW - 1 - kw
    return table(((c * H + kh * dilation[0]) * W + kw * dilation[1]).ravel())


@cached(maxsize=1024)
def _grid(N, rows, columns, image, stride, row):
    """Return the index of the first element of the window of output (n, i, j)."""
    n, i, j = np.meshgrid(np.arange(N), np.arange(rows), np.arange(columns), indexing="ij")
    return table((n * image + i * stride[0] * row + j * stride[1]).ravel())


@cached(maxsize=1024)
def _images(N, planes, size):
    """Return the index of element p of image n in its first plane, for images of `planes` planes of `size` elements."""
    n, p = np.meshgrid(np.arange(N), np.arange(size), indexing="ij")
    return table((n * planes * size + p).ravel())


def _spread(x, border, step, size):
    """Return images with zeros around and between their rows and columns: x[h, w] is at (border + h*step, ...)."""
    if (*border, *step) == (0, 0, 1, 1) and size == x.shape[2:]:
        return x
    check_size(len(x) * x.shape[1] * size[0] * size[1])
    out = xp.empty((*x.shape[:2], *size), x.dtype)
    _spread_images(out.size, out.size, *x.shape[2:], *size, *border, *step, x, x.dtype.type(0), out)
    return out


@kernel
def _spread_images(count, H, W, rows, columns, top, left, step_down, step_across, x, zero, out):
    i = cuda.grid(1)
    if i < count:
        line, column = split(i, columns)
        plane, row = split(line, rows)
        down, across, value = row - top, column - left, zero
        if down >= 0 and across >= 0:
            h, above = split(down, step_down)
            w, before = split(across, step_across)
            if above == 0 and before == 0 and h < H and w < W:
                value = x[(plane * H + h) * W + w]
        out[i] = value

"""`augment` row by row on all cores: each row is copied, forwards or backwards, between zeros on both sides.

Rows are positions in flat arrays, because Numba counts references to slices.
"""

import numpy as np

from ..cpu import threads

U = np.uintp  # unsigned indices need no wrap-around of negative ones, so loops vectorise
PLANES = 16  # minimum planes of a part


@threads.parallel(grain=PLANES)
def _augment(start, stop, shape, x, top, left, flip, hole_top, hole_left, hole_size, out):
    _, C, H, W = shape
    for plane in range(start, stop):
        n = plane // C
        shift = -left[n] if flip[n] else left[n]
        first = min(W, max(0, -shift))  # the visible columns
        last = max(first, min(W, W - shift))
        for h in range(H):
            row = (plane * H + h) * W
            if 0 <= h + top[n] < H:
                source = row + top[n] * W + left[n]
                _clear(out, row, first)
                if flip[n]:
                    _copy_backwards(x, source + W - 1 - first, out, row + first, last - first)
                else:
                    _copy(x, source + first, out, row + first, last - first)
                _clear(out, row + last, W - last)
            else:
                _clear(out, row, W)
        first, last = min(W, max(0, hole_left[n])), min(W, max(0, hole_left[n] + hole_size[n]))
        for h in range(max(0, hole_top[n]), min(H, hole_top[n] + hole_size[n])):
            _clear(out, (plane * H + h) * W + first, last - first)


@threads.serial
def _clear(target, start, count):
    zero = target.dtype.type(0)
    for i in range(U(count)):
        target[U(start) + U(i)] = zero


@threads.serial
def _copy(source, origin, target, start, count):
    for i in range(U(count)):
        target[U(start) + U(i)] = source[U(origin) + U(i)]


@threads.serial
def _copy_backwards(source, origin, target, start, count):
    for i in range(U(count)):
        target[U(start) + U(i)] = source[U(origin) - U(i)]


def augment_images(x, top, left, flip, hole_top, hole_left, hole_size):
    out = np.empty_like(x)
    numbers = top, left, flip, hole_top, hole_left, hole_size
    _augment(x.shape[0] * x.shape[1], x.shape, x.reshape(-1), *numbers, out.reshape(-1))
    return out

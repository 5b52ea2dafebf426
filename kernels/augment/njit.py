"""`augment` row by row on all cores: a row is copied, forwards or backwards, between the zeros on its two sides.

Rows are places in flat arrays, not slices: numba would count references to each of them.
"""

import numpy as np

from ..cpu import threads

U = np.uintp  # a signed index might count from the end, which keeps a loop from vectorising
PLANES = 16  # at least, that a thread takes on at a time


@threads.parallel(grain=PLANES)
def _augment(start, stop, shape, x, top, left, flip, hole_top, hole_left, hole_size, out):
    _, C, H, W = shape
    for plane in range(start, stop):
        n = plane // C
        shift = -left[n] if flip[n] else left[n]
        first = min(W, max(0, -shift))  # of the columns that are seen
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
def _clear(target, place, count):
    zero = target.dtype.type(0)
    for i in range(U(count)):
        target[U(place) + U(i)] = zero


@threads.serial
def _copy(source, origin, target, place, count):
    for i in range(U(count)):
        target[U(place) + U(i)] = source[U(origin) + U(i)]


@threads.serial
def _copy_backwards(source, origin, target, place, count):
    for i in range(U(count)):
        target[U(place) + U(i)] = source[U(origin) - U(i)]


def augment_images(x, top, left, flip, hole_top, hole_left, hole_size):
    out = np.empty_like(x)
    numbers = top, left, flip, hole_top, hole_left, hole_size
    _augment(x.shape[0] * x.shape[1], x.shape, x.reshape(-1), *numbers, out.reshape(-1))
    return out

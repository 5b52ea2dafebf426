"""The specification of `augment`: one pixel at a time."""

import numpy as np


def augment_images(x, top, left, flip, hole_top, hole_left, hole_size):
    N, C, H, W = x.shape
    out = np.empty_like(x)
    for n, c, h, w in np.ndindex(N, C, H, W):
        row, column = h + top[n], (W - 1 - w if flip[n] else w) + left[n]
        inside = 0 <= row < H and 0 <= column < W
        erased = 0 <= h - hole_top[n] < hole_size[n] and 0 <= w - hole_left[n] < hole_size[n]
        out[n, c, h, w] = x[n, c, row, column] if inside and not erased else 0
    return out

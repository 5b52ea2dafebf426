"""`augment` on a GPU: each thread finds the source of its pixel, and copies it or writes 0."""

from numba import cuda

from ..gpu.launch import kernel, split
from ..gpu.memory import on_device, xp


@on_device
def augment_images(x, top, left, flip, hole_top, hole_left, hole_size):
    (_, C, H, W), out = x.shape, xp.empty_like(x)
    numbers = top, left, flip, hole_top, hole_left, hole_size
    _pixels(out.size, out.size, C, H, W, x, *numbers, x.dtype.type(0), out)
    return out


@kernel
def _pixels(count, C, H, W, x, top, left, flip, hole_top, hole_left, hole_size, zero, out):
    """out[n, c, h, w] = x[n, c, h + top, (W - 1 - w where flip, else w) + left], 0 outside of x and in the hole"""
    i = cuda.grid(1)
    if i < count:
        line, w = split(i, W)
        plane, h = split(line, H)
        n, _ = split(plane, C)
        row, column = h + top[n], w + left[n]
        if flip[n]:
            column = W - 1 - w + left[n]
        inside = 0 <= row < H and 0 <= column < W
        erased = 0 <= h - hole_top[n] < hole_size[n] and 0 <= w - hole_left[n] < hole_size[n]
        out[i] = x[(plane * H + row) * W + column] if inside and not erased else zero

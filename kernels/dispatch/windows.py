"""Where the windows of a convolution or a pooling lie."""

import numpy as np

from . import validation


def output_size(
    function: str, x_shape: tuple, window: tuple[int, int], stride: tuple[int, int], pad: tuple[int, int]
) -> tuple[int, int]:
    """OH, OW = 1 + (H + 2 * pad - window) // stride, and the same for columns.

    Raises ValueError where no window fits, or where no memory holds the padded images.

    Rows and columns at the end that no window reaches are ignored, as in PyTorch and cuDNN.
    """
    sizes, padded = [], max(x_shape[0], 1) * max(x_shape[1], 1)
    for axis, length, width, step, border in zip(("height", "width"), x_shape[2:], window, stride, pad, strict=True):
        if length + 2 * border < width:
            raise ValueError(
                f"{function}: the window does not fit: its {axis} = {width} exceeds the padded image's "
                f"{length} + 2*{border} = {length + 2 * border}; expected it to fit at least once; "
                f"use pad={-((length - width) // 2)} or a smaller window"
            )
        sizes.append(1 + (length + 2 * border - width) // step)
        padded *= length + 2 * border
    validation.fits(function, "pad", pad, padded)
    return sizes[0], sizes[1]


def within(stride: tuple[int, int], x_shape: tuple, window: tuple[int, int], pad: tuple[int, int]) -> tuple[int, ...]:
    """The stride; one past the image as the least such one, which means the same and fits into 64 bits."""
    past = (x_shape[axis + 2] + 2 * pad[axis] - window[axis] + 1 for axis in (0, 1))
    return tuple(map(min, stride, past))


def cropped(x: np.ndarray, w: np.ndarray, stride: tuple[int, int], pad: tuple[int, int]) -> tuple:
    """Images without the padding that lies between windows, for a convolution of equal results.

    Where windows do not meet and whole steps lie in the padding, an axis is reduced to what the windows read: they then
    follow one another, and there is no padding. Returns images, stride, pad, and what `uncropped` needs; these are the
    arguments, and None, where that is not so.
    """
    (KH, KW), (SH, SW), (PH, PW) = w.shape[2:], stride, pad
    if (SH <= KH or PH < SH) and (SW <= KW or PW < SW):  # found out fast: small layers wait for it
        return x, stride, pad, None
    strides, pads, sizes, targets, sources = list(stride), list(pad), list(x.shape[2:]), [], []
    for axis, (step, width, border) in enumerate(zip(stride, w.shape[2:], pad, strict=True)):
        length = x.shape[2 + axis]
        read = np.arange(length)
        if step > width and border >= step:
            count = 1 + (length + 2 * border - width) // step
            read = (np.arange(count)[:, None] * step + np.arange(width)).ravel() - border
            strides[axis], pads[axis], sizes[axis] = width, 0, read.size
        inside = np.flatnonzero((read >= 0) & (read < length))
        targets.append(inside)
        sources.append(read[inside])
    out = np.zeros((*x.shape[:2], *sizes), x.dtype)
    to, of = ((slice(None), slice(None), rows[:, None], columns) for rows, columns in (targets, sources))
    out[to] = x[of]
    return out, tuple(strides), tuple(pads), (x.shape, to, of)


def uncropped(dx: np.ndarray | None, places: tuple | None) -> np.ndarray | None:
    """The gradient of the images that `cropped` was given, from that of those that it returned."""
    if dx is None or places is None:
        return dx
    shape, to, of = places
    out = np.zeros(shape, dx.dtype)
    out[of] = dx[to]
    return out

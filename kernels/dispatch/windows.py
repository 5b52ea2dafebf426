"""Where the windows of a convolution or a pooling lie: the geometry, as one value."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from . import validation

Pair = tuple[int, int]  # (height, width)

# What the public functions call the fields of the geometries that variants get in place of these arguments.
FIELDS = {
    "geometry": {"size": "window", "stride": "stride", "pad": "pad"},
    "pooling": {"pool_size": "window", "pool_stride": "stride"},
}


def inner(parameters: Iterable[str]) -> list[str]:
    """The parameters of a variant, from those of the public function."""
    whole = {part: name for name, parts in FIELDS.items() for part in parts}
    return list(dict.fromkeys(whole.get(name, name) for name in parameters))


class Geometry(NamedTuple):
    """The windows of a convolution or a pooling over images, as `checked` makes it: (height, width) of everything."""

    image: Pair  # H, W
    window: Pair  # KH, KW
    stride: Pair  # one past the image is the least such one, which means the same and fits into 64 bits
    pad: Pair

    @property
    def out(self) -> Pair:
        """OH, OW = 1 + (H + 2 * pad - KH) // stride, and the same for columns.

        Rows and columns at the end that no window reaches are ignored, as in PyTorch and cuDNN.
        """
        (H, W), (KH, KW), (SH, SW), (PH, PW) = self
        return 1 + (H + 2 * PH - KH) // SH, 1 + (W + 2 * PW - KW) // SW


def checked(function: str, x_shape: tuple, window: Pair, stride: object, pad: object) -> Geometry:
    """The geometry of windows over images x of this shape. stride, pad: an integer or a (height, width) pair.

    Raises TypeError and ValueError for values that cannot be, ValueError where no window fits, or where no memory holds
    the padded images.
    """
    SH, SW = validation.pair(function, "stride", stride, minimum=1)
    PH, PW = pad = validation.pair(function, "pad", pad, minimum=0)
    (N, C, H, W), (KH, KW) = x_shape, window
    rows, columns = H + 2 * PH, W + 2 * PW
    if rows < KH or columns < KW:
        raise _too_large(function, (H, W), window, pad)
    validation.fits(function, "pad", pad, max(N, 1) * max(C, 1) * rows * columns)
    return Geometry((H, W), window, (min(SH, rows - KH + 1), min(SW, columns - KW + 1)), pad)


def _too_large(function: str, image: Pair, window: Pair, pad: Pair) -> ValueError:
    axis = 0 if image[0] + 2 * pad[0] < window[0] else 1
    length, width, border = image[axis], window[axis], pad[axis]
    return ValueError(
        f"{function}: the window does not fit: its {('height', 'width')[axis]} = {width} exceeds the padded image's "
        f"{length} + 2*{border} = {length + 2 * border}; expected it to fit at least once; "
        f"use pad={-((length - width) // 2)} or a smaller window"
    )


def cropped(x: np.ndarray, geometry: Geometry) -> tuple:
    """Images without the padding that lies between windows, for a convolution of equal results.

    Where windows do not meet and whole steps lie in the padding, an axis is reduced to what the windows read: they then
    follow one another, and there is no padding. Returns images, their geometry, and what `uncropped` needs; these are
    the arguments, and None, where that is not so.
    """
    (KH, KW), (SH, SW), (PH, PW) = geometry.window, geometry.stride, geometry.pad
    if (SH <= KH or PH < SH) and (SW <= KW or PW < SW):  # found out fast: small layers wait for it
        return x, geometry, None
    rows, columns = (_cropped_axis(*lengths) for lengths in zip(*geometry, geometry.out, strict=True))
    small = Geometry(*zip(rows[0], columns[0], strict=True))
    out = np.zeros((*x.shape[:2], *small.image), x.dtype)
    to, of = ((slice(None), slice(None), rows[axis][:, None], columns[axis]) for axis in (1, 2))
    out[to] = x[of]
    return out, small, (x.shape, to, of)


def _cropped_axis(length, width, step, border, count):
    """The lengths of a geometry on one axis, where its rows go to, and where they come from."""
    read, lengths = np.arange(length), (length, width, step, border)
    if step > width and border >= step:
        read = (np.arange(count)[:, None] * step + np.arange(width)).ravel() - border
        lengths = read.size, width, width, 0
    inside = np.flatnonzero((read >= 0) & (read < length))
    return lengths, inside, read[inside]


def uncropped(dx: np.ndarray | None, places: tuple | None) -> np.ndarray | None:
    """The gradient of the images that `cropped` was given, from that of those that it returned."""
    if dx is None or places is None:
        return dx
    shape, to, of = places
    out = np.zeros(shape, dx.dtype)
    out[of] = dx[to]
    return out

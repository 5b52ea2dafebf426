"""Where the windows of a convolution or a pooling lie: the geometry, as one value."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from . import validation

Pair = tuple[int, int]  # (height, width)

# What the public functions call the fields of the geometries that variants get in place of these arguments.
FIELDS = {
    "geometry": {"size": "window", "stride": "stride", "pad": "pad", "dilation": "dilation"},
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
    dilation: Pair = (1, 1)  # of a single row or column it is 1

    @property
    def extent(self) -> Pair:
        """The rows and columns from the first of a window to its last: dilation * (KH - 1) + 1."""
        (KH, KW), (DH, DW) = self.window, self.dilation
        return DH * (KH - 1) + 1, DW * (KW - 1) + 1

    @property
    def out(self) -> Pair:
        """OH, OW = 1 + (H + 2 * pad - dilation * (KH - 1) - 1) // stride, and the same for columns.

        Rows and columns at the end that no window reaches are ignored, as in PyTorch and cuDNN.
        """
        (H, W), (KH, KW), (SH, SW), (PH, PW), (DH, DW) = self
        return 1 + (H + 2 * PH - DH * (KH - 1) - 1) // SH, 1 + (W + 2 * PW - DW * (KW - 1) - 1) // SW


def checked(function: str, x_shape: tuple, window: Pair, stride: object, pad: object, dilation: object = 1) -> Geometry:
    """The geometry of windows over images x of this shape. stride, pad, dilation: an integer or a (height, width) pair.

    Raises TypeError and ValueError for values that cannot be, ValueError where no window fits, or where no memory holds
    the padded images.
    """
    SH, SW = validation.pair(function, "stride", stride, minimum=1)
    PH, PW = pad = validation.pair(function, "pad", pad, minimum=0)
    DH, DW = validation.pair(function, "dilation", dilation, minimum=1)
    (N, C, H, W), (KH, KW) = x_shape, window
    DH, DW = DH if KH > 1 else 1, DW if KW > 1 else 1
    rows, columns = H + 2 * PH, W + 2 * PW
    last = rows - DH * (KH - 1) - 1, columns - DW * (KW - 1) - 1  # where the last window may begin, with stride 1
    if min(last) < 0:
        raise _too_large(function, Geometry((H, W), window, (SH, SW), pad, (DH, DW)))
    validation.fits(function, "pad", pad, max(N, 1) * max(C, 1) * rows * columns)
    return Geometry((H, W), window, (min(SH, last[0] + 1), min(SW, last[1] + 1)), pad, (DH, DW))


def _too_large(function: str, geometry: Geometry) -> ValueError:
    axis = 0 if geometry.image[0] + 2 * geometry.pad[0] < geometry.extent[0] else 1
    length, width, _, border, dilation = (pair[axis] for pair in geometry)
    extent, why = geometry.extent[axis], ""
    if dilation > 1:
        why = f" ({width} {('rows', 'columns')[axis]} with dilation={dilation})"
    return ValueError(
        f"{function}: the window does not fit: its {('height', 'width')[axis]} = {extent}{why} exceeds the padded "
        f"image's {length} + 2*{border} = {length + 2 * border}; expected it to fit at least once; "
        f"use pad={-((length - extent) // 2)} or a smaller window"
    )


def cropped(x: np.ndarray, geometry: Geometry) -> tuple:
    """Images without the padding that no window reads, for a convolution of equal results.

    Where windows do not meet, or the rows of a window lie farther apart than all windows reach, and whole steps lie in
    the padding, an axis is reduced to what is read: the pieces then follow one another, and there is no padding.
    Returns images, their geometry, and what `uncropped` needs; these are the arguments, and None, where that is not so.
    """
    (KH, KW), (SH, SW), (PH, PW) = geometry.window, geometry.stride, geometry.pad
    if geometry.dilation == (1, 1) and (SH <= KH or PH < SH) and (SW <= KW or PW < SW):
        return x, geometry, None  # found out fast: small layers wait for it
    rows, columns = (_cropped_axis(*lengths) for lengths in zip(*geometry, geometry.out, strict=True))
    small = Geometry(*zip(rows[0], columns[0], strict=True))
    if small == geometry:
        return x, geometry, None
    out = np.zeros((*x.shape[:2], *small.image), x.dtype)
    to, of = ((slice(None), slice(None), rows[axis][:, None], columns[axis]) for axis in (1, 2))
    out[to] = x[of]
    return out, small, (x.shape, to, of)


def _cropped_axis(length, width, step, border, dilation, count):
    """The lengths of a geometry on one axis, where its rows go to, and where they come from."""
    read, lengths = np.arange(length), (length, width, step, border, dilation)
    extent, reach = dilation * (width - 1) + 1, step * (count - 1) + 1
    if step > extent and border >= step:  # a piece for each window
        read = (np.arange(count)[:, None] * step + np.arange(extent)).ravel() - border
        lengths = read.size, width, extent, 0, dilation
    elif dilation > reach and border >= dilation:  # a piece for each row of the filter
        read = (np.arange(width)[:, None] * dilation + np.arange(reach)).ravel() - border
        lengths = read.size, width, step, 0, reach
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

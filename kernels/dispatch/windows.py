"""The geometry of a convolution or a pooling: window size, stride, padding and dilation in one value."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from . import validation

Pair = tuple[int, int]  # (height, width)

# Arguments of public functions that variants take as fields of one geometry: {geometry: {argument: field}}.
FIELDS = {
    "geometry": {"size": "window", "stride": "stride", "pad": "pad", "dilation": "dilation"},
    "pooling": {"pool_size": "window", "pool_stride": "stride"},
}


def inner(parameters: Iterable[str]) -> list[str]:
    """Return the parameters of a variant, given those of the public function."""
    whole = {part: name for name, parts in FIELDS.items() for part in parts}
    return list(dict.fromkeys(whole.get(name, name) for name in parameters))


class Geometry(NamedTuple):
    """The windows of a convolution or a pooling over images, made by `checked`; every field is (height, width)."""

    image: Pair  # H, W
    window: Pair  # KH, KW
    stride: Pair  # at most one past the last position: larger strides are equivalent, and this fits in 64 bits
    pad: Pair
    dilation: Pair = (1, 1)  # 1 for a window of one row or column

    @property
    def extent(self) -> Pair:
        """The rows and columns that a window spans: dilation * (KH - 1) + 1."""
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
    """Return the geometry of windows over images x. stride, pad, dilation: an integer or a (height, width) pair.

    Raises TypeError or ValueError for invalid values, and ValueError if no window fits or the padded images do not fit
    in memory.
    """
    SH, SW = validation.pair(function, "stride", stride, minimum=1)
    PH, PW = pad = validation.pair(function, "pad", pad, minimum=0)
    DH, DW = validation.pair(function, "dilation", dilation, minimum=1)
    (N, C, H, W), (KH, KW) = x_shape, window
    DH, DW = DH if KH > 1 else 1, DW if KW > 1 else 1
    rows, columns = H + 2 * PH, W + 2 * PW
    last = rows - DH * (KH - 1) - 1, columns - DW * (KW - 1) - 1  # the last position of a window with stride 1
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
    """Remove rows and columns that no window reads from images, without changing the convolution.

    An axis is reduced if whole steps lie in the padding and either windows do not touch, or the rows of a window are
    farther apart than the windows reach. The parts that are read are then joined, without padding.
    Returns the images, their geometry, and the argument for `uncropped`; these are x, geometry and None if nothing is
    removed.
    """
    (KH, KW), (SH, SW), (PH, PW) = geometry.window, geometry.stride, geometry.pad
    if geometry.dilation == (1, 1) and (SH <= KH or PH < SH) and (SW <= KW or PW < SW):
        return x, geometry, None  # fast path for small layers
    rows, columns = (_cropped_axis(*lengths) for lengths in zip(*geometry, geometry.out, strict=True))
    small = Geometry(*zip(rows[0], columns[0], strict=True))
    if small == geometry:
        return x, geometry, None
    out = np.zeros((*x.shape[:2], *small.image), x.dtype)
    to, of = ((slice(None), slice(None), rows[axis][:, None], columns[axis]) for axis in (1, 2))
    out[to] = x[of]
    return out, small, (x.shape, to, of)


def _cropped_axis(length, width, step, border, dilation, count):
    """Return the geometry of one cropped axis, and the target and source indices of its rows."""
    read, lengths = np.arange(length), (length, width, step, border, dilation)
    extent, reach = dilation * (width - 1) + 1, step * (count - 1) + 1
    if step > extent and border >= step:  # one part per window
        read = (np.arange(count)[:, None] * step + np.arange(extent)).ravel() - border
        lengths = read.size, width, extent, 0, dilation
    elif dilation > reach and border >= dilation:  # one part per row of the filter
        read = (np.arange(width)[:, None] * dilation + np.arange(reach)).ravel() - border
        lengths = read.size, width, step, 0, reach
    inside = np.flatnonzero((read >= 0) & (read < length))
    return lengths, inside, read[inside]


def uncropped(dx: np.ndarray | None, crop: tuple | None) -> np.ndarray | None:
    """Return the gradient of the images passed to `cropped`, given that of the images it returned."""
    if dx is None or crop is None:
        return dx
    shape, to, of = crop
    out = np.zeros(shape, dx.dtype)
    out[of] = dx[to]
    return out

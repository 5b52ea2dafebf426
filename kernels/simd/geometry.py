"""Where everything lies when a convolution runs on register tiles. Worked out once per geometry, in NumPy.

An image is copied into zero-bordered planes, one per channel, so that no tap asks whether it is inside. A stride s is
undone on the way: rows and columns are dealt out to s x s phases, and within a phase every stride is 1. Tap
k = (c, kh, kw) of the output at row i, column j then lies at

    offsets[k] + i*row + j,   offsets[k] = plane of (c, kh mod s, kw mod s) + (kh div s)*row + kw div s

the same for every output, which is all that a tile needs to know (an implicit matrix product; no im2col). A tile works
on vectors of neighbouring outputs: `positions` lists where they begin. Where a row holds whole vectors they go straight
to the output ("direct"); else they run on over the ends of rows through one flat plane, and rows are copied from there.
"""

import functools
from typing import NamedTuple

import numpy as np

from .host import dot_tile, outer_tile

INDEX = np.int64
BLOCK_BYTES = 512 * 1024  # of planes that a thread works on at a time: half of a usual second-level cache
DOT_VECTORS = 96  # in one dot product; four such rows of d stay in the first-level cache


class Shape(NamedTuple):
    """The numbers that define a convolution, but for the number of images."""

    C: int
    H: int
    W: int
    F: int
    KH: int
    KW: int
    SH: int
    SW: int
    PH: int
    PW: int

    @property
    def OH(self) -> int:
        return 1 + (self.H + 2 * self.PH - self.KH) // self.SH

    @property
    def OW(self) -> int:
        return 1 + (self.W + 2 * self.PW - self.KW) // self.SW


class Planes(NamedTuple):
    """The zero-bordered planes of an image. Kernels see it, so it is flat: numba's threads pass no nested tuples."""

    C: int
    H: int
    W: int
    SH: int
    SW: int
    PH: int
    PW: int
    row: int  # elements in a row
    plane: int  # in a plane, of which there are C*SH*SW
    image: int  # in all of them, with slack behind


class Gradients(NamedTuple):
    """The zero-bordered planes of dout, one per filter, F rounded up to whole tiles."""

    filters: int
    row: int
    plane: int
    image: int
    start: int  # where output (0, 0) lies in a plane


class Output(NamedTuple):
    """What the outer tile writes over a block of images."""

    images: int  # in a block
    vectors: int  # of one image
    positions: np.ndarray  # where the vectors of a block begin in its planes
    places: np.ndarray  # where they go: in the output if direct, else in a scratch plane
    direct: bool
    row: int  # of the scratch plane
    plane: int  # of the scratch plane, one per image


class Dots(NamedTuple):
    """What the dot tile reads over a block of images."""

    images: int
    vectors: int  # of one image
    x_positions: np.ndarray
    d_positions: np.ndarray


class Forward(NamedTuple):
    """The plan of a forward pass."""

    planes: Planes
    offsets: np.ndarray
    out: Output


class Backward(NamedTuple):
    """The plan of dw and db."""

    planes: Planes
    gradients: Gradients
    offsets: np.ndarray  # rounded up to whole tiles
    dots: Dots


class Phase(NamedTuple):
    """The rows and columns of dx with one remainder modulo the stride: a convolution of its own."""

    top: int
    left: int
    rows: int
    columns: int
    taps: np.ndarray  # (K, 2): filter and place kh*KW + kw of each tap
    offsets: np.ndarray  # of the taps in the planes of the gradient
    out: Output


@functools.lru_cache(maxsize=256)
def forward(shape: Shape, dtype: np.dtype) -> Forward:
    """The plan of a forward pass."""
    tile = outer_tile(dtype)
    row = _row(shape)
    planes = _x_planes(shape, row, tile.lanes)
    out = _output(shape.OH, shape.OW, row, planes.image, shape.OW, tile, BLOCK_BYTES // dtype.itemsize)
    return Forward(planes, _x_offsets(shape, planes), out)


@functools.lru_cache(maxsize=256)
def backward(shape: Shape, dtype: np.dtype, need_dx: bool) -> Backward:
    """The plan of dw and db; the planes of the gradient have borders only if dx is needed as well."""
    tile = dot_tile(dtype)
    row = _row(shape)
    x = _x_planes(shape, row, tile.lanes)
    whole_vectors = shape.OW % tile.lanes == 0
    d_row = row
    if whole_vectors:
        d_row = _round_up(row, tile.lanes) if need_dx else shape.OW
    positions = _cover(shape.OH, shape.OW, row, tile.lanes)
    d_positions = [position // row * d_row + position % row for position in positions] if whole_vectors else positions
    start, d_plane = _d_layout(shape, d_row, tile.lanes, need_dx)
    filters = _round_up(shape.F, tile.rows)
    d = Gradients(filters, d_row, d_plane, filters * d_plane + 2 * tile.lanes, start)
    images = max(1, min(DOT_VECTORS // len(positions), BLOCK_BYTES // dtype.itemsize // (x.image + d.image)))
    offsets = _x_offsets(shape, x)
    offsets = np.concatenate([offsets, np.repeat(offsets[-1:], -offsets.size % tile.vectors)])
    at_x = _for_each_image(positions, images, x.image)
    at_d = _for_each_image([start + position for position in d_positions], images, d.image)
    return Backward(x, d, offsets, Dots(images, len(positions), at_x, at_d))


@functools.lru_cache(maxsize=256)
def input_phases(shape: Shape, dtype: np.dtype) -> tuple[Phase, ...]:
    """The phases of dx. Rows and columns that no output read belong to no phase: dx is zero there."""
    plan, tile = backward(shape, dtype, True), outer_tile(dtype)
    d, phases = plan.gradients, []
    for a in range(min(shape.SH, shape.KH)):
        for b in range(min(shape.SW, shape.KW)):
            kh, kw = np.arange(a, shape.KH, shape.SH), np.arange(b, shape.KW, shape.SW)
            u0, u1 = -((a - shape.PH) // shape.SH), (shape.PH + shape.H - 1 - a) // shape.SH
            v0, v1 = -((b - shape.PW) // shape.SW), (shape.PW + shape.W - 1 - b) // shape.SW
            rows, columns = u1 - u0 + 1, v1 - v0 + 1
            if rows <= 0 or columns <= 0:
                continue
            f, kh, kw = (axis.ravel() for axis in np.meshgrid(np.arange(shape.F), kh, kw, indexing="ij"))
            first_row, first_column = u0 - kh // shape.SH, v0 - kw // shape.SW
            offsets = d.start + f * d.plane + first_row * d.row + first_column
            width = shape.W if (shape.SH, shape.SW) == (1, 1) else None
            out = _output(rows, columns, d.row, d.image, width, tile, 0, plan.dots.images)
            taps = np.stack([f, kh * shape.KW + kw], axis=1)
            top, left = u0 * shape.SH + a - shape.PH, v0 * shape.SW + b - shape.PW
            phases.append(Phase(top, left, rows, columns, taps.astype(INDEX), offsets.astype(INDEX), out))
    return tuple(phases)


def _round_up(count: int, step: int) -> int:
    return -(-count // step) * step


def _row(shape: Shape) -> int:
    """Elements in a row, the same for the planes of x and of d, so that one flat position means one output in both.

    It is just the padded row: OW plus the reach of a filter never exceed it, so in the planes of d a tap that leaves a
    row on either side meets the gap of zeros.
    """
    return -(-(shape.W + 2 * shape.PW) // shape.SW)


def _x_planes(shape: Shape, row: int, lanes: int) -> Planes:
    rows = -(-(shape.H + 2 * shape.PH) // shape.SH)
    plane = rows * row
    reach = (shape.KH - 1) // shape.SH * row + (shape.KW - 1) // shape.SW
    image = shape.C * shape.SH * shape.SW * plane + reach + row + 2 * lanes
    s = shape
    return Planes(s.C, s.H, s.W, s.SH, s.SW, s.PH, s.PW, row, plane, image)


def _x_offsets(shape: Shape, planes: Planes) -> np.ndarray:
    c, kh, kw = np.meshgrid(np.arange(shape.C), np.arange(shape.KH), np.arange(shape.KW), indexing="ij")
    plane = (c * shape.SH + kh % shape.SH) * shape.SW + kw % shape.SW
    return (plane * planes.plane + kh // shape.SH * planes.row + kw // shape.SW).ravel().astype(INDEX)


def _d_layout(shape: Shape, row: int, lanes: int, borders: bool) -> tuple[int, int]:
    """Where output (0, 0) lies in a plane of the gradient, and the elements of a plane.

    With borders there is room for the reach of a filter above and left of it, and it lies at the start of a vector.
    """
    start, rows = 0, shape.OH
    if borders:
        start = _round_up((shape.KH - 1) // shape.SH * row + (shape.KW - 1) // shape.SW, lanes)
        rows = max(rows, (shape.PH + shape.H - 1) // shape.SH + 1)
    plane = _round_up(start + rows * row, lanes) + lanes
    return start, plane + (lanes if plane % 1024 == 0 else 0)  # planes 4 KiB apart would share cache lines


def _cover(rows: int, columns: int, row: int, lanes: int) -> list[int]:
    """Where vectors begin that cover every output of a flat plane once: each at the first output not yet covered."""
    positions, covered = [], 0
    for i in range(rows):
        position = max(i * row, covered)
        while position < i * row + columns:
            positions.append(position)
            position = covered = position + lanes
    return positions


def _output(rows, columns, row, image, width, tile, budget, images=None) -> Output:
    """Vectors over rows x columns outputs in planes of `row` elements, one image every `image` elements.

    `width` is the row length of the array that vectors may go to directly, None where they may not.
    """
    flat = _cover(rows, columns, row, tile.lanes)
    in_row = [*range(0, columns - tile.lanes + 1, tile.lanes)]
    if columns >= tile.lanes and columns % tile.lanes:
        in_row.append(columns - tile.lanes)  # the last vector overlaps the one before
    if width is not None and in_row and rows * len(in_row) <= 1.1 * len(flat):
        positions = [i * row + j for i in range(rows) for j in in_row]
        places = [i * width + j for i in range(rows) for j in in_row]
        rest = -len(positions) % tile.vectors
        positions, places = positions + positions[-1:] * rest, places + places[-1:] * rest
        return Output(1, len(positions), _table(positions), _table(places), True, width, rows * width)
    plane = _round_up(rows * row + tile.lanes, tile.lanes)
    plane += tile.lanes if plane % 1024 == 0 else 0
    if images is None:
        waste = [
            (-len(flat) * n % tile.vectors / (len(flat) * n), n) for n in range(1, max(2, min(9, budget // image)))
        ]
        images = min(waste)[1]
    starts, targets = _for_each_image(flat, images, image), _for_each_image(flat, images, plane)
    rest = -starts.size % tile.vectors
    starts, targets = (np.concatenate([table, np.repeat(table[-1:], rest)]) for table in (starts, targets))
    return Output(images, len(flat), starts, targets, False, row, plane)


def _for_each_image(positions: list[int], images: int, stride: int) -> np.ndarray:
    return (np.arange(images)[:, None] * stride + np.array(positions)).ravel().astype(INDEX)


def _table(values: list[int]) -> np.ndarray:
    return np.array(values, dtype=INDEX)

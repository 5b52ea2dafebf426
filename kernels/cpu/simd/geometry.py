"""Where everything lies when a convolution runs on register tiles. Worked out once per geometry, in NumPy.

An image is copied into zero-bordered planes, one per channel, so that no tap asks whether it is inside. A stride s is
undone on the way: rows and columns are dealt out to s x s phases, and within a phase every stride is 1. Tap
k = (c, kh, kw) of the output at row i, column j then lies at

    offsets[k] + i*row + j,   offsets[k] = plane of (c, h mod s, w mod s) + (h div s)*row + w div s

with h = kh*dilation, w = kw*dilation: the same for every output, which is all that a tile needs to know (an implicit
matrix product; no im2col). A tile works on vectors of neighbouring outputs: `positions` lists where they begin. Where a
row holds whole vectors they go straight to the output ("direct"); else they run on over the ends of rows through one
flat plane, and rows are copied from there.

Where rows are much shorter than a vector, `together` images form a group and are interleaved element by element: a row
is then `together` times as long, every number above is multiplied by it, and the rest stays as it was.
"""

import functools
import math
from typing import NamedTuple

import numpy as np

from ...dispatch.windows import Geometry
from .cpu_info import dot_tile, lanes, outer_tile

INDEX = np.int64
BLOCK_BYTES = 512 * 1024  # of planes that a thread works on at a time: half of a usual second-level cache
DOT_VECTORS = 64  # in one dot product, more or less: enough to make little of adding up lanes
GROUPS = 8  # wanted at least, to keep cores busy


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
    DH: int = 1
    DW: int = 1

    @property
    def OH(self) -> int:
        return 1 + (self.H + 2 * self.PH - self.DH * (self.KH - 1) - 1) // self.SH

    @property
    def OW(self) -> int:
        return 1 + (self.W + 2 * self.PW - self.DW * (self.KW - 1) - 1) // self.SW

    @property
    def reach(self) -> tuple[int, int]:
        """How many rows and columns of a phase the last tap of a filter lies behind the first."""
        return self.DH * (self.KH - 1) // self.SH, self.DW * (self.KW - 1) // self.SW

    @property
    def reads_all(self) -> bool:
        """Whether taps fall into every phase, so that no row or column lies between all windows."""
        rows, columns = math.gcd(self.SH, self.DH), math.gcd(self.SW, self.DW)
        return self.SH <= self.KH and self.SW <= self.KW and rows == columns == 1

    @property
    def is_plain(self) -> bool:
        """Whether a tap is never outside and outputs are as close as inputs."""
        return (self.SH, self.SW, self.PH, self.PW) == (1, 1, 0, 0)


def shape_of(x: np.ndarray, w: np.ndarray, geometry: Geometry) -> Shape:
    """The convolution of images x with filters w."""
    return Shape(
        x.shape[1], *geometry.image, w.shape[0], *geometry.window, *geometry.stride, *geometry.pad, *geometry.dilation
    )


class Planes(NamedTuple):
    """The zero-bordered planes of a group of images. Kernels see it, so it is flat: numba takes no nested tuples."""

    C: int
    H: int
    W: int
    SH: int
    SW: int
    together: int
    row: int  # elements in a row
    plane: int  # in a plane, of which there are C*SH*SW
    group: int  # in all of them, with slack behind
    lines: np.ndarray  # where row h of an image goes in its channel's planes
    columns: np.ndarray  # where column w < SW goes in that row, and how many columns go with it
    in_place: bool  # the images themselves lie so, and no vector reaches beyond them


class Gradients(NamedTuple):
    """The zero-bordered planes of dout, one per filter."""

    together: int
    row: int
    plane: int
    group: int
    start: int  # where output (0, 0) lies in a plane
    in_place: bool  # dout itself lies so, where no ReLU or pooling has to be undone first


class Output(NamedTuple):
    """What the outer tile writes over a block of groups."""

    rows: int  # of a tile
    tile_vectors: int  # of a tile
    groups: int  # in a block
    vectors: int  # of one group
    positions: np.ndarray  # where the vectors of a block begin in its planes
    places: np.ndarray  # where they go: in the output if direct, else in a scratch plane
    direct: bool
    row: int  # of the scratch plane
    plane: int  # of the scratch plane, one per group


class Dots(NamedTuple):
    """What the dot tile reads over a block of groups."""

    rows: int  # of a tile
    tile_vectors: int  # of a tile
    lanes: int
    groups: int
    vectors: int  # of one group
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
def images_together(shape: Shape, images: int, dtype: np.dtype) -> int:
    """How many images of a batch to interleave: what leaves the fewest lanes unused, 1 where it is close."""
    if not images * shape.OH * shape.OW:
        return 1
    width, row, size = lanes(dtype), _row(shape), shape.C * shape.H * shape.W * dtype.itemsize
    best, best_share = 1, 0.0
    for together in (1, 2, 4, 8, 16):
        groups = -(-images // together)
        if together > 1 and (groups < GROUPS or together > width or together * size > BLOCK_BYTES // 2):
            break
        vectors = len(_cover(shape.OH, shape.OW * together, row * together, width))
        share = images / groups * shape.OH * shape.OW / (vectors * width) * (1.0 if together == 1 else 0.94)
        if share > 1.02 * best_share:
            best, best_share = together, share
    return best


@functools.lru_cache(maxsize=256)
def forward(shape: Shape, dtype: np.dtype, together: int) -> Forward:
    """The plan of a forward pass."""
    tile = outer_tile(shape.F, shape.C * shape.KH * shape.KW, dtype)
    planes = _x_planes(shape, together, tile.lanes)
    width = shape.OW if together == 1 else None
    budget = BLOCK_BYTES // dtype.itemsize
    out = _output(shape.OH, shape.OW * together, planes.row, planes.group, width, tile, budget)
    if out.direct and shape.is_plain:
        planes = _in_place(planes)
    return Forward(planes, _x_offsets(shape, planes), out)


@functools.lru_cache(maxsize=256)
def backward(shape: Shape, dtype: np.dtype, need_dx: bool, together: int) -> Backward:
    """The plan of dw and db; the planes of the gradient have borders only if dx is needed as well."""
    tile, width = dot_tile(shape.F, dtype), lanes(dtype)
    x = _x_planes(shape, together, width)
    columns = shape.OW * together
    whole_vectors = columns % width == 0
    dense = whole_vectors and (not need_dx or (shape.is_plain and shape.KH == shape.KW == 1))
    d_row = columns if dense else _round_up(x.row, width) if whole_vectors else x.row
    positions = _cover(shape.OH, columns, x.row, width)
    d_positions = [position // x.row * d_row + position % x.row for position in positions]
    start, plane = (0, shape.OH * columns) if dense else _d_layout(shape, d_row, width, need_dx, together)
    in_place = dense and together == 1
    d = Gradients(together, d_row, plane, shape.F * plane + (0 if dense else 2 * width), start, in_place)
    if whole_vectors and together == 1 and shape.is_plain:
        x = _in_place(x)
    groups = max(1, min(DOT_VECTORS // len(positions), BLOCK_BYTES // dtype.itemsize // (x.group + d.group)))
    offsets = _x_offsets(shape, x)
    offsets = np.concatenate([offsets, np.repeat(offsets[-1:], -offsets.size % tile.vectors)])
    at_x = _for_each_group(positions, groups, x.group)
    at_d = _for_each_group([start + position for position in d_positions], groups, d.group)
    return Backward(x, d, offsets, Dots(*tile, groups, len(positions), at_x, at_d))


@functools.lru_cache(maxsize=256)
def input_phases(shape: Shape, dtype: np.dtype, together: int) -> tuple[Phase, ...]:
    """The phases of dx. Rows and columns that no output read belong to no phase: dx is zero there."""
    plan, tile = backward(shape, dtype, True, together), outer_tile(shape.C, shape.F * shape.KH * shape.KW, dtype)
    d, phases = plan.gradients, []
    heights, widths = np.arange(shape.KH) * shape.DH, np.arange(shape.KW) * shape.DW
    for a in np.unique(heights % shape.SH).tolist():
        for b in np.unique(widths % shape.SW).tolist():
            kh, kw = np.flatnonzero(heights % shape.SH == a), np.flatnonzero(widths % shape.SW == b)
            u0, u1 = -((a - shape.PH) // shape.SH), (shape.PH + shape.H - 1 - a) // shape.SH
            v0, v1 = -((b - shape.PW) // shape.SW), (shape.PW + shape.W - 1 - b) // shape.SW
            rows, columns = u1 - u0 + 1, v1 - v0 + 1
            if rows <= 0 or columns <= 0:
                continue
            f, kh, kw = (axis.ravel() for axis in np.meshgrid(np.arange(shape.F), kh, kw, indexing="ij"))
            first_row, first_column = u0 - kh * shape.DH // shape.SH, v0 - kw * shape.DW // shape.SW
            offsets = d.start + f * d.plane + first_row * d.row + first_column * together
            width = shape.W if (shape.SH, shape.SW, together) == (1, 1, 1) else None
            out = _output(rows, columns * together, d.row, d.group, width, tile, 0, plan.dots.groups)
            taps = np.stack([f, kh * shape.KW + kw], axis=1)
            top, left = u0 * shape.SH + a - shape.PH, v0 * shape.SW + b - shape.PW
            phases.append(Phase(top, left, rows, columns, taps.astype(INDEX), offsets.astype(INDEX), out))
    return tuple(phases)


def _round_up(count: int, step: int) -> int:
    return -(-count // step) * step


def _row(shape: Shape) -> int:
    """Places in a row, the same for the planes of x and of d, so that one flat position means one output in both.

    It is just the padded row: OW plus the reach of a filter never exceed it, so in the planes of d a tap that leaves a
    row on either side meets the gap of zeros.
    """
    return -(-(shape.W + 2 * shape.PW) // shape.SW)


def _x_planes(shape: Shape, together: int, width: int) -> Planes:
    row = _row(shape) * together
    rows = -(-(shape.H + 2 * shape.PH) // shape.SH)
    plane = rows * row
    reach = shape.reach[0] * row + shape.reach[1] * together
    group = shape.C * shape.SH * shape.SW * plane + reach + row + 2 * width
    h, w = np.arange(shape.H) + shape.PH, np.arange(min(shape.SW, shape.W)) + shape.PW
    lines = h % shape.SH * shape.SW * plane + h // shape.SH * row
    places = w % shape.SW * plane + w // shape.SW * together
    counts = (shape.W + shape.SW - 1 - np.arange(w.size)) // shape.SW
    tables = lines.astype(INDEX), np.stack([places, counts], axis=1).astype(INDEX)
    return Planes(shape.C, shape.H, shape.W, shape.SH, shape.SW, together, row, plane, group, *tables, False)


def _in_place(planes: Planes) -> Planes:
    return planes._replace(group=planes.C * planes.plane, in_place=True)


def _x_offsets(shape: Shape, planes: Planes) -> np.ndarray:
    c, kh, kw = np.meshgrid(np.arange(shape.C), np.arange(shape.KH), np.arange(shape.KW), indexing="ij")
    h, w = kh * shape.DH, kw * shape.DW
    plane = (c * shape.SH + h % shape.SH) * shape.SW + w % shape.SW
    place = plane * planes.plane + h // shape.SH * planes.row + w // shape.SW * planes.together
    return place.ravel().astype(INDEX)


def _d_layout(shape: Shape, row: int, width: int, borders: bool, together: int) -> tuple[int, int]:
    """Where output (0, 0) lies in a plane of the gradient, and the elements of a plane.

    With borders there is room for the reach of a filter above and left of it, and it lies at the start of a vector.
    """
    start, rows = 0, shape.OH
    if borders:
        start = _round_up(shape.reach[0] * row + shape.reach[1] * together, width)
        rows = max(rows, (shape.PH + shape.H - 1) // shape.SH + 1)
    plane = _round_up(start + rows * row, width) + width
    return start, plane + (width if plane % 1024 == 0 else 0)  # planes 4 KiB apart would share cache lines


def _cover(rows: int, columns: int, row: int, lanes: int) -> list[int]:
    """Where vectors begin that cover every output of a flat plane once: each at the first output not yet covered."""
    positions, covered = [], 0
    for i in range(rows):
        position = max(i * row, covered)
        while position < i * row + columns:
            positions.append(position)
            position = covered = position + lanes
    return positions


def _output(rows, columns, row, group, width, tile, budget, groups=None) -> Output:
    """Vectors over rows x columns outputs in planes of `row` elements, one group every `group` elements.

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
        tables = _table(positions), _table(places)
        return Output(tile.rows, tile.vectors, 1, len(positions), *tables, True, width, rows * width)
    dense = columns % tile.lanes == 0  # whole vectors: no gaps need be kept in the scratch plane
    places = [position // row * columns + position % row for position in flat] if dense else flat
    row = columns if dense else row
    plane = _round_up(rows * row + tile.lanes, tile.lanes)
    plane += tile.lanes if plane % 1024 == 0 else 0
    if groups is None:
        waste = [
            (-len(flat) * n % tile.vectors / (len(flat) * n), n) for n in range(1, max(2, min(9, budget // group)))
        ]
        groups = min(waste)[1]
    starts, targets = _for_each_group(flat, groups, group), _for_each_group(places, groups, plane)
    rest = -starts.size % tile.vectors
    starts, targets = (np.concatenate([table, np.repeat(table[-1:], rest)]) for table in (starts, targets))
    return Output(tile.rows, tile.vectors, groups, len(flat), starts, targets, False, row, plane)


def _for_each_group(positions: list[int], groups: int, stride: int) -> np.ndarray:
    return (np.arange(groups)[:, None] * stride + np.array(positions)).ravel().astype(INDEX)


def _table(values: list[int]) -> np.ndarray:
    return np.array(values, dtype=INDEX)

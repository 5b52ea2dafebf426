"""Memory layout of a convolution on register tiles, computed in NumPy once per geometry.

An image is copied into zero-padded planes, one per channel, so that taps need no bounds checks. The copy removes a
stride s: rows and columns are distributed over s x s phases, and within a phase every stride is 1. Tap k = (c, kh, kw)
of the output at row i, column j is then at

    offsets[k] + i*row + j,   offsets[k] = plane of (c, h mod s, w mod s) + (h div s)*row + w div s

with h = kh*dilation, w = kw*dilation. The offsets are the same for every output, so a tile needs nothing else (an
implicit matrix product without im2col). A tile computes vectors of adjacent outputs, which begin at `positions`. If a
row consists of whole vectors they are written directly to the output ("direct"); else vectors continue across the ends
of rows in a flat scratch plane, from which the rows are copied.

If rows are much shorter than a vector, `together` images form a group and are interleaved element by element: a row is
then `together` times as long and every number above is multiplied by it.
"""

import functools
import math
from typing import NamedTuple

import numpy as np

from ...dispatch.windows import Geometry
from . import sizes
from .cpu_info import Tile, dot_tile, lanes, outer_tile, tail_vectors

INDEX = np.int64
INTERLEAVED = 256 * 1024  # maximum bytes of images that are interleaved
DOT_VECTORS = 64  # approximate length of a dot product; amortizes the sum over lanes
SHORT_DOT = 24  # a length for which planes may take twice as much memory
GROUPS = 8  # minimum number of groups, to keep cores busy


class Shape(NamedTuple):
    """The sizes that define a convolution, except the number of images."""

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
        """The distance from the first to the last tap of a filter, in rows and columns of a phase."""
        return self.DH * (self.KH - 1) // self.SH, self.DW * (self.KW - 1) // self.SW

    @property
    def reads_all(self) -> bool:
        """Whether every phase has taps, so that every row and column is read by some window."""
        rows, columns = math.gcd(self.SH, self.DH), math.gcd(self.SW, self.DW)
        return self.SH <= self.KH and self.SW <= self.KW and rows == columns == 1

    @property
    def is_plain(self) -> bool:
        """Whether there is no padding and the stride is 1."""
        return (self.SH, self.SW, self.PH, self.PW) == (1, 1, 0, 0)


def shape_of(x: np.ndarray, w: np.ndarray, geometry: Geometry) -> Shape:
    """Return the sizes of a convolution of images x with filters w."""
    return Shape(
        x.shape[1], *geometry.image, w.shape[0], *geometry.window, *geometry.stride, *geometry.pad, *geometry.dilation
    )


class Planes(NamedTuple):
    """The zero-padded planes of a group of images. It is passed to kernels, so it contains no nested tuples."""

    C: int
    H: int
    W: int
    SH: int
    SW: int
    together: int
    row: int  # elements in a row
    plane: int  # elements in a plane; there are C*SH*SW planes
    group: int  # elements in all planes, with slack at the end
    lines: np.ndarray  # target of row h of an image in its channel's planes
    columns: np.ndarray  # target of column w < SW in that row, and the number of columns in its phase
    in_place: bool  # the images already have this layout, and no vector reads beyond them


class Gradients(NamedTuple):
    """The zero-padded planes of dout, one per filter."""

    together: int
    row: int
    plane: int
    group: int
    start: int  # position of output (0, 0) in a plane
    in_place: bool  # dout already has this layout, if there is no fused ReLU or pooling


class Output(NamedTuple):
    """Outputs of the outer-product tile for a block of groups."""

    rows: int  # of a tile
    tile_vectors: int  # of a tile
    groups: int  # in a block
    vectors: int  # of one group
    positions: np.ndarray  # first elements of the vectors of a block in its planes
    targets: np.ndarray  # where they are written: in the output if direct, else in a scratch plane
    direct: bool
    row: int  # of the scratch plane
    plane: int  # of the scratch plane, one per group


class Dots(NamedTuple):
    """Inputs of the tile of dot products for a block of groups."""

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
    taps: np.ndarray  # (K, 2): filter and position kh*KW + kw of each tap
    offsets: np.ndarray  # of the taps in the planes of the gradient
    out: Output


@functools.lru_cache(maxsize=256)
def images_together(shape: Shape, images: int, dtype: np.dtype) -> int:
    """Return how many images of a batch to interleave: the number with the fewest unused lanes, 1 if it is close."""
    if not images * shape.OH * shape.OW:
        return 1
    width, row, size = lanes(dtype), _row(shape), shape.C * shape.H * shape.W * dtype.itemsize
    best, best_share = 1, 0.0
    for together in (1, 2, 4, 8, 16):
        groups = -(-images // together)
        if together > 1 and (groups < GROUPS or together > width or together * size > INTERLEAVED):
            break
        vectors = len(_cover(shape.OH, shape.OW * together, row * together, width))
        share = images / groups * shape.OH * shape.OW / (vectors * width) * (1.0 if together == 1 else 0.94)
        if share > 1.02 * best_share:
            best, best_share = together, share
    return best


@sizes.cached_plans(maxsize=256)
def forward(shape: Shape, dtype: np.dtype, together: int) -> Forward:
    """Return the plan of a forward pass."""
    tile = outer_tile(shape.F, shape.C * shape.KH * shape.KW, dtype)
    planes = _x_planes(shape, together, tile.lanes)
    width = shape.OW if together == 1 else None
    block = sizes.block_of(shape, dtype)
    out = _output(shape.OH, shape.OW * together, planes.row, planes.group, width, tile, block)
    if out.direct and shape.is_plain:
        planes = _in_place(planes)
    return Forward(planes, _x_offsets(shape, planes), out)


@sizes.cached_plans(maxsize=256)
def backward(shape: Shape, dtype: np.dtype, need_dx: bool, together: int) -> Backward:
    """Return the plan of dw and db; the planes of the gradient are padded only if dx is needed too."""
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
    fitting = [times * sizes.block_of(shape, dtype) // (x.group + d.group) for times in (1, 2)]
    wanted = DOT_VECTORS // len(positions), -(-SHORT_DOT // len(positions))
    groups = max(1, *map(min, fitting, wanted))
    offsets = _x_offsets(shape, x)
    offsets = np.concatenate([offsets, np.repeat(offsets[-1:], -offsets.size % tile.vectors)])
    at_x = _for_each_group(positions, groups, x.group)
    at_d = _for_each_group([start + position for position in d_positions], groups, d.group)
    return Backward(x, d, offsets, Dots(*tile, groups, len(positions), at_x, at_d))


@sizes.cached_plans(maxsize=256)
def input_phases(shape: Shape, dtype: np.dtype, together: int) -> tuple[Phase, ...]:
    """Return the phases of dx. Rows and columns that no output reads belong to no phase; dx is zero there."""
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
    """Return the length of a row in the planes of x and d, so that a flat position is the same output in both.

    It is the length of a padded row: OW plus the reach of a filter never exceeds it, so in the planes of d a tap beyond
    either end of a row reads zeros.
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
    columns = w % shape.SW * plane + w // shape.SW * together
    counts = (shape.W + shape.SW - 1 - np.arange(w.size)) // shape.SW
    tables = lines.astype(INDEX), np.stack([columns, counts], axis=1).astype(INDEX)
    return Planes(shape.C, shape.H, shape.W, shape.SH, shape.SW, together, row, plane, group, *tables, False)


def _in_place(planes: Planes) -> Planes:
    return planes._replace(group=planes.C * planes.plane, in_place=True)


def _x_offsets(shape: Shape, planes: Planes) -> np.ndarray:
    c, kh, kw = np.meshgrid(np.arange(shape.C), np.arange(shape.KH), np.arange(shape.KW), indexing="ij")
    h, w = kh * shape.DH, kw * shape.DW
    plane = (c * shape.SH + h % shape.SH) * shape.SW + w % shape.SW
    offsets = plane * planes.plane + h // shape.SH * planes.row + w // shape.SW * planes.together
    return offsets.ravel().astype(INDEX)


def _d_layout(shape: Shape, row: int, width: int, borders: bool, together: int) -> tuple[int, int]:
    """Return the position of output (0, 0) in a plane of the gradient, and the number of elements of a plane.

    With borders there is padding for the reach of a filter above and to the left, and the position is a multiple of the
    vector length.
    """
    start, rows = 0, shape.OH
    if borders:
        start = _round_up(shape.reach[0] * row + shape.reach[1] * together, width)
        rows = max(rows, (shape.PH + shape.H - 1) // shape.SH + 1)
    vectors = -(-(start + rows * row) // width) + 1
    return start, (vectors | 1) * width  # an odd number: planes a power of two apart would share cache lines


def _cover(rows: int, columns: int, row: int, lanes: int) -> list[int]:
    """Return the starts of vectors that cover all outputs of a flat plane: each at the first output not covered yet."""
    positions, covered = [], 0
    for i in range(rows):
        position = max(i * row, covered)
        while position < i * row + columns:
            positions.append(position)
            position = covered = position + lanes
    return positions


def _output(rows, columns, row, group, width, tile, budget, groups=None) -> Output:
    """Return the vectors for rows x columns outputs in planes of `row` elements, with `group` elements per group.

    `width` is the row length of the array that vectors may be written to directly, or None.
    """
    flat = _cover(rows, columns, row, tile.lanes)
    in_row = [*range(0, columns - tile.lanes + 1, tile.lanes)]
    if columns >= tile.lanes and columns % tile.lanes:
        in_row.append(columns - tile.lanes)  # the last vector overlaps the one before
    if width is not None and in_row and rows * len(in_row) <= 1.1 * len(flat):
        positions = [i * row + j for i in range(rows) for j in in_row]
        targets = [i * width + j for i in range(rows) for j in in_row]
        rest = _unused(len(positions), tile)
        positions, targets = positions + positions[-1:] * rest, targets + targets[-1:] * rest
        tables = np.array(positions, INDEX), np.array(targets, INDEX)
        return Output(tile.rows, tile.vectors, 1, len(positions), *tables, True, width, rows * width)
    dense = columns % tile.lanes == 0  # whole vectors: the scratch plane needs no gaps
    targets = [position // row * columns + position % row for position in flat] if dense else flat
    row = columns if dense else row
    plane = _round_up(rows * row + tile.lanes, tile.lanes)
    plane += tile.lanes if plane % 1024 == 0 else 0
    if groups is None:
        waste = [(_unused(len(flat) * n, tile) / (len(flat) * n), n) for n in range(1, max(2, min(9, budget // group)))]
        groups = min(waste)[1]
    tables = _for_each_group(flat, groups, group), _for_each_group(targets, groups, plane)
    rest = _unused(tables[0].size, tile)
    sources, destinations = (np.concatenate([table, np.repeat(table[-1:], rest)]) for table in tables)
    return Output(tile.rows, tile.vectors, groups, len(flat), sources, destinations, False, row, plane)


def _unused(count: int, tile: Tile) -> int:
    """Return how many vectors tiles compute beyond `count`: none if tiles of 3 and of 2 vectors can be combined."""
    if (tile.vectors, tail_vectors(tile.rows)) == (3, 2):
        return 1 if count == 1 else 0
    return -count % tile.vectors


def _for_each_group(positions: list[int], groups: int, stride: int) -> np.ndarray:
    return (np.arange(groups)[:, None] * stride + np.array(positions)).ravel().astype(INDEX)

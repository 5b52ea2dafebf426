"""A picture of the operations that led to a result: `fastnn.autograd.draw`."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT = 0.86, 0.52  # of a box, in columns and levels
_FILLS = {
    "leaf": ("#fdf0e4", figures.ORANGE),
    "operation": ("#e8f1f8", figures.BLUE),
    "result": ("#d4e6f3", figures.INK),
}
_Point = tuple[float, float]


@figures.drawing()
def draw_tape(
    labels: Sequence[tuple[str, tuple[int, ...]]], inputs: Sequence[Sequence[int]], path: Path | None = None
) -> "Figure":
    """Draw boxes and arrows from each box's inputs to it, the result at the bottom.

    labels: for each box its name and shape, the result first, every box before its inputs
    inputs: for each box the positions of its inputs; a box without is a leaf
    """
    routes = _routes(inputs)
    columns = [x for points in routes.values() for x, _ in points]
    left, right = min(columns, default=0.0), max(columns, default=0.0)
    levels = max((y for points in routes.values() for _, y in points), default=0.0)
    figure = figures.new(1.45 * (right - left + 1) + 0.3, 0.85 * (levels + 1) + 0.2)
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set_xlim(left - 0.55, right + 0.55)
    axes.set_ylim(-0.5, levels + 0.5)
    for points in routes.values():
        _draw_arrow(axes, points)
    for box, point in _places(routes, inputs).items():
        kind = "result" if box == 0 else "operation" if inputs[box] else "leaf"
        _draw_box(axes, point, *labels[box], kind)
    return figures.finish(figure, path)


def _routes(inputs: Sequence[Sequence[int]]) -> dict[tuple[int, int], list[_Point]]:
    """Lay the boxes out; return the way of each arrow, (input, box) -> points, through free places of levels between.

    A box is one level above the highest box that uses it. In each level, boxes and arrows that pass are ordered by the
    mean column of what they lead to.
    """
    level = [0] * len(inputs)
    for box, given in enumerate(inputs):
        for one in given:
            level[one] = max(level[one], level[box] + 1)
    leads: dict[Any, list[Any]] = {}  # a box or a passing arrow, (input, box, level): what it leads to, a level below
    rows: dict[int, list[Any]] = {0: [0]}
    for box, given in enumerate(inputs):
        for one in dict.fromkeys(given):
            chain: list[Any] = [box, *((one, box, between) for between in range(level[box] + 1, level[one])), one]
            for lower, upper in itertools.pairwise(chain):
                if upper not in leads:
                    leads[upper] = []
                    rows.setdefault(level[one] if upper == one else upper[2], []).append(upper)
                leads[upper].append(lower)
    column: dict[Any, float] = {0: 0.0}
    for row in sorted(rows)[1:]:
        wanted = {item: sum(column[one] for one in leads[item]) / len(leads[item]) for item in rows[row]}
        order = sorted(rows[row], key=lambda item: wanted[item])
        at = [wanted[order[0]]]
        for item in order[1:]:
            at.append(max(wanted[item], at[-1] + 1))
        shift = sum(place - wanted[item] for place, item in zip(at, order, strict=True)) / len(order)
        column.update({item: place - shift for item, place in zip(order, at, strict=True)})
    return {
        (one, box): [
            (column[one], float(level[one])),
            *((column[one, box, between], float(between)) for between in range(level[one] - 1, level[box], -1)),
            (column[box], float(level[box])),
        ]
        for box, given in enumerate(inputs)
        for one in given
    }


def _places(routes: dict[tuple[int, int], list[_Point]], inputs: Sequence[Sequence[int]]) -> dict[int, _Point]:
    """The centre of each box."""
    ends = {box: points[-1] for (_, box), points in routes.items()}
    return {0: (0.0, 0.0)} | ends | {one: points[0] for (one, _), points in routes.items()}


def _draw_arrow(axes: "Axes", points: list[_Point]) -> None:
    """Draw a smooth line through the points, from the lower edge of one box to the upper edge of another."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path as Line

    (x, y), (end, below) = points[0], points[-1]
    stops = [(x, y - _HEIGHT / 2), *points[1:-1], (end, below + _HEIGHT / 2 + 0.03)]
    vertices, codes = [stops[0]], [Line.MOVETO]
    for (x0, y0), (x1, y1) in itertools.pairwise(stops):
        middle = (y0 + y1) / 2
        vertices += [(x0, middle), (x1, middle), (x1, y1)]
        codes += [Line.CURVE4] * 3
    axes.add_patch(
        FancyArrowPatch(
            path=Line(vertices, codes),
            arrowstyle="-|>",
            mutation_scale=10,
            color=figures.MUTED,
            linewidth=1.1,
            zorder=1,
        )
    )


def _draw_box(axes: "Axes", centre: _Point, name: str, shape: tuple[int, ...], kind: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    x, y = centre
    fill, edge = _FILLS[kind]
    corner = (x - _WIDTH / 2, y - _HEIGHT / 2)
    style = "round,pad=0,rounding_size=0.08"
    axes.add_patch(
        FancyBboxPatch(corner, _WIDTH, _HEIGHT, boxstyle=style, facecolor=fill, edgecolor=edge, linewidth=1.1, zorder=2)
    )
    text: dict[str, Any] = {"ha": "center", "va": "center", "zorder": 3}
    shown = " x ".join(map(str, shape)) or "scalar"
    axes.text(x, y + 0.1, name if len(name) <= 18 else f"{name[:17]}…", fontsize=9, color=figures.INK, **text)
    axes.text(x, y - 0.12, shown, fontsize=7.5, color=figures.MUTED, **text)

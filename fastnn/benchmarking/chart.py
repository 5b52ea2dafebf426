"""Bar chart of a benchmark report: the speedup of each case over the first backend, on a logarithmic axis.

The charts of benchmarks/ use the same labelled bars.
"""

import os
from typing import TYPE_CHECKING

from fastnn.vis_utils import figures

from . import summary
from .table import columns

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {
    "naive": figures.MUTED,
    "vectorized": "#56b4e9",
    "njit": figures.BLUE,
    "torch": figures.ORANGE,
    "sklearn": "#009e73",
}
_OTHER = "#009e73"


@figures.drawing()
def draw(report: dict, path: str | os.PathLike | None = None) -> "Figure":
    """Draw bars for each case, all passes together: the first backend's time divided by that of each name.

    The first backend is naive if it was timed. Cases without its time are left out.
    """
    names = columns(report)
    passes = summary.grouped(report["results"], "case")
    times = {case: summary.totals(entries) for case, entries in passes.items()}
    times = {case: seconds for case, seconds in times.items() if names[0] in seconds}
    figure = figures.new(9.6, 1.6 + 0.17 * len(times) * (len(names) + 0.6))
    axes = figure.subplots()
    height = 0.86 / len(names)
    for row, name in enumerate(names):
        for place, seconds in enumerate(times.values()):
            if name in seconds:
                speedup = seconds[names[0]] / seconds[name]
                at = place + (row - (len(names) - 1) / 2) * height
                bar(axes, at, speedup, height, COLOURS.get(name, _OTHER), name, _written(speedup))
    _style(axes, list(times), names[0], report)
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    figure.legend(
        [handles[name] for name in names if name in handles],
        [name for name in names if name in handles],
        loc="outside lower center",
        ncols=len(names),
        frameon=False,
        fontsize=9,
        labelcolor=figures.INK,
    )
    return figures.finish(figure, path)


def bar(
    axes: "Axes", at: float, value: float, height: float, color: str, label: str, text: str, start: float = 0.0
) -> None:
    """A horizontal bar from `start` to the value, a little thinner than `height`, with the text to the right."""
    axes.barh(at, value - start, 0.92 * height, left=start, color=color, label=label)
    axes.annotate(
        text, (max(value, start), at), (3, 0), textcoords="offset points", va="center", fontsize=7.5, color=figures.INK
    )


def _style(axes: "Axes", cases: list[str], first: str, report: dict) -> None:
    from matplotlib.ticker import FuncFormatter

    title = f"{report['machine']['cpu']}, {report['threads']} threads, {report['dtype']}"
    figures.style(axes, title, f"times as fast as {first}, forward and backward together", "")
    axes.set_xscale("log")
    axes.set_yticks(range(len(cases)), cases)
    axes.set_ylim(len(cases) - 0.45, -0.55)
    left, right = axes.get_xlim()
    axes.set_xlim(min(left, 0.5), right * 2)  # so that 1 is a bar too; room for the figures
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}x"))
    axes.grid(axis="y", visible=False)


def _written(speedup: float) -> str:
    return f"{speedup:,.0f}x" if speedup >= 10 else f"{speedup:.2g}x"

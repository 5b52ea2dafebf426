"""The charts of the report: speedups by operation, and ratios over commits."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from targets import Parts, by_operation, case_ratios

from fastnn.benchmarking import chart
from fastnn.benchmarking.summary import geometric_mean
from fastnn.benchmarking.table import digits
from fastnn.vis_utils import figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMES = {
    "conv2d": "convolution",
    "fused": "fused layers",
    "pool2d": "pooling",
    "affine": "affine layer",
    "activations": "activations",
    "normalization": "normalization",
    "dropout": "dropout",
    "losses": "losses",
    "linear_losses": "linear losses",
    "updates": "optimisers",
    "l2": "L2 penalty, gradient norm",
    "augment": "augmentation",
}
HEIGHT = 0.62  # of a bar, relative to the distance between two operations
SHORT = 7  # letters of a commit


@figures.drawing()
def speedups(parts: Parts, path: Path) -> None:
    """Draw the speedup of each operation over the loops, NumPy and PyTorch: geometric means, float32.

    Bars start at 1; to the right of it fastnn is faster.
    """
    default, tuned = (parts.get(f"operations float32 {mode}") for mode in ("default", "tuned"))
    operations = list(by_operation(default)) if default else []
    figure = figures.new(9.6, 1.5 + 0.36 * len(operations))
    panels = figure.subplots(1, 3, sharey=True)
    for axes, (title, *rows) in zip(
        panels,
        (
            ("over Python loops", (default, "naive", "", figures.BLUE)),
            ("over NumPy", (default, "vectorized", "", figures.BLUE)),
            ("over PyTorch", (default, "torch", "as installed", figures.BLUE),
             (tuned, "torch", "with tuned malloc", figures.COLORS[5])),
        ),
        strict=True,
    ):  # fmt: skip
        figures.style(axes, title, "", "")
        axes.grid(visible=False, axis="y")
        axes.set_xscale("log")
        for place, (part, other, label, color) in enumerate(rows):
            means = [geometric_mean(case_ratios(part, name, other).values()) for name in operations]
            height = HEIGHT / len(rows)
            _bars(axes, means, (place - (len(rows) - 1) / 2) * height, height, color, label)
        _scale(axes)
    panels[0].set_yticks(range(len(operations)), [NAMES.get(name, name) for name in operations])
    panels[0].set_ylim(len(operations) - 0.5, -0.5)
    handles, labels = panels[2].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, frameon=False, loc="outside lower right", ncols=2)
    machine = (default or tuned or {"machine": {"cpu": "no machine", "cores": 0}})["machine"]
    title = f"How many times faster each operation runs: {machine['cpu']}, {machine['cores']} cores"
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, color=figures.INK)
    _save(figure, path)


def _bars(axes: "Axes", values: list, offset: float, height: float, color: str, label: str) -> None:
    """Draw bars from 1 to the values, with the values at the right end."""
    known = [(place + offset, value) for place, value in enumerate(values) if value is not None]
    for place, value in known:
        chart.bar(axes, place, value, height, color, label if place == known[0][0] else "", digits(value), start=1)


def _scale(axes: "Axes") -> None:
    """Leave room for the labels of the bars, format ticks as plain numbers, draw a line at 1."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    low, high = axes.get_xlim()
    low, high = min(low, 0.9), max(high, 2.0)
    axes.set_xlim(low, high * (high / low) ** 0.2)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 50 else (1.0,)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}" if value < 1 else f"{value:,.0f}"))
    axes.axvline(1, color=figures.INK, linewidth=1)


@figures.drawing()
def history(lines: list[dict[str, Any]], path: Path) -> None:
    """Draw the ratios of operations and training steps to PyTorch, and the start-up times, by commit."""
    figure = figures.new(9.6, 6.4)
    panels = figure.subplots(2, 2)
    kinds = [f"operations {dtype} {mode}" for dtype in ("float32", "float64") for mode in ("default", "tuned")]
    for axes, operation, title in ((panels[0, 0], "conv2d", "Convolutions"), (panels[0, 1], None, "All operations")):
        for kind in kinds:
            found = [line.get(kind, {}) for line in lines]
            means = [_mean(values, operation) for values in found]
            _line(axes, means, kind.removeprefix("operations "), kinds.index(kind))
        figures.style(axes, f"{title}: PyTorch / ours, geometric mean", "", "")
    for place, mode in enumerate(("default", "tuned")):
        _line(panels[1, 0], [_mean(line.get(f"steps {mode}", {}), None) for line in lines], mode, place)
    figures.style(panels[1, 0], "Training steps: PyTorch / ours, geometric mean", "", "")
    for place, name in enumerate(("cold", "warm", "import")):
        values = [line.get("startup", {}).get(name) for line in lines]
        _line(panels[1, 1], values, {"cold": "compiled", "warm": "loaded from disk"}.get(name, "import"), place)
    figures.style(panels[1, 1], "Start-up: seconds", "", "")
    panels[1, 1].set_yscale("log")
    for axes in panels.flat:
        if axes is not panels[1, 1]:
            axes.axhline(1, color=figures.MUTED, linewidth=1)
            axes.set_ylim(bottom=0)
        marks = _thinned(len(lines))
        axes.set_xticks(marks, [lines[place]["commit"][:SHORT] for place in marks], rotation=30, ha="right")
        axes.set_xlim(-0.5, len(lines) - 0.5)
        handles, labels = axes.get_legend_handles_labels()
        if handles:
            axes.legend(handles, labels, fontsize=8, frameon=False, ncols=2, loc="upper left")
            bottom, top = axes.get_ylim()
            axes.set_ylim(top=top * (top / bottom) ** 0.25 if bottom else 1.25 * top)  # room for the legend
    _save(figure, path)


def _mean(values: dict[str, float], name: str | None) -> float | None:
    return geometric_mean(value for key, value in values.items() if name in (None, key))


def _line(axes: "Axes", values: list, label: str, place: int) -> None:
    known = [(index, value) for index, value in enumerate(values) if value is not None]
    if known:
        axes.plot(*zip(*known, strict=True), marker="o", markersize=4, color=figures.COLORS[place], label=label)


def _thinned(count: int, most: int = 12) -> list[int]:
    """Positions of at most `most` ticks, including the last one."""
    return list(range(count - 1, -1, -count // most))[::-1]


def _save(figure: Any, path: Path) -> None:
    """Save without matplotlib's version, so that equal figures give equal files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, metadata={"Software": None})

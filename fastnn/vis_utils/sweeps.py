"""Scatter plots of hyperparameter sweeps."""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnn import arguments
from fastnn.kernels.dispatch import signatures
from fastnn.kernels.dispatch import validation as checks

from . import figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_EXPECTED = (
    "expected dicts with 'params', 'train_acc', 'val_acc', or a dict {(learning rate, reg): (train, validation)}"
)
_NAMES = {"learning_rate": "learning rate", "reg": "regularisation"}


class _Trial(NamedTuple):
    params: dict[str, Any]
    x: float
    y: float
    accuracies: tuple[float, float]  # training, validation; NaN if missing
    failed: bool


@figures.drawing()
@signatures.checked
def plot_sweep(
    trials: Iterable[Mapping[str, Any]] | Mapping[tuple[float, float], tuple[float, float]],
    path: str | os.PathLike | None = None,
    x: str = "learning_rate",
    y: str = "reg",
) -> "Figure":
    """Plot the trials of a sweep over log10(x) and log10(y), coloured by accuracy: training left, validation right.

    trials: dicts with `params` (hyperparameters by name, including x and y), `train_acc`, `val_acc`, and optionally
        `status` ("finished" or "failed"); or the course's dict {(learning rate, reg): (train_acc, val_acc)}
    path: file to which the figure is saved, in the format of its suffix; None: it is not
    x, y: the hyperparameters on the axes, at least 0; 0, which has no logarithm, is drawn on a line at the edge
    Trials that failed, or whose validation accuracy is missing or not finite, are crosses. The trial with the best
    validation accuracy has a ring, covers others at the same position, and is named in the title.
    Returns the Figure.
    Raises TypeError if trials are not dicts, ValueError if there are none, a key is missing, or a value is negative.
    """
    path = arguments.path_or_none("plot_sweep", "path", path)
    x, y = (arguments.strings("plot_sweep", name, [value])[0] for name, value in (("x", x), ("y", y)))
    read = _read("plot_sweep", trials, x, y)
    finished = sorted((trial for trial in read if not trial.failed), key=lambda trial: trial.accuracies[1])
    failed = [trial for trial in read if trial.failed]
    figure = figures.new(10.6, 4.4)
    both = figure.subplots(1, 2, sharex=True, sharey=True)
    positions = _Axis([trial.x for trial in read]), _Axis([trial.y for trial in read])
    for axes, kind, title in zip(both, (0, 1), ("training accuracy", "validation accuracy"), strict=True):
        figures.style(axes, title, f"log10({_name(x)})", f"log10({_name(y)})" if kind == 0 else "")
        drawn = [trial for trial in finished if math.isfinite(trial.accuracies[kind])]
        accuracies = [trial.accuracies[kind] for trial in drawn]
        dots = {"s": 90, "edgecolors": figures.INK, "linewidths": 0.6, "zorder": 3, "cmap": "viridis"}
        points = axes.scatter(*_coordinates(drawn, positions), c=accuracies, **dots)
        crosses = {"c": figures.ORANGE, "s": 55, "marker": "x", "linewidths": 1.6, "zorder": 2}
        axes.scatter(*_coordinates(failed, positions), label=f"{len(failed)} failed", **crosses)
        ring = {"s": 260, "facecolors": "none", "edgecolors": figures.INK, "linewidths": 1.8, "zorder": 4}
        axes.scatter(*_coordinates(finished[-1:], positions), label="best on validation", **ring)
        if drawn:
            figures.style_bar(figure.colorbar(points, ax=axes, pad=0.02, aspect=30), "")
    _mark_zero(both, positions, x, y)
    handles, labels = both[1].get_legend_handles_labels()
    kept = [index for index, trials_of_kind in enumerate((failed, finished)) if trials_of_kind]
    figure.legend(
        [handles[index] for index in kept],
        [labels[index] for index in kept],
        loc="outside lower center",
        ncols=2,
        frameon=False,
        fontsize=9,
        labelcolor=figures.INK,
        markerscale=0.7,
    )
    figure.suptitle(_summary(finished, len(read), x, y), x=0.01, ha="left", fontsize=11, color=figures.INK)
    return figures.finish(figure, path)


class _Axis:
    """Positions of the values of a hyperparameter on its axis: the logarithm, with 0 below all others."""

    def __init__(self, values: list[float]) -> None:
        self.logarithms = [math.log10(value) for value in values if value > 0]
        self.low, self.high = min(self.logarithms, default=0.0), max(self.logarithms, default=0.0)
        self.margin = max(0.08 * (self.high - self.low), 0.1)
        self.has_zero = 0 in values
        self.zero = self.low - 2.5 * self.margin

    def __call__(self, value: float) -> float:
        return math.log10(value) if value > 0 else self.zero

    def limits(self) -> tuple[float, float]:
        return (self.zero if self.has_zero else self.low) - self.margin, self.high + self.margin


def _read(function: str, trials: Any, x: str, y: str) -> list[_Trial]:
    if isinstance(trials, Mapping):
        trials = [_from_course(function, key, value, x, y) for key, value in trials.items()]
    elif not isinstance(trials, Iterable):
        raise TypeError(f"{function}: trials={trials!r} is not a list; {_EXPECTED}; pass the trials of a sweep")
    read = []
    for trial in trials:
        if not isinstance(trial, Mapping):
            raise TypeError(f"{function}: trials contains {trial!r}; {_EXPECTED}; pass the trials of a sweep")
        checks.keys(function, "a trial", trial, required=("params",), optional=trial)
        params = checks.keys(function, "params of a trial", trial["params"], required=(x, y), optional=trial["params"])
        values = [checks.number(function, name, params[name], minimum=0) for name in (x, y)]
        training, validation = (_accuracy(function, name, trial.get(name)) for name in ("train_acc", "val_acc"))
        failed = trial.get("status", "finished") != "finished" or not math.isfinite(validation)
        read.append(_Trial(params, values[0], values[1], (training, validation), failed))
    if not read:
        raise ValueError(f"{function}: trials is empty; expected at least one trial; run the sweep first")
    return read


def _from_course(function: str, key: Any, value: Any, x: str, y: str) -> dict[str, Any]:
    if not all(isinstance(entry, (tuple, list, np.ndarray)) and len(entry) == 2 for entry in (key, value)):
        raise ValueError(f"{function}: trials contains {key!r}: {value!r}; {_EXPECTED}; pass one of these")
    return {"params": {x: key[0], y: key[1]}, "train_acc": value[0], "val_acc": value[1]}


def _accuracy(function: str, name: str, value: Any) -> float:
    if value is None or (isinstance(value, (float, np.floating)) and not math.isfinite(value)):
        return math.nan
    return checks.number(function, name, value)


def _coordinates(trials: list[_Trial], positions: tuple[_Axis, _Axis]) -> tuple[list[float], list[float]]:
    return [positions[0](trial.x) for trial in trials], [positions[1](trial.y) for trial in trials]


def _mark_zero(both: "Sequence[Axes]", positions: tuple[_Axis, _Axis], x: str, y: str) -> None:
    """Set the limits of the axes, which both panels share; mark 0 by a dotted line and a tick if it occurs."""
    first = both[0]
    sides: tuple[Any, ...] = (
        (first.xaxis, first.set_xlim, "axvline", f"{x}\n= 0"),
        (first.yaxis, first.set_ylim, "axhline", f"{y} = 0"),
    )
    for position, (axis, limit, line, label) in zip(positions, sides, strict=True):
        limit(*position.limits())
        if position.has_zero:
            locations: Iterable[float] = axis.get_majorticklocs() if position.logarithms else []
            ticks = [
                tick
                for tick in locations
                if position.low - 0.5 * position.margin < tick < position.high + position.margin
            ]
            labels = axis.get_major_formatter().format_ticks(ticks)
            axis.set_ticks([position.zero, *ticks], [label, *labels])
            for axes in both:
                getattr(axes, line)(position.zero, color=figures.MUTED, linewidth=0.9, linestyle=":", zorder=1)


def _summary(finished: list[_Trial], count: int, x: str, y: str) -> str:
    if not finished:
        return f"no trial of {count} finished"
    best = finished[-1]
    order = [x, y, *(name for name in best.params if name not in (x, y))]
    named = ", ".join(f"{_name(name)} {_short(best.params[name])}" for name in order)
    return f"best validation accuracy {best.accuracies[1]:.3f}: {named}"


def _name(parameter: str) -> str:
    return _NAMES.get(parameter, parameter)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, (float, np.floating)) else str(value)

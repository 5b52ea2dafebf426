"""Plots of training histories: loss and accuracy curves of one or several runs."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import arguments
from fastnn.kernels.dispatch import signatures
from fastnn.kernels.dispatch import validation as checks

from . import figures
from .weights import first_layer_mosaic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LINES = ("-", "--", ":", "-.")


@figures.drawing()
@signatures.checked
def plot_stats(stats: Any, path: str | os.PathLike | None = None) -> "Figure":
    """Plot the loss of every iteration and the training and validation accuracies of every epoch.

    stats: a Solver, or a dict with `loss_history`, `train_acc_history`, `val_acc_history`
    path: file to which the figure is saved, in the format of its suffix; None: it is not
    Returns the Figure.
    """
    path = arguments.path_or_none("plot_stats", "path", path)
    histories = _histories("plot_stats", stats)
    figure = figures.new(9.6, 3.6)
    left, right = figure.subplots(1, 2)
    _draw_loss(left, histories["loss_history"])
    _draw_accuracies(right, histories)
    return figures.finish(figure, path)


@figures.drawing()
@signatures.checked
def plot_acc_curves(results: Mapping[Any, Any], path: str | os.PathLike | None = None) -> "Figure":
    """Plot the accuracy curves of several runs: training on the left, validation on the right.

    results: dict from names to a Solver, or to a dict with `train_acc_history` and `val_acc_history`
    path: file to which the figure is saved, in the format of its suffix; None: it is not
    Returns the Figure.
    """
    path = arguments.path_or_none("plot_acc_curves", "path", path)
    function = "plot_acc_curves"
    if not isinstance(results, Mapping) or not results:
        raise TypeError(
            f"{function}: results={results!r} contains no runs; expected a dict of name -> histories; "
            f"pass {{'lr 1e-3': stats}}"
        )
    runs = {
        name: _histories(function, stats, ("train_acc_history", "val_acc_history")) for name, stats in results.items()
    }
    figure = figures.new(9.6, 3.8)
    both = figure.subplots(1, 2, sharey=True)
    titles = {"train_acc_history": "training accuracy", "val_acc_history": "validation accuracy"}
    for axes, (key, title) in zip(both, titles.items(), strict=True):
        for position, (name, histories) in enumerate(runs.items()):
            values = histories[key]
            style = _LINES[position // len(figures.COLORS) % len(_LINES)]
            axes.plot(
                range(len(values)),
                values,
                style,
                color=figures.COLORS[position % len(figures.COLORS)],
                label=str(name),
                linewidth=1.6,
            )
        figures.style(axes, title, "epoch", "accuracy" if axes is both[0] else "")
        figures.whole_numbers(axes)
    figure.legend(
        *both[1].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=-(-len(runs) // -(-len(runs) // 5)),  # equal rows of at most five
        frameon=False,
        fontsize=9,
        labelcolor=figures.INK,
    )
    return figures.finish(figure, path)


@figures.drawing()
@signatures.checked
def training_picture(
    solver: Any, weights: Any, path: str | os.PathLike | None = None, image_shape: Sequence[int] = (3, 32, 32)
) -> "Figure":
    """Plot one training run: loss, accuracies, first-layer weights.

    solver: a Solver, or a dict with `loss_history`, `train_acc_history`, `val_acc_history`
    weights: a model with `params["W1"]`, or W1 itself
    path: file to which the figure is saved, in the format of its suffix; None: it is not
    image_shape: shape of the images that its rows form, as in `show_net_weights`
    Returns the Figure.
    """
    path = arguments.path_or_none("training_picture", "path", path)
    function = "training_picture"
    histories = _histories(function, solver)
    grid = first_layer_mosaic(function, weights, image_shape)
    height = 3.5
    width_of_grid = (height - 0.5) * grid.shape[1] / grid.shape[0]
    figure = figures.new(11.0, height)
    curves = (10.8 - width_of_grid) / 2
    loss, accuracy, filters = figure.subplots(1, 3, width_ratios=(curves, curves, width_of_grid))
    _draw_loss(loss, histories["loss_history"])
    _draw_accuracies(accuracy, histories)
    figures.draw_image(filters, grid)
    filters.set_title("first-layer filters", loc="left", fontsize=11, color=figures.INK)
    return figures.finish(figure, path)


def _histories(
    function: str, stats: Any, names: Sequence[str] = ("loss_history", "train_acc_history", "val_acc_history")
) -> dict[str, np.ndarray]:
    histories = {}
    for name in names:
        values = stats.get(name) if isinstance(stats, Mapping) else getattr(stats, name, None)
        if values is None:
            raise ValueError(
                f"{function}: {type(stats).__name__} lacks {name!r}; expected a Solver, or a dict with "
                f"{', '.join(names)}; pass one of these"
            )
        values = checks.floats(function, **{name: (arguments.listed(function, name, values, "numbers"), "N")})[0]
        histories[name] = values.astype(np.float64, copy=False)
    return histories


def _draw_loss(axes: "Axes", losses: np.ndarray) -> None:
    iterations = np.arange(1, len(losses) + 1)
    marker = "." if len(losses) <= 30 else ""
    axes.plot(iterations, losses, color=figures.BLUE, alpha=0.25, linewidth=0.8, marker=marker, label="each batch")
    axes.plot(iterations, _smoothed(losses), color=figures.BLUE, linewidth=1.8, label="running mean")
    figures.style(axes, "training loss", "iteration", "loss")
    finite = losses[np.isfinite(losses)]
    if finite.size:
        axes.set_ylim(min(0.0, finite.min()), 1.05 * max(np.percentile(finite, 99.5), 1e-12))
    axes.set_xlim(0, max(len(losses), 1))
    axes.legend(frameon=False, fontsize=9, labelcolor=figures.INK)


def _smoothed(values: np.ndarray) -> np.ndarray:
    """The running mean over about 1/40 of the values, or 9 if they are few; NaN and infinity are ignored."""
    window = np.ones(2 * max(len(values) // 80, min(len(values) // 8, 4)) + 1)
    known = np.isfinite(values)
    if not known.any():
        return np.full(len(values), np.nan)
    sums = np.convolve(np.where(known, values, 0), window, mode="same")
    counts = np.convolve(known.astype(float), window, mode="same")
    return np.divide(sums, counts, out=np.full(len(values), np.nan), where=counts > 0.5)


def _draw_accuracies(axes: "Axes", histories: dict[str, np.ndarray]) -> None:
    training, validation = histories["train_acc_history"], histories["val_acc_history"]
    best = f", best {validation.max():.3f}" if validation.size else ""
    for values, color, label in (
        (training, figures.ORANGE, "training"),
        (validation, figures.BLUE, f"validation{best}"),
    ):
        marker = "o" if len(values) <= 30 else ""
        axes.plot(range(len(values)), values, color=color, linewidth=1.8, marker=marker, markersize=3.5, label=label)
    figures.style(axes, "accuracy", "epoch", "fraction of images")
    axes.set_ylim(0, 1)
    figures.whole_numbers(axes)
    axes.legend(frameon=False, fontsize=9, labelcolor=figures.INK, loc="lower right")

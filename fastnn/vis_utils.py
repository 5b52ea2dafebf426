"""Pictures of images, weights and training, drawn with matplotlib.

Every function returns its Figure (or array) and, given a path, also saves it; none touches the state of pyplot, so they
work without a display. In a notebook the Figure is shown where it is the last expression of a cell.
"""

import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.kernels import arrays, checks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK, _MUTED = "#333333", "#8a8a8a"
_BLUE, _ORANGE = "#1f6fb4", "#d9731a"
_COLORS = (_BLUE, _ORANGE, "#2e9e5b", "#8e5bb5", "#c23b4a", "#7a6a3f", "#2aa6b0", "#d460a8")
_LINES = ("-", "--", ":", "-.")


def visualize_grid(Xs: Any, ubound: float = 255.0, padding: int = 1) -> np.ndarray:
    """Lay images out in a square grid, each stretched to the range 0 to `ubound`.

    Xs (N, H, W, C): images, channels last, any numbers; padding: black pixels between them
    Returns the grid (G*H + (G-1)*padding, G*W + (G-1)*padding, C), float64, with G = ceil(sqrt(N)); places without an
    image, and images whose pixels are all equal, are 0.
    Raises ValueError or TypeError for an array of another shape or dtype.
    """
    function = "visualize_grid"
    (Xs,) = checks.floats(function, Xs=(Xs, "N H W C"))
    ubound = checks.number(function, "ubound", ubound)
    padding = checks.integer(function, "padding", padding, minimum=0)
    N, H, W, C = Xs.shape
    size = math.isqrt(N - 1) + 1 if N else 0
    grid = np.zeros((max(0, size * (H + padding) - padding), max(0, size * (W + padding) - padding), C))
    for n in range(N if H * W * C else 0):
        top, left = n // size * (H + padding), n % size * (W + padding)
        low, high = Xs[n].min(), Xs[n].max()
        if low != high:
            grid[top : top + H, left : left + W] = ubound * (Xs[n] - low) / (high - low)
    return grid


def plot_stats(stats: Any, path: str | os.PathLike | None = None) -> "Figure":
    """Draw the loss of every iteration, and the accuracy on training and validation images of every epoch.

    stats: a Solver, or a dict with `loss_history`, `train_acc_history`, `val_acc_history`
    """
    histories = _histories("plot_stats", stats)
    figure = _figure(9.6, 3.6)
    left, right = figure.subplots(1, 2)
    _draw_loss(left, histories["loss_history"])
    _draw_accuracies(right, histories)
    return _finish(figure, path)


def plot_acc_curves(results: Mapping[Any, Any], path: str | os.PathLike | None = None) -> "Figure":
    """Draw the accuracy curves of several runs: on training images to the left, on validation images to the right.

    results: name -> a Solver, or a dict with `train_acc_history` and `val_acc_history`
    """
    function = "plot_acc_curves"
    if not isinstance(results, Mapping) or not results:
        raise TypeError(
            f"{function}: results={results!r} names no runs; expected a dict of name -> histories; "
            f"pass {{'lr 1e-3': stats}}"
        )
    runs = {
        name: _histories(function, stats, ("train_acc_history", "val_acc_history")) for name, stats in results.items()
    }
    figure = _figure(9.6, 3.8)
    both = figure.subplots(1, 2, sharey=True)
    titles = {"train_acc_history": "training accuracy", "val_acc_history": "validation accuracy"}
    for axes, (key, title) in zip(both, titles.items(), strict=True):
        for position, (name, histories) in enumerate(runs.items()):
            values = histories[key]
            style = _LINES[position // len(_COLORS) % len(_LINES)]
            axes.plot(
                range(len(values)),
                values,
                style,
                color=_COLORS[position % len(_COLORS)],
                label=str(name),
                linewidth=1.6,
            )
        _style(axes, title, "epoch", "accuracy" if axes is both[0] else "")
        _whole_numbers(axes)
    figure.legend(
        *both[1].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=-(-len(runs) // -(-len(runs) // 5)),  # rows of equal length, five at most
        frameon=False,
        fontsize=9,
        labelcolor=_INK,
    )
    return _finish(figure, path)


def show_net_weights(
    net: Any, path: str | os.PathLike | None = None, image_shape: Sequence[int] = (3, 32, 32)
) -> "Figure":
    """Draw the first layer's weights as images, one per filter or hidden unit.

    net: a model with `params["W1"]`, or W1 itself: filters (F, C, KH, KW) or affine weights (D, M)
    image_shape: how the D weights of a unit form an image: (C, H, W), or (H, W, C) with C of 1 or 3
    """
    grid = _weight_grid("show_net_weights", net, image_shape)
    figure = _figure(4.8, 4.8)
    axes = figure.subplots()
    _draw_image(axes, grid, "first-layer weights")
    return _finish(figure, path)


def show_examples(
    X: Any,
    y: Any,
    class_names: Sequence[str],
    samples_per_class: int = 7,
    path: str | os.PathLike | None = None,
) -> "Figure":
    """Draw the first `samples_per_class` images of each class, one class per column.

    X (N, C, H, W) or (N, H, W, C) with C of 1 or 3: numbers of any range, stretched together to black and white
    y (N,): labels from 0 to len(class_names) - 1
    """
    function = "show_examples"
    (X,) = checks.floats(function, X=(X, "N A B C"))
    labels = checks.labels(function, "y", y, len(X), len(class_names))
    count = checks.integer(function, "samples_per_class", samples_per_class, minimum=1)
    picked = [np.flatnonzero(labels == label)[:count] for label in range(len(class_names))]
    rows = max(map(len, picked), default=0)
    if not rows:
        raise ValueError(f"{function}: X.shape = {X.shape} is empty; expected one image at least; pass images")
    images = X if X.shape[1] not in (1, 3) else X.transpose(0, 2, 3, 1)
    if images.shape[3] not in (1, 3):
        raise ValueError(
            f"{function}: X.shape = {X.shape} holds no images; expected (N, C, H, W) or (N, H, W, C) with C of 1 or 3; "
            f"reshape X to that"
        )
    everything = images[np.concatenate(picked)]
    low, high = np.nanmin(everything), np.nanmax(everything)
    figure = _figure(0.95 * len(class_names), 0.95 * rows + 0.25)
    columns = figure.subplots(rows, len(class_names), squeeze=False)
    for label, name in enumerate(class_names):
        columns[0, label].set_title(name, fontsize=9, color=_INK, pad=4)
        for row in range(rows):
            axes = columns[row, label]
            axes.set_axis_off()
            if row < len(picked[label]):
                image = (images[picked[label][row]] - low) / ((high - low) or 1)
                axes.imshow(_drawable(image), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02)
    return _finish(figure, path)


def training_picture(solver: Any, weights: Any, path: str | os.PathLike | None = None) -> "Figure":
    """Draw one training run: loss, accuracies, first-layer weights.

    solver: a Solver, or a dict with `loss_history`, `train_acc_history`, `val_acc_history`
    weights: a model with `params["W1"]`, or W1 itself, as in `show_net_weights`
    """
    function = "training_picture"
    histories = _histories(function, solver)
    grid = _weight_grid(function, weights, (3, 32, 32))
    height = 3.5
    width_of_grid = (height - 0.5) * grid.shape[1] / grid.shape[0]
    figure = _figure(11.0, height)
    curves = (10.8 - width_of_grid) / 2
    loss, accuracy, filters = figure.subplots(1, 3, width_ratios=(curves, curves, width_of_grid))
    _draw_loss(loss, histories["loss_history"])
    _draw_accuracies(accuracy, histories)
    _draw_image(filters, grid, "first-layer filters")
    return _finish(figure, path)


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
        histories[name] = np.asarray([float(value) for value in values])
    return histories


def _weight_grid(function: str, net: Any, image_shape: Sequence[int]) -> np.ndarray:
    """The first layer's weights as one picture, 0 to 1."""
    params = getattr(net, "params", None)
    if params is not None and "W1" not in params:
        raise ValueError(
            f"{function}: net.params has no 'W1' (it has {list(params)}); expected first-layer weights; pass the array"
        )
    weights = arrays.to_numpy(params["W1"] if params is not None else net)
    if weights.ndim == 2:
        if weights.shape[0] != math.prod(image_shape):
            raise ValueError(
                f"{function}: W1.shape = {weights.shape} does not form images of image_shape={tuple(image_shape)}; "
                f"expected {math.prod(image_shape)} rows; pass the image_shape of the data"
            )
        weights = weights.T.reshape(-1, *image_shape)
        if image_shape[0] not in (1, 3):
            weights = weights.transpose(0, 3, 1, 2)
    (weights,) = checks.floats(function, W1=(weights, "F C KH KW"))
    checks.not_empty(function, "W1", weights)
    if weights.shape[1] not in (1, 3):
        weights = weights.mean(axis=1, keepdims=True)  # no colours: the mean over the channels, in grey
    images = weights.transpose(0, 2, 3, 1)
    return _mosaic(images, padding=1 if images.shape[1] < 16 else 2)


def _mosaic(images: np.ndarray, padding: int) -> np.ndarray:
    """Images (N, H, W, C), each stretched to 0 to 1, on white: a full rectangle, at most twice as high as wide, or
    failing that nearly a square."""
    N, H, W, C = images.shape
    columns = next(n for n in range(math.isqrt(N), 0, -1) if N % n == 0)
    if 2 * columns * columns < N:
        columns = math.isqrt(N - 1) + 1
    rows = -(-N // columns)
    grid = np.ones((rows * (H + padding) - padding, columns * (W + padding) - padding, C))
    for n in range(N):
        top, left = n // columns * (H + padding), n % columns * (W + padding)
        grid[top : top + H, left : left + W] = visualize_grid(images[n : n + 1], 1.0)
    return grid


def _drawable(image: np.ndarray) -> np.ndarray:
    return image[..., 0] if image.shape[-1] == 1 else image


def _draw_image(axes: "Axes", image: np.ndarray, title: str) -> None:
    axes.imshow(_drawable(image), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(title, loc="left", fontsize=11, color=_INK)


def _draw_loss(axes: "Axes", losses: np.ndarray) -> None:
    iterations = np.arange(1, len(losses) + 1)
    marker = "." if len(losses) <= 30 else ""
    axes.plot(iterations, losses, color=_BLUE, alpha=0.25, linewidth=0.8, marker=marker, label="each batch")
    axes.plot(iterations, _smoothed(losses), color=_BLUE, linewidth=1.8, label="running mean")
    _style(axes, "training loss", "iteration", "loss")
    finite = losses[np.isfinite(losses)]
    if finite.size:
        axes.set_ylim(min(0.0, finite.min()), 1.05 * max(np.percentile(finite, 99.5), 1e-12))
    axes.set_xlim(0, max(len(losses), 1))
    axes.legend(frameon=False, fontsize=9, labelcolor=_INK)


def _smoothed(values: np.ndarray) -> np.ndarray:
    """The running mean over about a fortieth of the values, nine where they are few; NaN and infinity are left out."""
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
    for values, color, label in ((training, _ORANGE, "training"), (validation, _BLUE, f"validation{best}")):
        marker = "o" if len(values) <= 30 else ""
        axes.plot(range(len(values)), values, color=color, linewidth=1.8, marker=marker, markersize=3.5, label=label)
    _style(axes, "accuracy", "epoch", "share of images")
    axes.set_ylim(0, 1)
    _whole_numbers(axes)
    axes.legend(frameon=False, fontsize=9, labelcolor=_INK, loc="lower right")


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def _style(axes: "Axes", title: str, x_label: str, y_label: str) -> None:
    axes.set_title(title, loc="left", fontsize=11, color=_INK)
    axes.set_xlabel(x_label, fontsize=9, color=_INK)
    axes.set_ylabel(y_label, fontsize=9, color=_INK)
    axes.tick_params(labelsize=9, colors=_INK, length=0)
    axes.grid(color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_MUTED)


def _whole_numbers(axes: "Axes") -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))


def _finish(figure: "Figure", path: str | os.PathLike | None) -> "Figure":
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure

"""What the pictures have in common: colours, letters, axes, images on axes."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.output import atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure

INK, MUTED = "#333333", "#8a8a8a"
BLUE, ORANGE = "#0072b2", "#d55e00"
# Okabe & Ito, Color universal design (2008): told apart by colour-blind readers too; the yellow is left out, since it
# is too pale for lines on white.
COLORS = (BLUE, ORANGE, "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """Decorates functions that draw: they do so whatever backend and matplotlibrc the user has."""
    from . import picture

    with picture.default_style():
        yield


def new(width: float, height: float) -> "Figure":
    """An empty white Figure of width x height inches whose parts do not overlap."""
    from .picture import Figure

    figure = Figure(figsize=(width, height), facecolor="white")
    figure.set_layout_engine("constrained", w_pad=0.08)
    return figure


def finish(figure: "Figure", path: str | os.PathLike | None) -> "Figure":
    """Save the Figure where a path is given, in the format that its name ends in, else as PNG."""
    if path is not None:
        path = Path(path)
        path = path if path.suffix else path.with_name(f"{path.name}.png")
        with atomic.replacing(path) as temporary:
            figure.savefig(temporary, dpi=150, format=path.suffix[1:])
    return figure


def style(axes: "Axes", title: str, x_label: str, y_label: str) -> None:
    """Title and labels, a grid behind the data, no frame."""
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.set_xlabel(x_label, fontsize=9, color=INK)
    axes.set_ylabel(y_label, fontsize=9, color=INK)
    axes.tick_params(labelsize=9, colors=INK, length=0)
    axes.grid(color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)


def whole_numbers(axes: "Axes") -> None:
    """Ticks at integers along the horizontal axis."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))


def style_bar(bar: "Colorbar", label: str) -> None:
    """A scale of colours in the letters of the axes, without a frame."""
    bar.outline.set_visible(False)
    bar.set_label(label, fontsize=9, color=INK)
    bar.ax.tick_params(labelsize=9, colors=INK, length=0)


def draw_image(axes: "Axes", image: np.ndarray) -> None:
    """An image (H, W, C) from 0 to 1, grey where C = 1, without axes around it."""
    draw_pixels(axes, image)
    axes.set_axis_off()


def draw_pixels(axes: "Axes", image: np.ndarray, **options: Any) -> None:
    """An image (H, W, C) from 0 to 1, grey where C = 1; or, given a cmap and a norm, numbers (H, W)."""
    drawn = image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image
    drawn = np.nan_to_num(drawn) if drawn.ndim == 3 else drawn  # of numbers in a colour map, NaN has none
    limits: dict[str, Any] = {} if "norm" in options else {"cmap": "gray", "vmin": 0, "vmax": 1}
    axes.imshow(drawn, interpolation="nearest", **limits, **options)

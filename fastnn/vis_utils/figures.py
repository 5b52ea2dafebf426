"""Common parts of the plots: colours, fonts, axes, images."""

import contextlib
import os
import sys
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
# Okabe & Ito, Color universal design (2008), distinguishable by colour-blind readers; without the yellow, which is too
# pale for lines on white.
COLORS = (BLUE, ORANGE, "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """Decorator of functions that draw: makes them independent of the user's matplotlib backend and matplotlibrc."""
    from . import picture

    with picture.default_style():
        yield


def new(width: float, height: float) -> "Figure":
    """Create an empty white Figure of width x height inches with a layout without overlaps."""
    from .picture import Figure

    figure = Figure(figsize=(width, height), facecolor="white")
    figure.set_layout_engine("constrained", w_pad=0.08)
    return figure


def finish(figure: "Figure", path: str | os.PathLike | None) -> "Figure":
    """Save the Figure if a path is given, in the format of its suffix, by default PNG."""
    if path is not None:
        path = Path(path)
        path = path if path.suffix else path.with_name(f"{path.name}.png")
        with atomic.replacing(path) as temporary:
            figure.savefig(temporary, dpi=150, format=path.suffix[1:])
    return figure


def shown(figure: "Figure") -> "Figure | None":
    """Display the Figure below the cell of a notebook; return it where there is none."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if not hasattr(shell, "kernel"):  # IPython in a terminal has no kernel
        return figure
    sys.modules["IPython"].display.display(figure)
    return None


def style(axes: "Axes", title: str, x_label: str, y_label: str) -> None:
    """Set title and labels, draw a grid behind the data, remove the frame."""
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.set_xlabel(x_label, fontsize=9, color=INK)
    axes.set_ylabel(y_label, fontsize=9, color=INK)
    axes.tick_params(labelsize=9, colors=INK, length=0)
    axes.grid(color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)


def whole_numbers(axes: "Axes") -> None:
    """Place the ticks of the horizontal axis at integers."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))


def style_bar(bar: "Colorbar", label: str) -> None:
    """Style a colour bar like the axes, without a frame."""
    bar.outline.set_visible(False)
    bar.set_label(label, fontsize=9, color=INK)
    bar.ax.tick_params(labelsize=9, colors=INK, length=0)


def draw_image(axes: "Axes", image: np.ndarray) -> None:
    """Draw an image (H, W, C), values 0 to 1, grey if C = 1, without axes."""
    draw_pixels(axes, image)
    axes.set_axis_off()


def draw_pixels(axes: "Axes", image: np.ndarray, **options: Any) -> None:
    """Draw an image (H, W, C), values 0 to 1, grey if C = 1; or, with a cmap and a norm, numbers (H, W)."""
    drawn = image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image
    drawn = np.nan_to_num(drawn) if drawn.ndim == 3 else drawn  # with a colour map, NaN stays transparent
    limits: dict[str, Any] = {} if "norm" in options else {"cmap": "gray", "vmin": 0, "vmax": 1}
    axes.imshow(drawn, interpolation="nearest", **limits, **options)

"""Plots of the responses of the first convolutional layer to an image."""

import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import arguments
from fastnn.kernels.dispatch import arrays, signatures, validation
from fastnn.layers import conv_forward

from . import figures, images, weights

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INNER_GAP, _OUTER_GAP = 0.06, 0.3  # gaps within and between pairs of filter and map, in widths of a map
_COLOURS = "RdBu_r"


@figures.drawing()
@signatures.checked
def show_filter_responses(
    net: Any,
    image: Any,
    path: str | os.PathLike | None = None,
    stride: Any = 1,
    pad: Any = None,
) -> "Figure":
    """Draw the response of each filter of the first convolutional layer to an image, next to the filter.

    net: a model with `params["W1"]` and optionally `params["b1"]`, or the filters (F, C, KH, KW) themselves
    image (C, H, W): preprocessed as for the network, so without the mean image if the training data were
    path: file to which the figure is saved, in the format of its suffix; None: it is not
    stride, pad: of the convolution, as in conv_param; pad=None is ((KH - 1) // 2, (KW - 1) // 2), which preserves the
        image size for odd filters
    Responses are computed on the active backend, before any activation, and share one colour scale: red for positive,
    blue for negative, white for 0, saturated beyond the 99.5th percentile. Each filter is scaled from black to white.
    Returns the Figure.
    Raises ValueError or TypeError if shapes do not match or arrays are empty.
    """
    path = arguments.path_or_none("show_filter_responses", "path", path)
    function = "show_filter_responses"
    filters = weights.first_layer(function, net)
    bias = getattr(net, "params", {}).get("b1", np.zeros(filters.shape[:1], dtype=filters.dtype))
    filters, image, bias = validation.floats(
        function,
        W1=(filters, "F C KH KW"),
        image=(validation.array(function, "image", image), "C H W"),
        b1=(arrays.to_numpy(bias), "F"),
    )
    validation.not_empty(function, "W1", filters)
    KH, KW = filters.shape[2:]
    pad = ((KH - 1) // 2, (KW - 1) // 2) if pad is None else pad
    maps = conv_forward(image[None], filters, bias, {"stride": stride, "pad": pad})[0][0]
    return figures.finish(_draw(filters, image, maps), path)


def _draw(filters: np.ndarray, image: np.ndarray, maps: np.ndarray) -> "Figure":
    """Draw the image on the left and the pairs in rows; the unit is the width of a map."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    height = min(max(maps.shape[1] / maps.shape[2], 0.25), 4.0)
    columns = _columns(len(maps), height + _OUTER_GAP)
    rows = -(-len(maps) // columns)
    pair = 2 + _INNER_GAP + _OUTER_GAP
    inches = min(1.2, 10.0 / (columns * pair), 8.0 / (rows * (height + _OUTER_GAP)))
    side = 1.6 / inches  # of the image
    left = side + 2 * _OUTER_GAP
    width = left + columns * pair - _OUTER_GAP
    bottom = max(rows * (height + _OUTER_GAP) - _OUTER_GAP, side)
    figure = figures.new(inches * width + 0.9, inches * bottom + 0.6)
    axes = figure.subplots()
    _place(axes, images.rescaled(weights.in_colour(image[None])[0]), 0, 0, side, side)
    spread = float(np.percentile(np.abs(maps), 99.5)) if np.isfinite(maps).all() else 1.0
    scale = Normalize(-(spread or 1.0), spread or 1.0)
    for f, (picture, response) in enumerate(zip(weights.in_colour(filters), maps, strict=True)):
        x, y = left + f % columns * pair, -(f // columns) * (height + _OUTER_GAP)
        _place(axes, images.rescaled(picture), x, y, 1, height)
        _place(axes, response, x + 1 + _INNER_GAP, y, 1, height, cmap=_COLOURS, norm=scale)
        axes.annotate(str(f), (x, y), (0, 2), textcoords="offset points", fontsize=8, color=figures.INK)
    for x, title in ((0, "image"), (left, "filters and their responses")):
        axes.annotate(title, (x, 0), (0, 15), textcoords="offset points", fontsize=11, color=figures.INK)
    axes.set(xlim=(-0.02, width + 0.02), ylim=(-bottom - 0.02, 0.32 / inches), aspect="equal")
    axes.set_axis_off()
    bar = figure.colorbar(ScalarMappable(scale, _COLOURS), ax=axes, fraction=0.02, aspect=40, pad=0.02, extend="both")
    figures.style_bar(bar, "response")
    return figure


def _place(axes: "Axes", picture: np.ndarray, x: float, y: float, width: float, height: float, **colours: Any) -> None:
    """Draw pixels (H, W) or (H, W, C) with the top left corner at (x, y), as large as fits into the box."""
    from matplotlib.patches import Rectangle

    unit = min(width / picture.shape[1], height / picture.shape[0])
    right, bottom = x + unit * picture.shape[1], y - unit * picture.shape[0]
    figures.draw_pixels(axes, picture, extent=(x, right, bottom, y), **colours)
    axes.add_patch(Rectangle((x, bottom), right - x, y - bottom, fill=False, edgecolor=figures.MUTED, linewidth=0.4))


def _columns(count: int, height: float) -> int:
    """The number of pairs in a row, for a figure of about 4 : 3 with few empty cells."""

    def badness(columns: int) -> float:
        rows = -(-count // columns)
        shape = columns * (2 + _INNER_GAP + _OUTER_GAP) / (rows * height)
        return abs(math.log(shape * 3 / 4)) + 6 * (rows * columns - count) / count

    return min(range(1, count + 1), key=badness)

"""Plots of weights as images: first layers of networks, class templates of linear classifiers."""

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import arguments
from fastnn.kernels.dispatch import arrays, signatures, validation

from . import figures, images

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@figures.drawing()
@signatures.checked
def show_net_weights(
    net: Any, path: str | os.PathLike | None = None, image_shape: Sequence[int] = (3, 32, 32)
) -> "Figure":
    """Draw the first layer's weights as images, one per filter or hidden unit, each scaled from black to white.

    net: a model with `params["W1"]`, or W1 itself: filters (F, C, KH, KW) or affine weights (D, M)
    path: file to which the figure is saved, in the format of its suffix; None: it is not
    image_shape: shape of the image that the D weights of a unit form: (C, H, W), or (H, W, C) with C of 1 or 3
    Returns the Figure.
    Raises ValueError if there are no such weights.
    """
    path = arguments.path_or_none("show_net_weights", "path", path)
    grid = first_layer_mosaic("show_net_weights", net, image_shape)
    figure = figures.new(4.8, 4.8)
    axes = figure.subplots()
    figures.draw_image(axes, grid)
    axes.set_title("first-layer weights", loc="left", fontsize=11, color=figures.INK)
    return figures.finish(figure, path)


@figures.drawing()
@signatures.checked
def show_class_templates(
    W: Any,
    class_names: Sequence[str],
    path: str | os.PathLike | None = None,
    image_shape: Sequence[int] = (3, 32, 32),
) -> "Figure":
    """Draw the templates of a linear classifier: the weights of each class as an image, scaled from black to white.

    W (D, K): weights, or an object with the attribute W; the last row of (D + 1, K), the bias if the bias trick appends
        a 1 to every image, is not drawn
    class_names: names of the K classes
    path: file to which the figure is saved, in the format of its suffix; None: it is not
    image_shape: shape of the image that the D weights of a class form: (C, H, W), or (H, W, C) with C of 1 or 3
    Returns the Figure.
    Raises ValueError if W does not form images or has another number of classes, TypeError if W is not an array.
    """
    path = arguments.path_or_none("show_class_templates", "path", path)
    function = "show_class_templates"
    given = arrays.to_numpy(validation.array(function, "W", getattr(W, "W", W)))
    if given.dtype == object:
        raise TypeError(
            f"{function}: W={validation.brief(W)} contains no weights; expected (D, K), or a classifier with them as "
            f"its attribute W; train the classifier first"
        )
    (weights,) = validation.floats(function, W=(given, "D K"))
    class_names = arguments.strings(function, "class_names", class_names)
    pixels = math.prod(arguments.lengths(function, "image_shape", image_shape, 3))
    templates = as_images(function, "W", weights[:-1] if len(weights) == pixels + 1 else weights, image_shape)
    if len(class_names) != len(templates) or not len(templates):
        raise ValueError(
            f"{function}: class_names={list(class_names)} do not fit W.shape = {weights.shape}; expected a name for "
            f"each of at least one column; pass {len(templates)} names"
        )
    columns = -(-len(templates) // -(-len(templates) // 5))  # equal rows of at most five
    rows = -(-len(templates) // columns)
    figure = figures.new(1.5 * columns, 1.5 * rows * templates.shape[1] / templates.shape[2] + 0.25 * rows)
    cells = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in cells:
        axes.set_axis_off()
    for axes, template, name in zip(cells, templates, class_names, strict=False):
        figures.draw_image(axes, images.rescaled(template))
        axes.set_title(name, fontsize=10, color=figures.INK, pad=4)
    return figures.finish(figure, path)


def first_layer(function: str, net: Any) -> np.ndarray:
    """Return params["W1"] of a model, or the array itself."""
    params = getattr(net, "params", None)
    if params is not None and "W1" not in params:
        raise ValueError(
            f"{function}: net.params has no 'W1' (it has {list(params)}); expected first-layer weights; pass the array"
        )
    return arrays.to_numpy(validation.array(function, "W1", params["W1"] if params is not None else net))


def first_layer_mosaic(function: str, net: Any, image_shape: Sequence[int]) -> np.ndarray:
    """Arrange the first layer's weights in one image (H, W, C), values 0 to 1."""
    weights, image_shape = first_layer(function, net), arguments.lengths(function, "image_shape", image_shape, 3)
    if weights.ndim == 2:
        pictures = as_images(function, "W1", weights, image_shape)
    else:
        (weights,) = validation.floats(function, W1=(weights, "F C KH KW"))
        pictures = in_colour(weights)
    validation.not_empty(function, "W1", weights)
    return images.mosaic(pictures, padding=1 if pictures.shape[1] < 16 else 2)


def as_images(function: str, name: str, weights: np.ndarray, image_shape: Sequence[int]) -> np.ndarray:
    """Convert the columns of (D, M) to images (M, H, W, C) with C of 1 or 3."""
    image_shape = arguments.lengths(function, "image_shape", image_shape, 3)
    if weights.shape[0] != math.prod(image_shape):
        raise ValueError(
            f"{function}: {name}.shape = {weights.shape} does not form images of image_shape={tuple(image_shape)}; "
            f"expected {math.prod(image_shape)} rows for a (C, H, W) or (H, W, C); pass the image_shape of the data"
        )
    (weights,) = validation.floats(function, **{name: (weights, "D M")})
    columns = weights.T.reshape(-1, *image_shape)
    last = image_shape[0] not in (1, 3) and image_shape[2] in (1, 3)
    return columns if last else in_colour(columns)


def in_colour(filters: np.ndarray) -> np.ndarray:
    """Convert filters (F, C, KH, KW) to images (F, KH, KW, C), averaged over the channels if C is not 1 or 3."""
    if filters.shape[1] not in (1, 3):
        filters = filters.mean(axis=1, keepdims=True)
    return filters.transpose(0, 2, 3, 1)

"""The picture of a run: losses, accuracies and first-layer weights."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def draw(state: dict[str, Any], input_shape: Sequence[int], picture: Path) -> None:
    """Draw losses, accuracies and, if the first layer has images as inputs, its weights."""
    from fastnn import vis_utils

    weights = next((array for array in (state["best_params"] or state["params"]).values() if array.ndim > 1), None)
    if weights is not None and weights.ndim == 4:
        vis_utils.training_picture(state, weights, picture)
    elif weights is not None and len(input_shape) == 3 and len(weights) == math.prod(input_shape):
        vis_utils.training_picture(state, weights, picture, image_shape=tuple(input_shape))
    else:
        vis_utils.plot_stats(state, picture)

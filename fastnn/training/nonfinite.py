"""Explanations of a loss or gradient norm that is not finite: where it began, the likely cause, what to do."""

import contextlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn.kernels import to_numpy


def cause(model: Any, images: np.ndarray, rate: Any) -> str:
    """The likely cause, and what to do about it; rate: the current learning rate."""
    params = not_finite(model.params)
    if not np.isfinite(np.asarray(to_numpy(images), np.float64)).all():
        return "the batch contains NaN or infinity: check the data"
    if params:
        return f"the parameters {params} are not finite any more: lower learning_rate={rate}"
    return f"the scores grew too large: lower learning_rate={rate}, or check the data"


def location(model: Any, images: np.ndarray, labels: np.ndarray, gradients: Mapping[str, Any]) -> str:
    """Where in the model it begins: the layer of a Sequential, else the first gradient; an empty string if unknown.

    The model's buffers change as in any forward pass.
    """
    from . import trace

    with contextlib.suppress(Exception):  # a failure here must not hide the original error
        found = trace.first_not_finite(model, images, labels)
        if found is None and (names := not_finite(gradients)):
            found = f"the first gradient that is not finite is that of {names[0]!r}"
        return found or ""
    return ""


def not_finite(arrays: Mapping[str, Any]) -> list[str]:
    """The names of the arrays that contain NaN or infinity."""
    return [name for name, array in arrays.items() if not np.isfinite(np.asarray(to_numpy(array), np.float64)).all()]

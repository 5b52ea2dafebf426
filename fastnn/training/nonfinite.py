"""What is said where a loss, or a norm of gradients, is not finite: in which layer that began, why, and what to do."""

import contextlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn.kernels import to_numpy


def cause(model: Any, images: np.ndarray, rate: Any) -> str:
    """The likely cause, and what to do about it; rate: the learning rate in use."""
    params = not_finite(model.params)
    if not np.isfinite(np.asarray(to_numpy(images), np.float64)).all():
        return "the batch contains NaN or infinity: check the data"
    if params:
        return f"the parameters {params} are not finite any more: lower learning_rate={rate}"
    return f"the scores grew too large: lower learning_rate={rate}, or check the data"


def place(model: Any, images: np.ndarray, labels: np.ndarray, gradients: Mapping[str, Any]) -> str:
    """Where in the model it begins: the layer of a Sequential, of others the first gradient; empty where unknown.

    The model's buffers change as in any forward pass.
    """
    from . import trace

    with contextlib.suppress(Exception):  # a search that fails must not hide what is searched for
        found = trace.first_not_finite(model, images, labels)
        if found is None and (names := not_finite(gradients)):
            found = f"the first gradient that is not finite is that of {names[0]!r}"
        return found or ""
    return ""


def not_finite(arrays: Mapping[str, Any]) -> list[str]:
    """The names of the arrays that hold NaN or infinity."""
    return [name for name, array in arrays.items() if not np.isfinite(np.asarray(to_numpy(array), np.float64)).all()]

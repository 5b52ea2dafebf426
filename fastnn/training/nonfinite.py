"""A loss, gradient norm or score that is not finite: whether training raises or warns, where it began, what to do."""

import contextlib
import contextvars
import sys
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from fastnn.kernels import to_numpy
from fastnn.kernels.dispatch import validation

POLICIES = ("warn", "raise")
_always_raises = contextvars.ContextVar("_always_raises", default=False)


class Stopped(Exception):
    """Raised inside a Solver that stops with a warning; args: the message, and the value that is not finite."""


@contextlib.contextmanager
def raising() -> Iterator[None]:
    """Let training raise FloatingPointError in the block, also with on_nonfinite="warn"."""
    token = _always_raises.set(True)
    try:
        yield
    finally:
        _always_raises.reset(token)


def raises(function: str, on_nonfinite: Any) -> bool:
    """Check the argument; return whether training raises FloatingPointError, rather than stop with a warning."""
    return validation.choice(function, "on_nonfinite", on_nonfinite, POLICIES) == "raise" or _always_raises.get()


def warn(message: str, otherwise: str = "; pass on_nonfinite='raise' for an error") -> None:
    """Give the RuntimeWarning of a training loop that has stopped, for the line that called fastnn."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and f"{frame.f_globals.get('__name__')}.".startswith("fastnn."):
        level, frame = level + 1, frame.f_back
    warnings.warn(
        f"{message}; training stopped, with the best parameters before it{otherwise}",
        RuntimeWarning,
        stacklevel=level,
    )


def cause(model: Any, images: np.ndarray, rate: Any) -> str:
    """The likely cause, and what to do about it; rate: the current learning rate."""
    params = not_finite(model.params)
    if not np.isfinite(np.asarray(to_numpy(images), np.float64)).all():
        return "the batch contains NaN or infinity: check the data"
    if params:
        return f"the parameters {params} are not finite any more: lower learning_rate={rate}"
    return f"the scores grew too large: lower learning_rate={rate}, or check the data"


def cause_of_scores(model: Any, error: str, rate: Any) -> str | None:
    """The likely cause of an error of an evaluation, unless it names the data; rate: the current learning rate."""
    if params := not_finite(model.params):
        return f"the parameters {params} are not finite any more: lower learning_rate={rate}"
    return None if "check the data" in error else f"the scores grew too large: lower learning_rate={rate}"


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

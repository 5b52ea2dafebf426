"""Training that diverges stops with a warning, so that a sweep over learning rates can continue."""

from fastnn.classifiers.linear_classifier import check_loss
from fastnn.training import nonfinite


def stopped(function: str, loss: float, iteration: int, learning_rate: float) -> str:
    """Return why training has to stop, after a warning; an empty string if the loss is finite.

    Raises FloatingPointError inside `nonfinite.raising`.
    """
    try:
        check_loss(function, loss, iteration, learning_rate)
    except FloatingPointError as error:
        if nonfinite.raises(function, "warn"):
            raise
        nonfinite.warn(str(error), "")
        return str(error)
    return ""

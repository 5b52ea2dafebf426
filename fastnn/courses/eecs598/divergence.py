"""Training that diverges stops with a warning, so that a sweep over learning rates can continue."""

import math
import warnings


def stops(function: str, loss: float, iteration: int, learning_rate: float) -> bool:
    """Whether training has to stop because the loss is not finite; warns if so."""
    if math.isfinite(loss):
        return False
    warnings.warn(
        f"{function}: loss = {loss} in iteration {iteration} with learning_rate={learning_rate:g}; expected a finite "
        f"number; training stops here; lower learning_rate or reg",
        RuntimeWarning,
        stacklevel=3,
    )
    return True

"""The dropout functions of the course."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastnn import arguments
from fastnn.kernels import dropout
from fastnn.kernels.dispatch import signatures, validation


@signatures.checked
def dropout_forward(x: ArrayLike, dropout_param: Mapping[str, Any]) -> tuple[np.ndarray, Any]:
    """Keep each element with probability p and divide it by p; set the others to 0. In test mode, copy x.

    dropout_param: p, the probability of keeping an element; mode, 'train' or 'test'; seed, a non-negative integer that
        gives the same mask in every call and on every backend; None: drawn from NumPy's global state
    Returns out, cache.
    """
    function = "dropout_forward"
    validation.keys(function, "dropout_param", dropout_param, ("p", "mode"), ("seed",))
    p = dropout.keep_probability(function, dropout_param["p"])
    seed = dropout_param.get("seed")
    if validation.choice(function, "mode", dropout_param["mode"], ("train", "test")) == "test":
        return validation.floats(function, x=(x, "..."))[0].copy(), (None, p)
    if seed is None:
        seed = int(np.random.randint(2**64, dtype=np.uint64))
    out, mask = dropout.dropout_forward(x, p, seed)
    return out, (mask, p)


@signatures.checked
def dropout_backward(dout: ArrayLike, cache: Any) -> np.ndarray:
    """dx = dout / p where the element was kept, else 0; in test mode, a copy of dout."""
    mask, p = arguments.cache("dropout_backward", cache, 2)
    if mask is None:
        return validation.floats("dropout_backward", dout=(dout, "..."))[0].copy()
    return dropout.dropout_backward(dout, mask, p)

"""The affine layer."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastnn import arguments
from fastnn.kernels import affine
from fastnn.kernels.dispatch import signatures, validation


@signatures.checked
def affine_forward(x: ArrayLike, w: ArrayLike, b: ArrayLike) -> tuple[np.ndarray, Any]:
    """Compute out = x @ w + b.

    x (N, d1, ..., dk): N examples, each used as a row of D = d1 * ... * dk features
    w (D, M): the weights
    b (M,): the bias
    Returns out (N, M), and a cache for `affine_backward`.
    """
    return affine.affine_forward(rows("affine_forward", x), w, b), (x, w, b)


@signatures.checked
def affine_backward(
    dout: ArrayLike, cache: Any, need_dx: bool = True
) -> tuple[np.ndarray | Any, np.ndarray, np.ndarray]:
    """Compute the gradients of `affine_forward`.

    dout (N, M): gradient of the loss with respect to out
    cache: from `affine_forward`
    need_dx: False to skip dx, which a first layer does not need
    Returns dx in the shape of x (None if not need_dx), dw (D, M), db (M,).
    """
    x, w, _ = arguments.cache("affine_backward", cache, 3)
    dx, dw, db = affine.affine_backward(dout, rows("affine_backward", x), w, need_dx)
    return dx if dx is None else dx.reshape(np.shape(x)), dw, db


def rows(function: str, x: Any, name: str = "x") -> np.ndarray:
    """x (N, d1, ..., dk) as rows (N, D); a batch of scalars (N,) as (N, 1)."""
    x = validation.array(function, name, x)
    if x.ndim == 2:
        return x
    if x.ndim == 0:
        raise ValueError(f"{function}: {name}={x} is not a batch; expected (N, d1, ..., dk); pass {name}[None]")
    return x.reshape(len(x), math.prod(x.shape[1:]))

"""The dropout functions of the course."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastnn import arguments
from fastnn.kernels import dropout
from fastnn.kernels.dispatch import arrays, signatures, validation

LARGEST_SEED = 2**32 - 1  # of np.random.seed


@signatures.checked
def dropout_forward(x: ArrayLike, dropout_param: Mapping[str, Any]) -> tuple[np.ndarray, Any]:
    """Keep each element with probability p and divide it by p; set the others to 0. In test mode, copy x.

    As in the course, the mask is `np.random.rand(*x.shape) < p`, on every backend. (`fastnn.nn.Dropout` computes its
    masks in the kernel, which is faster.)

    x (...): the input
    dropout_param: p, the probability of keeping an element; mode, 'train' or 'test'; optionally seed, an integer from 0
        to 2**32 - 1, with which each call, in both modes, first calls np.random.seed; None: it does not
    Returns out in the shape of x, and a cache for `dropout_backward`.
    """
    function = "dropout_forward"
    validation.keys(function, "dropout_param", dropout_param, ("p", "mode"), ("seed",))
    p = dropout.keep_probability(function, dropout_param["p"])
    mode = validation.choice(function, "mode", dropout_param["mode"], ("train", "test"))
    seed = dropout_param.get("seed")
    (given,) = validation.floats(function, x=(x, "..."))
    if seed is not None:
        np.random.seed(validation.integer(function, "seed", seed, minimum=0, maximum=LARGEST_SEED))
    if mode == "test":
        return given.copy(), (None, p)
    mask = arrays.on_same_device(np.asarray(np.random.random_sample(given.shape) < p), given)
    return dropout.dropout_backward(given, mask, p), (mask, p)  # with a given mask, both passes are the same function


@signatures.checked
def dropout_backward(dout: ArrayLike, cache: Any) -> np.ndarray:
    """Compute dx = dout / p where the element was kept, else 0; in test mode, copy dout.

    dout (...): gradient of the loss with respect to out
    cache: from `dropout_forward`
    Returns dx in the shape of dout.
    """
    mask, p = arguments.cache("dropout_backward", cache, 2)
    if mask is None:
        return validation.floats("dropout_backward", dout=(dout, "..."))[0].copy()
    return dropout.dropout_backward(dout, mask, p)

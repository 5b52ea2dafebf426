"""Activation functions."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastnn import arguments
from fastnn.kernels import activations
from fastnn.kernels.dispatch import signatures, validation


@signatures.checked
def relu_forward(x: ArrayLike) -> tuple[np.ndarray, Any]:
    """Compute out = max(x, 0).

    x (...): the input
    Returns out in the shape of x, and a cache for `relu_backward`.
    """
    return activations.relu_forward(x), x


@signatures.checked
def relu_backward(dout: ArrayLike, cache: Any) -> np.ndarray:
    """Compute dx = dout where x > 0, else 0.

    dout (...): gradient of the loss with respect to out
    cache: from `relu_forward`
    Returns dx in the shape of dout.
    """
    return activations.relu_backward(dout, cache)


@signatures.checked
def leaky_relu_forward(x: ArrayLike, slope: float = 0.01) -> tuple[np.ndarray, Any]:
    """Compute out = x where x > 0, else slope * x.

    x (...): the input
    slope: a finite number
    Returns out in the shape of x, and a cache for `leaky_relu_backward`.
    """
    slope = validation.number("leaky_relu_forward", "slope", slope)
    return activations.leaky_relu_forward(x, slope), (x, slope)


@signatures.checked
def leaky_relu_backward(dout: ArrayLike, cache: Any) -> np.ndarray:
    """Compute dx = dout where x > 0, else slope * dout.

    dout (...): gradient of the loss with respect to out
    cache: from `leaky_relu_forward`
    Returns dx in the shape of dout.
    """
    return activations.leaky_relu_backward(dout, *arguments.cache("leaky_relu_backward", cache, 2))


@signatures.checked
def prelu_forward(x: ArrayLike, slope: ArrayLike) -> tuple[np.ndarray, Any]:
    """Compute out = x where x > 0, else slope * x.

    x (N, C, ...): the input
    slope: (C,), one for each channel, or (1,), one for all elements
    Returns out in the shape of x, and a cache for `prelu_backward`.
    """
    return activations.prelu_forward(x, slope), (x, slope)


@signatures.checked
def prelu_backward(dout: ArrayLike, cache: Any) -> tuple[np.ndarray, np.ndarray]:
    """Compute the gradients of `prelu_forward`.

    dout (N, C, ...): gradient of the loss with respect to out
    cache: from `prelu_forward`
    Returns dx, dslope, in the shapes of x and slope.
    """
    return activations.prelu_backward(dout, *arguments.cache("prelu_backward", cache, 2))


@signatures.checked
def elu_forward(x: ArrayLike, alpha: float = 1.0) -> tuple[np.ndarray, Any]:
    """Compute out = x where x > 0, else alpha * (exp(x) - 1).

    x (...): the input
    alpha: a finite number
    Returns out in the shape of x, and a cache for `elu_backward`.
    """
    alpha = validation.number("elu_forward", "alpha", alpha)
    return activations.elu_forward(x, alpha), (x, alpha)


@signatures.checked
def elu_backward(dout: ArrayLike, cache: Any) -> np.ndarray:
    """Compute dx = dout where x > 0, else alpha * exp(x) * dout.

    dout (...): gradient of the loss with respect to out
    cache: from `elu_forward`
    Returns dx in the shape of dout.
    """
    return activations.elu_backward(dout, *arguments.cache("elu_backward", cache, 2))


@signatures.checked
def sigmoid_forward(x: ArrayLike) -> tuple[np.ndarray, Any]:
    """Compute out = 1 / (1 + exp(-x)).

    x (...): the input
    Returns out in the shape of x, and a cache for `sigmoid_backward`.
    """
    out = activations.sigmoid_forward(x)
    return out, out


@signatures.checked
def sigmoid_backward(dout: ArrayLike, cache: Any) -> np.ndarray:
    """Compute dx = dout * out * (1 - out).

    dout (...): gradient of the loss with respect to out
    cache: from `sigmoid_forward`
    Returns dx in the shape of dout.
    """
    return activations.sigmoid_backward(dout, cache)


@signatures.checked
def tanh_forward(x: ArrayLike) -> tuple[np.ndarray, Any]:
    """Compute the hyperbolic tangent.

    x (...): the input
    Returns out in the shape of x, and a cache for `tanh_backward`.
    """
    out = activations.tanh_forward(x)
    return out, out


@signatures.checked
def tanh_backward(dout: ArrayLike, cache: Any) -> np.ndarray:
    """Compute dx = dout * (1 - out) * (1 + out).

    dout (...): gradient of the loss with respect to out
    cache: from `tanh_forward`
    Returns dx in the shape of dout.
    """
    return activations.tanh_backward(dout, cache)


@signatures.checked
def gelu_forward(x: ArrayLike) -> tuple[np.ndarray, Any]:
    """Compute out = x * P(X <= x) for a standard normal X.

    x (...): the input
    Returns out in the shape of x, and a cache for `gelu_backward`.
    """
    return activations.gelu_forward(x), x


@signatures.checked
def gelu_backward(dout: ArrayLike, cache: Any) -> np.ndarray:
    """Compute dx = dout * d(x * P(X <= x))/dx.

    dout (...): gradient of the loss with respect to out
    cache: from `gelu_forward`
    Returns dx in the shape of dout.
    """
    return activations.gelu_backward(dout, cache)


@signatures.checked
def maxout_forward(x: ArrayLike, pieces: int) -> tuple[np.ndarray, Any]:
    """Compute the largest of each group of `pieces` channels.

    x (N, M*pieces, ...): the input
    pieces: an integer from 1 to 256 that divides the number of channels
    Returns out (N, M, ...), and a cache for `maxout_backward`.
    """
    pieces = validation.integer("maxout_forward", "pieces", pieces, minimum=1)
    out, index = activations.maxout_forward(x, pieces)
    return out, (index, pieces)


@signatures.checked
def maxout_backward(dout: ArrayLike, cache: Any) -> np.ndarray:
    """Compute dx: dout at the largest element of each group, else 0.

    dout (N, M, ...): gradient of the loss with respect to out
    cache: from `maxout_forward`
    Returns dx (N, M*pieces, ...).
    """
    return activations.maxout_backward(dout, *arguments.cache("maxout_backward", cache, 2))

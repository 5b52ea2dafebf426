"""Activation functions."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastnn import arguments
from fastnn.kernels import activations
from fastnn.kernels.dispatch import signatures, validation


@signatures.checked
def relu_forward(x: ArrayLike) -> tuple[np.ndarray, Any]:
    """out = max(x, 0). Returns out, cache."""
    return activations.relu_forward(x), x


@signatures.checked
def relu_backward(dout: ArrayLike, cache: Any) -> np.ndarray:
    """dx = dout where x > 0, else 0."""
    return activations.relu_backward(dout, cache)


@signatures.checked
def leaky_relu_forward(x: ArrayLike, slope: float = 0.01) -> tuple[np.ndarray, Any]:
    """out = x where x > 0, else slope * x. Returns out, cache."""
    slope = validation.number("leaky_relu_forward", "slope", slope)
    return activations.leaky_relu_forward(x, slope), (x, slope)


@signatures.checked
def leaky_relu_backward(dout: ArrayLike, cache: Any) -> np.ndarray:
    """dx = dout where x > 0, else slope * dout."""
    return activations.leaky_relu_backward(dout, *arguments.cache("leaky_relu_backward", cache, 2))


@signatures.checked
def prelu_forward(x: ArrayLike, slope: ArrayLike) -> tuple[np.ndarray, Any]:
    """out = x where x > 0, else slope * x, with slope (1,) or, for x (N, C, ...), (C,). Returns out, cache."""
    return activations.prelu_forward(x, slope), (x, slope)


@signatures.checked
def prelu_backward(dout: ArrayLike, cache: Any) -> tuple[np.ndarray, np.ndarray]:
    """dout -> dx, dslope, in the shapes of x and slope."""
    return activations.prelu_backward(dout, *arguments.cache("prelu_backward", cache, 2))


@signatures.checked
def elu_forward(x: ArrayLike, alpha: float = 1.0) -> tuple[np.ndarray, Any]:
    """out = x where x > 0, else alpha * (exp(x) - 1). Returns out, cache."""
    alpha = validation.number("elu_forward", "alpha", alpha)
    return activations.elu_forward(x, alpha), (x, alpha)


@signatures.checked
def elu_backward(dout: ArrayLike, cache: Any) -> np.ndarray:
    """dx = dout where x > 0, else alpha * exp(x) * dout."""
    return activations.elu_backward(dout, *arguments.cache("elu_backward", cache, 2))


@signatures.checked
def sigmoid_forward(x: ArrayLike) -> tuple[np.ndarray, Any]:
    """out = 1 / (1 + exp(-x)). Returns out, cache."""
    out = activations.sigmoid_forward(x)
    return out, out


@signatures.checked
def sigmoid_backward(dout: ArrayLike, cache: Any) -> np.ndarray:
    """dx = dout * out * (1 - out)."""
    return activations.sigmoid_backward(dout, cache)


@signatures.checked
def tanh_forward(x: ArrayLike) -> tuple[np.ndarray, Any]:
    """The hyperbolic tangent. Returns out, cache."""
    out = activations.tanh_forward(x)
    return out, out


@signatures.checked
def tanh_backward(dout: ArrayLike, cache: Any) -> np.ndarray:
    """dx = dout * (1 - out) * (1 + out)."""
    return activations.tanh_backward(dout, cache)


@signatures.checked
def gelu_forward(x: ArrayLike) -> tuple[np.ndarray, Any]:
    """out = x * P(X <= x) for a standard normal X. Returns out, cache."""
    return activations.gelu_forward(x), x


@signatures.checked
def gelu_backward(dout: ArrayLike, cache: Any) -> np.ndarray:
    """dx = dout * d(x * P(X <= x))/dx."""
    return activations.gelu_backward(dout, cache)


@signatures.checked
def maxout_forward(x: ArrayLike, pieces: int) -> tuple[np.ndarray, Any]:
    """The largest of each group of `pieces` channels of x (N, M*pieces, ...). Returns out (N, M, ...), cache."""
    pieces = validation.integer("maxout_forward", "pieces", pieces, minimum=1)
    out, index = activations.maxout_forward(x, pieces)
    return out, (index, pieces)


@signatures.checked
def maxout_backward(dout: ArrayLike, cache: Any) -> np.ndarray:
    """dout (N, M, ...) -> dx (N, M*pieces, ...): dout at the largest element of each group, else 0."""
    return activations.maxout_backward(dout, *arguments.cache("maxout_backward", cache, 2))

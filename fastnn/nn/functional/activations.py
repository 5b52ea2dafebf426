"""Activations and dropout."""

from typing import Any

from fastnn import rng
from fastnn.autograd import Tensor, record
from fastnn.kernels import activations as kernels
from fastnn.kernels import dropout as masks
from fastnn.kernels.dispatch import validation

from .. import deferred
from ..activations import ReLU
from .inputs import as_tensor, floats, public

_RELU = ReLU()


@public
def relu(input: Any) -> Tensor:
    """Compute max(input, 0) for input (...); the gradient at 0 is 0."""
    if (joined := deferred.joined(input, _RELU)) is not None:
        return joined
    return _elementwise("relu", input)


@public
def leaky_relu(input: Any, negative_slope: float = 0.01) -> Tensor:
    """Compute input where it is positive, else negative_slope * input.

    input (...): Tensor or array
    negative_slope: a finite number
    """
    return _elementwise("leaky_relu", input, validation.number("leaky_relu", "negative_slope", negative_slope))


@public
def elu(input: Any, alpha: float = 1.0) -> Tensor:
    """Compute input where it is positive, else alpha * (exp(input) - 1).

    input (...): Tensor or array
    alpha: a finite number
    """
    return _elementwise("elu", input, validation.number("elu", "alpha", alpha))


@public
def gelu(input: Any) -> Tensor:
    """Compute input (...) times the probability that a standard normal number is at most input."""
    return _elementwise("gelu", input)


@public
def sigmoid(input: Any) -> Tensor:
    """Compute 1 / (1 + exp(-input)) for input (...)."""
    return _elementwise("sigmoid", input, keeps="output")


@public
def tanh(input: Any) -> Tensor:
    """Compute the hyperbolic tangent of input (...)."""
    return _elementwise("tanh", input, keeps="output")


def _elementwise(name: str, input: Any, *options: Any, keeps: str = "inputs") -> Tensor:
    """An activation by its kernel, whose backward pass takes its input or its output."""
    inputs, (x,) = floats(name, input=(input, "..."))
    out = getattr(kernels, f"{name}_forward")(x, *options)
    backward, kept = getattr(kernels, f"{name}_backward"), out if keeps == "output" else x
    return record(name, inputs, out, (lambda dout: backward(dout, kept, *options),), keeps=keeps)


@public
def prelu(input: Any, weight: Any) -> Tensor:
    """Compute input where it is positive, else weight * input.

    input (N, C, ...): Tensor or array
    weight: (C,), or (1,)
    """
    inputs, (x, slope) = floats("prelu", input=(input, "..."), weight=(weight, "C"))
    if slope.size != 1 and x.shape[1:2] != slope.shape:
        raise ValueError(
            f"prelu: weight.shape = {slope.shape} does not fit input.shape = {x.shape}; expected (1,) or one for each "
            f"channel input.shape[1]; pass the weights of these channels"
        )
    out = kernels.prelu_forward(x, slope)
    return record("prelu", inputs, out, lambda dout, _: kernels.prelu_backward(dout, x, slope), keeps="inputs")


@public
def softmax(input: Any, dim: int) -> Tensor:
    """Compute exp(input) / sum(exp(input)) along an axis.

    input (...): Tensor or array
    dim: the axis
    """
    return as_tensor("softmax", input).softmax(dim)


@public
def log_softmax(input: Any, dim: int) -> Tensor:
    """Compute the logarithm of `softmax`, exact also where the softmax rounds to 0."""
    return as_tensor("log_softmax", input).log_softmax(dim)


@public
def dropout(input: Any, p: float = 0.5, training: bool = True) -> Tensor:
    """Set each element to 0 with probability p and divide the others by 1 - p.

    input (...): Tensor or array
    p: at least 0, less than 1
    training: False returns the input
    Returns a Tensor in the shape of input.
    Every call draws the seed of its mask from NumPy's global state: see `fastnn.reset_seed`.
    """
    keep = 1 - validation.number("dropout", "p", p, minimum=0, below=1)
    if not validation.flag("dropout", "training", training):
        return as_tensor("dropout", input)
    inputs, (x,) = floats("dropout", input=(input, "..."))
    out, mask = masks.dropout_forward(x, keep, int.from_bytes(rng.generator().bytes(8), "little"))
    return record("dropout", inputs, out, (lambda dout: masks.dropout_backward(dout, mask, keep),), keeps="")

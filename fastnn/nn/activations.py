"""Activation layers. Constructor arguments are those of the torch.nn namesakes."""

from typing import Any

import numpy as np

from fastnn import arguments, layers
from fastnn.kernels.dispatch import validation

from .layers import Stateless
from .module import Module, shape_of


class ReLU(Stateless):
    """Rectified linear unit: max(x, 0); the gradient at 0 is 0."""

    functions = (layers.relu_forward, layers.relu_backward)


class LeakyReLU(Stateless):
    """Leaky rectified linear unit: x where x > 0, else negative_slope * x.

    negative_slope: a finite number
    """

    functions = (layers.leaky_relu_forward, layers.leaky_relu_backward)

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__()
        self.negative_slope = validation.number("LeakyReLU", "negative_slope", negative_slope)
        self.arguments = (self.negative_slope,)

    def __repr__(self) -> str:
        return f"LeakyReLU({self.negative_slope})"


class PReLU(Module):
    """Parametric ReLU: x where x > 0, else weight * x, with one learned weight or one for each channel.

    num_parameters: 1, or the number of channels
    init: initial value of weight
    dtype: of the parameters

    Parameters: weight (num_parameters,).
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25, *, dtype: Any = np.float32) -> None:
        self.num_parameters = arguments.length("PReLU", "num_parameters", num_parameters)
        start = validation.number("PReLU", "init", init)
        super().__init__(weight=np.full(self.num_parameters, start, arguments.dtype("PReLU", dtype)))

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        shape = shape_of(self, x)
        if self.num_parameters > 1 and (len(shape) < 2 or shape[1] != self.num_parameters):
            raise ValueError(
                f"{self!r}: x.shape = {shape} does not fit; expected (N, {self.num_parameters}, ...); "
                f"check the input and the layer before this one"
            )
        return layers.prelu_forward(x, self.params["weight"])

    def backward(self, dout: np.ndarray, cache: Any, need_dx: bool = True) -> tuple[np.ndarray | None, dict]:
        dx, dslope = layers.prelu_backward(dout, cache)
        return dx if validation.flag("PReLU", "need_dx", need_dx) else None, {"weight": dslope}

    def __repr__(self) -> str:
        return f"PReLU({self.num_parameters})"


class ELU(Stateless):
    """Exponential linear unit: x where x > 0, else alpha * (exp(x) - 1).

    alpha: a finite number
    """

    functions = (layers.elu_forward, layers.elu_backward)

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = validation.number("ELU", "alpha", alpha)
        self.arguments = (self.alpha,)

    def __repr__(self) -> str:
        return f"ELU({self.alpha})"


class Sigmoid(Stateless):
    """1 / (1 + exp(-x))."""

    functions = (layers.sigmoid_forward, layers.sigmoid_backward)


class Tanh(Stateless):
    """The hyperbolic tangent."""

    functions = (layers.tanh_forward, layers.tanh_backward)


class GELU(Stateless):
    """Gaussian error linear unit: x times the probability that a standard normal number is at most x."""

    functions = (layers.gelu_forward, layers.gelu_backward)


class Maxout(Stateless):
    """The largest of each group of neighbouring channels: (N, M*pieces, ...) gives (N, M, ...).

    pieces: number of channels in a group, from 1 to 256
    """

    functions = (layers.maxout_forward, layers.maxout_backward)

    def __init__(self, pieces: int) -> None:
        super().__init__()
        self.pieces = validation.integer("Maxout", "pieces", pieces, minimum=1)
        self.arguments = (self.pieces,)

    def __repr__(self) -> str:
        return f"Maxout({self.pieces})"

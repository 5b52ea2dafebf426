"""Neighbouring layers that the kernels compute as one."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastnn import layer_utils

from .activations import ReLU
from .layers import Conv2d, Linear, MaxPool2d, Weighted
from .module import Module

# The longest match wins; a subclass of one of these may compute something else and does not match.
SANDWICHES: dict[tuple[type, ...], tuple[Callable, Callable]] = {
    (Conv2d, ReLU, MaxPool2d): (layer_utils.conv_relu_pool_forward, layer_utils.conv_relu_pool_backward),
    (Conv2d, ReLU): (layer_utils.conv_relu_forward, layer_utils.conv_relu_backward),
    (Linear, ReLU): (layer_utils.affine_relu_forward, layer_utils.affine_relu_backward),
}


class Sandwich(Module):
    """A layer with weights and the ones right after it, as one step; its parameters are those of the first."""

    def __init__(self, *layers: Any) -> None:
        super().__init__()
        self._layers = layers
        self._head: Weighted = layers[0]
        self._params = self._head.params
        self._functions = SANDWICHES[tuple(type(layer) for layer in layers)]
        self._arguments = tuple(argument for layer in layers for argument in layer.arguments)

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        self._head.check(x)
        return self._functions[0](x, *self._head.weight_and_bias(), *self._arguments)

    def backward(self, dout: np.ndarray, cache: Any, need_dx: bool = True) -> tuple[np.ndarray | None, dict]:
        dx, dw, db = self._functions[1](dout, cache, need_dx)
        return dx, self._head.gradients(dw, db)

    def __repr__(self) -> str:
        return " + ".join(map(repr, self._layers))


def fuse(layers: Sequence[Module]) -> list[tuple[int, Module]]:
    """The steps that compute `layers`: each with the position of its first layer."""
    steps: list[tuple[int, Module]] = []
    position = 0
    while position < len(layers):
        length = next((len(kinds) for kinds in SANDWICHES if _matches(kinds, layers[position:])), 1)
        run = layers[position : position + length]
        steps.append((position, run[0] if length == 1 else Sandwich(*run)))
        position += length
    return steps


def _matches(kinds: tuple[type, ...], layers: Sequence[Module]) -> bool:
    """Whether the layers begin with these kinds; a pooling with padding is no part of a sandwich."""
    run = layers[: len(kinds)]
    padded = any(isinstance(layer, MaxPool2d) and any(layer.padding) for layer in run)
    return tuple(map(type, run)) == kinds and not padded

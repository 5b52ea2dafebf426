"""Fusion of neighbouring layers that have a fused kernel."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnn import layer_utils

from .activations import ReLU
from .affine_chain import chain_of
from .hierarchy import Fusion
from .layers import Conv2d, Linear, MaxPool2d, Parametric
from .module import Module
from .normalization import BatchNorm, BatchNorm1d, BatchNorm2d, LayerNorm, Normalization

# The longest match wins. Subclasses do not match, since they may compute something else.
FUSED: dict[tuple[type, ...], tuple[Callable, Callable]] = {
    (Conv2d, BatchNorm2d, ReLU, MaxPool2d): (
        layer_utils.conv_bn_relu_pool_forward,
        layer_utils.conv_bn_relu_pool_backward,
    ),
    (Conv2d, BatchNorm2d, ReLU): (layer_utils.conv_bn_relu_forward, layer_utils.conv_bn_relu_backward),
    (Conv2d, ReLU, MaxPool2d): (layer_utils.conv_relu_pool_forward, layer_utils.conv_relu_pool_backward),
    (Conv2d, ReLU): (layer_utils.conv_relu_forward, layer_utils.conv_relu_backward),
    (Linear, BatchNorm1d, ReLU): (layer_utils.affine_bn_relu_forward, layer_utils.affine_bn_relu_backward),
    (Linear, LayerNorm, ReLU): (layer_utils.affine_ln_relu_forward, layer_utils.affine_ln_relu_backward),
    (Linear, ReLU): (layer_utils.affine_relu_forward, layer_utils.affine_relu_backward),
}


class Step(NamedTuple):
    """One step of a Sequential: a layer or a Fused.

    position: position of its first layer
    names: maps the keys of its gradients to the names of the parameters in the network
    """

    position: int
    module: Any
    names: dict[str, str]


class Fused:
    """A layer with weights and the layers that follow it, computed by fused kernels, with the passes of a Module.

    The keys of its gradients are prefixed by the positions of its layers: "0.weight", "1.weight".
    """

    def __init__(self, *layers: Any) -> None:
        self._layers = layers
        kinds = tuple(map(type, layers))
        self._functions, self.title = FUSED[kinds], _title(kinds)

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        self._layers[0].check(x)
        arrays: list[np.ndarray] = []
        arguments: list[Any] = []
        norms: list[tuple[BatchNorm, tuple]] = []
        for layer in self._layers:
            own = layer.arguments
            arguments += own
            if layer.params:
                arrays += layer.weight_and_bias()
            if isinstance(layer, BatchNorm):
                norms.append((layer, own))
        out, cache = self._functions[0](x, *arrays, *arguments)
        for norm, own in norms:
            norm.keep(*own)
        return out, cache

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.forward(x)[0]

    def backward(self, dout: np.ndarray, cache: Any, need_dx: bool = True) -> tuple[np.ndarray | None, dict]:
        dx, *gradients = self._functions[1](dout, cache, need_dx)
        grads = {}
        for position, layer in enumerate(self._layers):
            if layer.params:
                own = layer.gradients(*gradients[:2])
                grads.update({f"{position}.{key}": gradient for key, gradient in own.items()})
                gradients = gradients[2:]
        return dx, grads

    def _tensors(self) -> dict[str, Any]:
        own = [(position, layer._tensors()) for position, layer in enumerate(self._layers)]
        return {f"{position}.{key}": one for position, tensors in own for key, one in tensors.items()}

    def __repr__(self) -> str:
        return " + ".join(map(repr, self._layers))


@functools.cache
def _title(kinds: tuple[type, ...]) -> str:
    return " + ".join(kind.__name__ for kind in kinds)


def fuse(layers: Sequence[Module]) -> list[Step]:
    """Group layers into steps, fusing where possible."""
    steps: list[Step] = []
    position = 0
    while position < len(layers):
        length = next((len(kinds) for kinds in FUSED if _matches(kinds, layers[position:])), 1)
        run = layers[position : position + length]
        if length == 1:
            steps.append(Step(position, run[0], {key: f"{position}.{key}" for key in run[0].params}))
        else:
            keys = [(offset, key) for offset, layer in enumerate(run) for key in layer.params]
            names = {f"{offset}.{key}": f"{position + offset}.{key}" for offset, key in keys}
            steps.append(Step(position, Fused(*run), names))
        position += length
    return steps


def _matches(kinds: tuple[type, ...], layers: Sequence[Any]) -> bool:
    """Whether the layers begin with these types, with options that the fused kernels support."""
    run = layers[: len(kinds)]
    return tuple(map(type, run)) == kinds and all(_fits(run[0], layer) for layer in run[1:])


def _fits(head: Parametric, layer: Module) -> bool:
    """Whether a layer can be fused: pooling without padding; normalization of the outputs of the head, with affine."""
    if isinstance(layer, MaxPool2d):
        return not any(layer.padding)
    if isinstance(layer, Normalization):
        return len(layer.params) == 2 and layer.shape == (head.outputs,)
    return True


# ---- layers of Modules that are differentiated automatically ----

_BEGINNINGS = {kinds[:length] for kinds in FUSED for length in range(1, len(kinds) + 1)}


def _begins(layers: Sequence[Any]) -> bool:
    """Whether a fused kernel begins with these layers."""
    if tuple(map(type, layers)) not in _BEGINNINGS:
        return False
    return len(layers) == 1 or all(_fits(layers[0], layer) for layer in layers[1:])


def _combined(layers: Sequence[Any]) -> Fused | None:
    """The layer that computes these, of which `_begins` is true, or None."""
    return Fused(*layers) if tuple(map(type, layers)) in FUSED else None


def _follows(layers: Sequence[Any], layer: Any) -> bool:
    """Whether an affine layer follows these, which are affine and have as many outputs as it has inputs."""
    is_affine = type(layer) is Linear and tuple(map(type, layers)) in ((Linear,), (Linear, ReLU))
    return is_affine and layer.in_features == layers[0].out_features


Module._fusion = Fusion(_begins, _combined, _follows, chain_of)

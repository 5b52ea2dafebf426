"""The loss of affine layers at the end of a network and their gradients, without the checks of each layer."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.kernels.dispatch import validation
from fastnn.kernels.fused.repeated import affine_chain
from fastnn.layers import softmax_loss

from .activations import ReLU
from .layers import Flatten, Linear
from .module import Module

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_LABELS = np.dtype(np.int64)
_METHODS = frozenset(("forward", "backward", "_cast"))  # assigned to an object, they replace those of its class


class AffineChain:
    """The last layers of a Sequential, if they are Linear, each alone or with a ReLU, in steps with the softmax loss.

    layers: the affine layers; relus: whether a ReLU follows each; names: of their parameters in the network, in order
    methods: forward and backward of Sequential; the class of the network may define others
    """

    def __init__(self, layers: list[Linear], relus: list[bool], names: list[str], methods: tuple = ()) -> None:
        self._relus, self._names, self._methods = tuple(relus), names, methods
        self._layers = [(layer, (layer.in_features, layer.out_features), (layer.out_features,)) for layer in layers]
        self._shapes = tuple(matrix for _, matrix, _ in self._layers)

    @property
    def dtype(self) -> Any:
        """The dtype of the first weights, or None if they are no array."""
        return getattr(self._layers[0][0]._params.get("weight"), "dtype", None)

    def fits(self, network: Any, X: Any) -> bool:
        """Whether nothing but the arrays can keep the steps of a network from being made in this way."""
        kind = type(network)
        return (
            network.loss_function is softmax_loss
            and type(X) is np.ndarray
            and (kind.forward, kind.backward) == self._methods
            and _METHODS.isdisjoint(network.__dict__)
        )

    def step(self, X: np.ndarray, y: Any, need_dx: bool) -> tuple[float, dict[str, np.ndarray], Any] | None:
        """The loss, the gradients and dx (None unless needed), of an input X of the first layer.

        None if the layers have to look at the arguments. That is so unless every array is as the kernels take it, and
        every method that of its class. Nothing is taken for granted because it was so before: arrays can change in
        place, and be replaced. The bits are those that the layers give.
        """
        compute, dtype = affine_chain(), self.dtype
        if compute is None:
            return None
        weights, biases = [], []
        for layer, matrix, row in self._layers:
            params, own = layer._params, layer.__dict__
            w, b = params.get("weight"), params.get("bias")
            if not (
                type(w) is np.ndarray
                and type(b) is np.ndarray
                and w.dtype is dtype
                and b.dtype is dtype
                and w.shape == matrix
                and b.shape == row
                and w.flags.carray
                and b.flags.carray
            ) or ("forward" in own or "backward" in own):
                return None
            weights.append(w)
            biases.append(b)
        if dtype not in _FLOATS or type(X) is not np.ndarray or X.dtype != dtype:
            return None
        if X.ndim < 2 or not X.size or X.size != len(X) * self._layers[0][1][0] or not X.flags.carray:
            return None
        images = X if X.ndim == 2 else X.reshape(len(X), -1)
        if not (type(y) is np.ndarray and y.dtype is _LABELS and y.shape == images.shape[:1] and y.flags.carray):
            y = validation.labels("softmax_loss", "y", y, len(X), self._layers[-1][1][1])
        found = compute(images, y, weights, biases, self._shapes, self._relus, self._names, need_dx)
        if found is None or images is X or not need_dx:
            return found
        loss, gradients, dx = found
        return loss, gradients, dx.reshape(X.shape)


def chain_of(layers: Sequence[Module], names: list[str], methods: tuple = ()) -> AffineChain | None:
    """The chain of some layers, or None if there are others. Flatten may precede the first, which flattens too.

    names: of the network's parameters, whose last ones are these layers'
    Subclasses are others, since they may compute something else.
    """
    affine: list[Linear] = []
    relus: list[bool] = []
    for layer in layers:
        if type(layer) is Linear and "bias" in layer.params:
            affine.append(layer)
            relus.append(False)
        elif type(layer) is ReLU and affine and not relus[-1]:
            relus[-1] = True
        elif type(layer) is not Flatten or affine:
            return None
    return AffineChain(affine, relus, names[len(names) - 2 * len(affine) :], methods) if affine else None

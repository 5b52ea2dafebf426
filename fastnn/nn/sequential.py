"""Sequential: a network of layers in order."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from fastnn import arguments
from fastnn.kernels.dispatch import validation
from fastnn.layers import softmax_loss

from . import early
from .affine_chain import AffineChain, chain_of
from .container import Container, explicit, numbered, run
from .fused import Step, fuse
from .module import Module


class Sequential(Container):
    """A network that applies layers in order; a Module, and a model for `Solver`.

        model = Sequential(Conv2d(3, 32, 3, padding=1), ReLU(), MaxPool2d(2), Flatten(), Linear(8192, 10), reg=1e-3)
        scores = model.loss(X)
        loss, grads = model.loss(X, y)

    layers: Modules, each at most once if it has parameters or buffers; Sequentials can be nested
    loss: function of (scores, y) that returns (loss, dscores), such as those of `fastnn.layers`
    reg: strength of the penalty 0.5 * reg * sum(W*W) on the weights of Linear and Conv2d; can be changed later
    names: a name for each parameter in order, such as ("W1", "b1"); by default torch's: "0.weight", "0.bias", ...

    x is converted to the dtype of the parameters. Neighbouring layers are computed by fused kernels if there are any.
    Errors raised by a layer have a note that names the layer and its position.
    """

    def __init__(
        self,
        *layers: Module,
        loss: Callable = softmax_loss,
        reg: float = 0.0,
        names: Iterable[str] | None = None,
    ) -> None:
        super().__init__(numbered(layers), names)
        self.layers = layers
        self.loss_function = arguments.function("Sequential", "loss", loss)
        self.reg = validation.number("Sequential", "reg", reg, minimum=0)
        self._steps = fuse([explicit(layer) for layer in layers])
        self._first = next((index for index, step in enumerate(self._steps) if step.names), len(layers))
        self._chain, self._head = self._affine_end()

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, tuple]:
        caches: list[Any] = []
        return self._forward(self._cast(x), caches, self._steps), tuple(caches)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        x = self._cast(x)
        for position, module, _ in self._steps:
            x = run(module, x, position, module)  # each cache is freed at once
        return x

    def backward(self, dout: np.ndarray, cache: tuple, need_dx: bool = True) -> tuple[np.ndarray | None, dict]:
        grads: dict[str, np.ndarray] = {}
        cache = arguments.cache("Sequential.backward", cache, len(self._steps))
        dx = self._backward(dout, cache, validation.flag("Sequential", "need_dx", need_dx), grads)
        return dx if need_dx else None, {name: grads[name] for name in self.params}

    def _forward(self, x: np.ndarray, caches: list[Any], steps: list[Step]) -> np.ndarray:
        """Return the output of some steps, and append their caches."""
        for position, module, _ in steps:
            x, cache = run(module.forward, x, position, module)
            caches.append(cache)
        return x

    def _backward(self, dx: Any, caches: Sequence[Any], need_dx: bool, grads: dict[str, np.ndarray]) -> Any:
        """Return the gradient of the input of the steps that have these caches; add those of their parameters."""
        taking = early.receiver_of_layers(self, Sequential.backward)
        for index in reversed(range(0 if need_dx else self._first, len(caches))):
            _, module, names = self._steps[index]
            dx, own = module.backward(dx, caches[index], need_dx or index > self._first)
            named = {self._names[names[key]]: gradient for key, gradient in own.items()}
            grads.update(named)
            if taking is not None:
                taking.receive(named, dx)
        return dx

    def _affine_end(self) -> tuple[AffineChain | None, int]:
        """The chain of the last layers, if they are affine, and the number of steps before it."""
        for head, step in enumerate(self._steps):
            chain = chain_of(
                self.layers[step.position :], list(self._params), (Sequential.forward, Sequential.backward)
            )
            if chain is not None:
                return chain, head
        return None, 0

    def _passes(self, X: Any, y: Any) -> tuple[Any, dict[str, np.ndarray]]:
        """The loss without its penalty, and the gradients; the affine layers at the end compute theirs in one call."""
        chain, head = self._chain, self._head
        if chain is None or not chain.fits(self, X):
            return super()._passes(X, y)
        caches: list[Any] = []
        x = X if head == 0 and X.dtype is chain.dtype else self._cast(X)
        x = self._forward(x, caches, self._steps[:head])
        found = chain.step(x, y, self._first < head)
        if found is None:
            loss, dx = self.loss_function(self._forward(x, caches, self._steps[head:]), y)
            grads: dict[str, np.ndarray] = {}
        else:
            loss, grads, dx = found
            if (taking := early.receiver_of_layers(self, Sequential.backward)) is not None:
                for step in reversed(self._steps[head:]):
                    taking.receive({name: grads[name] for name in map(self._names.__getitem__, step.names.values())})
        if caches:
            self._backward(dx, caches, False, grads)
            grads = {name: grads[name] for name in self.params}
        return loss, grads

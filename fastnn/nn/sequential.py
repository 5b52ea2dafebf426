"""Sequential: a network of layers in order."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from fastnn import arguments
from fastnn.kernels.dispatch import validation
from fastnn.layers import softmax_loss

from .affine_chain import chain_of
from .container import Container, explicit, numbered, run
from .fused import fuse
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
        self._chain = chain_of(layers, list(self._params), (Sequential.forward, Sequential.backward))

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, tuple]:
        x = self._cast(x)
        caches = []
        for position, module, _ in self._steps:
            x, cache = run(module.forward, x, position, module)
            caches.append(cache)
        return x, tuple(caches)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        x = self._cast(x)
        for position, module, _ in self._steps:
            x = run(module, x, position, module)  # each cache is freed at once
        return x

    def backward(self, dout: np.ndarray, cache: tuple, need_dx: bool = True) -> tuple[np.ndarray | None, dict]:
        grads: dict[str, np.ndarray] = {}
        cache = arguments.cache("Sequential.backward", cache, len(self._steps))
        last = 0 if validation.flag("Sequential", "need_dx", need_dx) else self._first
        dx: Any = dout
        for index in reversed(range(last, len(self._steps))):
            _, module, names = self._steps[index]
            dx, own = module.backward(dx, cache[index], need_dx or index > self._first)
            grads.update({self._names[names[key]]: gradient for key, gradient in own.items()})
        return dx if need_dx else None, {name: grads[name] for name in self.params}

"""Networks as one layer after the other."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from fastnn import arguments
from fastnn.kernels import l2
from fastnn.kernels.dispatch import arrays, signatures, validation
from fastnn.layers import softmax_loss

from . import weights_io
from .container import Container, numbered, run
from .fused import fuse
from .module import Module, eval_mode
from .named_arrays import all_fitting


class Sequential(Container):
    """Layers one after the other; itself a Module, and a model for `Solver`.

        model = Sequential(Conv2d(3, 32, 3, padding=1), ReLU(), MaxPool2d(2), Flatten(), Linear(8192, 10), reg=1e-3)
        scores = model.loss(X)
        loss, grads = model.loss(X, y)

    layers: Modules, each at most once if it has parameters or buffers; Sequentials nest
    loss: function of (scores, y) that returns (loss, dscores), such as those of `fastnn.layers`
    reg: strength of the penalty 0.5 * reg * sum(W*W) on the weights of Linear and Conv2d; may be changed later
    names: a name for each parameter in order, such as ("W1", "b1"); by default torch's: "0.weight", "0.bias", ...

    x is converted to the dtype of the parameters. Neighbouring layers that the kernels compute as one are computed so.
    Errors that a layer raises carry a note that names it and its position.
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
        self._steps = fuse(layers)
        self._first = next((index for index, step in enumerate(self._steps) if step.names), len(layers))

    @signatures.checked
    def loss(self, X: np.ndarray, y: Any = None) -> Any:
        """Scores of X, computed in eval mode, where y is None; else the loss with its penalty, and all gradients.

        X: input of the first layer, any real dtype; y: what the loss function wants, labels (N,) for softmax_loss
        Returns scores, or (loss, dict of gradients by the names of `params`).
        """
        if y is None:
            with eval_mode():
                return self(X)
        scores, cache = self.forward(X)
        loss, dscores = self.loss_function(scores, y)
        _, grads = self.backward(dscores, cache, need_dx=False)
        if self.reg:
            names = self.regularized
            weights = [self.params[name] for name in names]
            for name, weight in zip(names, weights, strict=True):
                grads[name] = arrays.contiguous(grads[name], weight.dtype)
            loss = loss + l2.weight_penalty(weights, [grads[name] for name in names], self.reg)
        return loss, grads

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
            x = run(module, x, position, module)  # no cache lives longer than its layer
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

    @signatures.checked
    def save(self, name: str) -> None:
        """Write parameters and buffers to a file of that name, as data only.

        HDF5 where the name ends in .h5 or .hdf5, else NumPy's npz.
        """
        weights_io.save(name, self.params, self.buffers)

    @signatures.checked
    def load(self, name: str) -> None:
        """Read what `save` wrote, without executing anything in the file.

        Raises ValueError where names or shapes are not those of this model, or the file is of another kind; the model
        then stays as it was.
        """
        params, buffers = weights_io.load(name)
        kind = type(self).__name__
        params = all_fitting(f"{kind}.params", "params", self.params, params)
        self.buffers = all_fitting(f"{kind}.buffers", "buffers", self.buffers, buffers)
        self.params = params

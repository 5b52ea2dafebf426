"""Networks with skip connections: Residual and DenseBlock."""

from typing import Any

import numpy as np

from fastnn import arguments
from fastnn.kernels.dispatch import arrays, signatures, validation

from .container import Container, explicit, numbered, run
from .module import Module
from .sequential import Sequential


class Residual(Container):
    """The sum layers(x) + x, or layers(x) + shortcut(x).

        Residual(Conv2d(8, 16, 3, padding=1), BatchNorm2d(16), shortcut=Conv2d(8, 16, 1))

    layers: applied in order; their output must have the shape of x, or of shortcut(x)
    shortcut: a Module, such as a 1x1 convolution if the number of channels changes; None: the identity
    Names are nested as in a Sequential: "0.weight", ..., "shortcut.weight".
    Source: He, Zhang, Ren & Sun, Deep residual learning for image recognition (2016), section 3.2.
    """

    def __init__(self, *layers: Module, shortcut: Module | None = None) -> None:
        super().__init__(numbered(layers) if shortcut is None else {**numbered(layers), "shortcut": shortcut})
        self._body = Sequential(*layers)
        self._shortcut = None if shortcut is None else explicit(shortcut)

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        x = self._cast(x)
        out, cache = self._body.forward(x)
        if self._shortcut is None:
            return self._sum(out, x), (cache, None)
        skipped, skipped_cache = run(self._shortcut.forward, x, "shortcut", self._shortcut)
        return self._sum(out, skipped), (cache, skipped_cache)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        x = self._cast(x)
        skipped = x if self._shortcut is None else run(self._shortcut, x, "shortcut", self._shortcut)
        return self._sum(self._body(x), skipped)

    def backward(self, dout: np.ndarray, cache: Any, need_dx: bool = True) -> tuple[np.ndarray | None, dict]:
        cache = arguments.cache("Residual.backward", cache, 2)
        dout, need_dx = (
            validation.array("Residual.backward", "dout", dout),
            validation.flag("Residual", "need_dx", need_dx),
        )
        dx, grads = self._body.backward(dout, cache[0], need_dx)
        if self._shortcut is None:
            return None if dx is None else _added(dx, dout), grads
        dskipped, own = self._shortcut.backward(dout, cache[1], need_dx)
        grads.update(self._named("shortcut", own))
        return None if dx is None else _added(dx, dskipped), grads

    def _sum(self, out: np.ndarray, skipped: np.ndarray) -> np.ndarray:
        if out.shape != skipped.shape:
            source = "x" if self._shortcut is None else "shortcut(x)"
            raise ValueError(
                f"Residual: the layers give the shape {out.shape}, but {source} has the shape {skipped.shape}; "
                f"expected equal shapes; pad the convolutions, or pass a shortcut such as Conv2d(C, F, 1, stride)"
            )
        return _added(out, skipped)


class DenseBlock(Container):
    """Concatenate the input and the outputs of all layers along axis 1; each layer gets all of them before it.

        DenseBlock(Conv2d(8, 4, 3, padding=1), Conv2d(12, 4, 3, padding=1))         # (N, 8, H, W) gives (N, 16, H, W)

    layers: the first takes (N, C, ...), the next (N, C + channels of the first one's output, ...), and so on; a layer
        may itself be a Sequential, such as one of batch norm, ReLU and convolution
    Source: Huang, Liu, van der Maaten & Weinberger, Densely connected convolutional networks (2017), section 3.
    """

    def __init__(self, *layers: Module) -> None:
        super().__init__(numbered(layers))

    def _layers(self) -> list[tuple[str, Module]]:
        return [(name, explicit(layer)) for name, layer in self._children.items()]

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, tuple]:
        x = self._cast(x)
        caches = []
        for name, layer in self._layers():
            out, cache = run(layer.forward, x, name, layer)
            caches.append((cache, x.shape[1]))
            x = _joined(x, out, name)
        return x, tuple(caches)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        x = self._cast(x)
        for name, layer in self._layers():
            x = _joined(x, run(layer, x, name, layer), name)
        return x

    def backward(self, dout: np.ndarray, cache: tuple, need_dx: bool = True) -> tuple[np.ndarray | None, dict]:
        grads: dict[str, np.ndarray] = {}
        cache = arguments.cache("DenseBlock.backward", cache, len(self._children))
        need_dx = validation.flag("DenseBlock", "need_dx", need_dx)
        dx: Any = validation.floats("DenseBlock.backward", dout=(dout, "N C ..."))[0]
        for index, (name, layer) in reversed(list(enumerate(self._layers()))):
            own_cache, before = cache[index]
            needed = need_dx or index > 0
            dseen, own = layer.backward(dx[:, before:], own_cache, needed)
            dx = _added(dx[:, :before], dseen) if needed else None
            grads.update(self._named(name, own))
        return dx if need_dx else None, {name: grads[name] for name in self.params}


@signatures.quiet
def _added(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Their sum, without NumPy's warnings, as kernels compute."""
    return x + y


def _joined(x: np.ndarray, out: np.ndarray, name: str) -> np.ndarray:
    if out.ndim != x.ndim or out.shape[:1] + out.shape[2:] != x.shape[:1] + x.shape[2:]:
        raise ValueError(
            f"DenseBlock: layer {name} gives the shape {out.shape} for x of shape {x.shape}; expected equal lengths "
            f"except on axis 1; pad the convolutions, and pool outside the block"
        )
    return arrays.concatenate((x, out), axis=1)

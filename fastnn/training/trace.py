"""Where in a network numbers stop being finite: it is run once more on the batch, layer by layer."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from fastnn.kernels import to_numpy
from fastnn.nn.container import Container
from fastnn.nn.module import Module
from fastnn.nn.sequential import Sequential


def first_not_finite(network: Any, x: Any, y: Any) -> str | None:
    """In words, the first layer whose output for the batch x, or else whose gradient, holds NaN or infinity.

    network: a Sequential; of other models nothing is known, and of those where all is finite: None
    x, y: as in `Sequential.loss`. The network's buffers change as in any forward pass.
    """
    if not isinstance(network, Sequential):
        return None
    steps = []
    out, cache = x, None
    with np.errstate(all="ignore"):
        for name, layer in _leaves(network, ""):
            out, cache = layer.forward(network._cast(out))
            text = f"layer {name} ({type(layer).__name__ if isinstance(layer, Container) else repr(layer)})"
            if not _is_finite(out):
                return f"{text} is the first whose output is not finite"
            steps.append((text, layer, cache))
        loss, dout = network.loss_function(out, y)
        if not _is_finite(loss):
            return "the output of every layer is finite, but the loss function of it is not"
        for text, layer, cache in reversed(steps):
            dout, grads = layer.backward(dout, cache)
            for name, gradient in grads.items():
                if not _is_finite(gradient):
                    return f"{text} is the last whose gradient, of {name!r}, is not finite"
            if not _is_finite(dout):
                return f"{text} is the last whose gradient, of its input, is not finite"
    return None


def _leaves(network: Sequential, prefix: str) -> Iterator[tuple[str, Module]]:
    """The layers in order, those of a Sequential inside as "2.0", "2.1", ..."""
    for name, layer in network.named_children().items():
        if isinstance(layer, Sequential):
            yield from _leaves(layer, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", layer


def _is_finite(array: Any) -> bool:
    return bool(np.isfinite(to_numpy(array)).all())

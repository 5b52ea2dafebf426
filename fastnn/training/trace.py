"""Find the layer in which numbers stop being finite, by running the batch again layer by layer."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from fastnn.kernels import to_numpy
from fastnn.nn.container import Container, explicit
from fastnn.nn.module import Module
from fastnn.nn.sequential import Sequential


def first_not_finite(network: Any, x: Any, y: Any) -> str | None:
    """A sentence that names the first layer whose output for the batch x, or else whose gradient, is not finite.

    network: a Sequential, or a Module with only a forward, of which the first operation of the tape is named
    x, y: as in `Sequential.loss`
    Returns None for other models, or if everything is finite. Buffers change as in any forward pass.
    """
    if isinstance(network, Module) and network._is_recorded:
        return _first_operation(network, x, y)
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
            return "the output of every layer is finite, but the value of the loss function is not"
        for text, layer, cache in reversed(steps):
            dout, grads = layer.backward(dout, cache)
            for name, gradient in grads.items():
                if not _is_finite(gradient):
                    return f"{text} is the last whose gradient, of {name!r}, is not finite"
            if not _is_finite(dout):
                return f"{text} is the last whose gradient, of its input, is not finite"
    return None


def _first_operation(network: Module, x: Any, y: Any) -> str | None:
    from fastnn.autograd import detect_anomaly

    try:
        with detect_anomaly():
            network.loss(x, y)
    except FloatingPointError as error:
        return str(error).partition("; ")[0]
    return None


def _leaves(network: Sequential, prefix: str) -> Iterator[tuple[str, Module]]:
    """The layers in order; those of a nested Sequential are named "2.0", "2.1", ..."""
    for name, layer in network.named_children().items():
        if isinstance(layer, Sequential):
            yield from _leaves(layer, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", explicit(layer)


def _is_finite(array: Any) -> bool:
    return bool(np.isfinite(to_numpy(array)).all())

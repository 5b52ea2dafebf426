"""What Module wraps around the constructors and calls of its classes: recorded arguments, calls with Tensors."""

import functools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn import arguments

# arguments that, given as objects, affect only the initial values of parameters; some cannot be copied
_INITIAL_ONLY = ("seed", "generator", "init")
_PLAIN = (int, float, str, np.generic)


def is_tensor(x: Any) -> bool:
    """Whether x is a Tensor of `fastnn.autograd`, which is only imported by who uses it."""
    autograd = sys.modules.get("fastnn.autograd")
    return autograd is not None and isinstance(x, autograd.Tensor)


@functools.cache
def recorded() -> Any:
    from . import recorded  # imports `fastnn.autograd`

    return recorded


def call(module: Any, *inputs: Any, **options: Any) -> Any:
    """Return the output of a module without `backward`: Tensors for Tensors, arrays for arrays.

    module: the Module itself
    inputs, options: arguments of its `forward`
    """
    return recorded().call(module, *inputs, **options)


def call_layer(module: Any, x: Any) -> Any:
    """Call a layer with both passes on a Tensor."""
    return recorded().call_layer(module, x)


def taking_tensors(call: Callable) -> Callable:
    """Wrap the `__call__` of a layer with both passes: a Tensor is computed as one operation of the tape."""

    @functools.wraps(call)
    def called(self: Any, *inputs: Any, **options: Any) -> Any:
        if len(inputs) == 1 and is_tensor(inputs[0]):
            return call_layer(self, inputs[0])
        return call(self, *inputs, **options)

    return called


def recording(constructor: Callable) -> Callable:
    """Wrap a constructor to record its arguments, from which `fastnn.checkpoint.config` rebuilds the module."""

    @functools.wraps(constructor)
    def called(self: Any, *inputs: Any, **options: Any) -> None:
        if "_given" not in vars(self):  # else a constructor of a subclass recorded them
            given = arguments.unshared(options)
            kept = {
                name: value for name, value in given.items() if name not in _INITIAL_ONLY or isinstance(value, _PLAIN)
            }
            self._given = arguments.unshared(inputs), kept
        constructor(self, *inputs, **options)

    return called

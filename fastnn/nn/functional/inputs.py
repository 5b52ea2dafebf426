"""What all functions share: checks of their inputs, and errors in their names."""

import functools
import re
from collections.abc import Callable
from typing import Any

from fastnn.autograd import Tensor
from fastnn.kernels.dispatch import arrays, signatures, validation

# the names of this module for the arguments of kernels, in errors
_NAMES = {"x.shape": "input.shape", "pad": "padding", "size": "kernel_size", "groups": "num_groups", "epsilon": "eps"}
_KERNEL_ARGUMENT = re.compile(r"(?<![\w.])(x\.shape|pad|size|groups|epsilon)(?= ?=)")


def public(function: Callable) -> Callable:
    """Decorate a function of this module: its errors, also those of kernels, have its name and its arguments' names."""
    name, checked = function.__name__, signatures.checked(function)

    @functools.wraps(function)
    def called(*arguments: Any, **options: Any) -> Tensor:
        try:
            return checked(*arguments, **options)
        except (ValueError, TypeError) as error:
            origin, colon, words = str(error).partition(": ")
            if origin == name or not colon:
                raise
            words = _KERNEL_ARGUMENT.sub(lambda found: _NAMES[found[0]], words)
            raise type(error)(f"{name}: {words}") from error

    return called


def floats(function: str, optional: tuple[str, ...] = (), /, **named: tuple[Any, str]) -> tuple[list[Any], list[Any]]:
    """Return the inputs of a node, and their arrays, checked as by `validation.floats`, in the backend's memory.

    optional: the names of arguments that may be None, and stay so
    """
    inputs, given = [], {}
    for name, (value, pattern) in named.items():
        value = value.to() if isinstance(value, Tensor) else value
        if value is not None or name not in optional:
            given[name] = (value.data if isinstance(value, Tensor) else value), pattern
        inputs.append(value)
    found = dict(zip(given, map(arrays.to_device, validation.floats(function, **given)), strict=True))
    return inputs, [found.get(name) for name in named]


def as_tensor(function: str, input: Any) -> Tensor:
    """The input as a Tensor in the memory of the active backend."""
    return input.to() if isinstance(input, Tensor) else Tensor(validation.array(function, "input", input))

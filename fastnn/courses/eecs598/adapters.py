"""The course's form of a layer, a class with the static methods `forward` and `backward`; loops for a GPU's tensors."""

import functools
import sys
from collections.abc import Callable
from typing import Any

import torch


def layer(name: str, forward: Callable, backward: Callable, **others: Callable) -> type:
    """Return a class called `name`, in the module that calls this, with functions as static methods."""
    methods = {"forward": forward, "backward": backward, **others}
    return type(
        name,
        (),
        {
            "__doc__": f"forward: `{forward.__name__}`; backward: `{backward.__name__}`. See their docstrings.",
            "__module__": sys._getframe(1).f_globals["__name__"],
            **{method: staticmethod(function) for method, function in methods.items()},
        },
    )


def on_the_host(function: Callable) -> Callable:
    """Return a function that is called with copies on the CPU of tensors on a GPU; its results return to the GPU.

    The course runs its loops on the GPU too, where fastnn has none.
    """

    @functools.wraps(function)
    def called(*arguments: Any, **keywords: Any) -> Any:
        first = next((value for value in arguments if isinstance(value, torch.Tensor)), None)
        if first is None or not _is_on_gpu(first):
            return function(*arguments, **keywords)
        return _moved(function(*_moved(arguments, torch.device("cpu")), **keywords), first.device)

    return called


def _is_on_gpu(tensor: torch.Tensor) -> bool:
    return tensor.device.type != "cpu"


def _moved(value: Any, device: torch.device) -> Any:
    """Return a value with its tensors, also those in tuples, on that device."""
    if isinstance(value, torch.Tensor):
        return value.to(device)
    return tuple(_moved(one, device) for one in value) if type(value) is tuple else value

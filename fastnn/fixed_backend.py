"""Functions that keep to one backend whatever the switch says: the course's `*_naive` and `*_fast`."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from fastnn.kernels import get_backend, use_backend
from fastnn.kernels.dispatch.switch import DEFAULT

LOOPS = "naive"

F = TypeVar("F", bound=Callable)


def to_loops(function: F, name: str, module: str) -> F:
    """The function on the plain loops, under the name given in a module."""

    @functools.wraps(function)
    def pinned(*arguments: Any, **options: Any) -> Any:
        with use_backend(LOOPS):
            return function(*arguments, **options)

    return _named(pinned, name, module, f"`{function.__name__}` as plain loops, whatever the backend.")


def to_fast(function: F, name: str, module: str) -> F:
    """The function on the active backend, on the default one where that is the plain loops, under the name given in a
    module.
    """

    @functools.wraps(function)
    def pinned(*arguments: Any, **options: Any) -> Any:
        if get_backend() != LOOPS:
            return function(*arguments, **options)
        with use_backend(DEFAULT):
            return function(*arguments, **options)

    return _named(pinned, name, module, f"`{function.__name__}`, and never as plain loops.")


def _named(function: Callable, name: str, module: str, summary: str) -> Any:
    function.__name__ = function.__qualname__ = name
    function.__module__ = module  # pickle looks it up there
    function.__doc__ = "\n\n".join(filter(None, (summary, function.__doc__)))
    return function

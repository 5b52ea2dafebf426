"""Functions with a fixed backend: the course's `*_naive` and `*_fast`."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from fastnn.kernels import get_backend, use_backend
from fastnn.kernels.dispatch.switch import DEFAULT

LOOPS = "naive"

F = TypeVar("F", bound=Callable)


def to_loops(function: F, name: str, module: str) -> F:
    """Return `function` fixed to the naive loops, named `name` in `module`."""

    @functools.wraps(function)
    def fixed(*arguments: Any, **options: Any) -> Any:
        with use_backend(LOOPS):
            return function(*arguments, **options)

    return _named(fixed, name, module, f"`{function.__name__}` as naive loops, whatever the active backend.")


def to_fast(function: F, name: str, module: str) -> F:
    """Return `function` on the active backend, or on the default one if that is "naive"; named `name` in `module`."""

    @functools.wraps(function)
    def fixed(*arguments: Any, **options: Any) -> Any:
        if get_backend() != LOOPS:
            return function(*arguments, **options)
        with use_backend(DEFAULT):
            return function(*arguments, **options)

    return _named(fixed, name, module, f"`{function.__name__}`, never as naive loops.")


def _named(function: Callable, name: str, module: str, summary: str) -> Any:
    function.__name__ = function.__qualname__ = name
    function.__module__ = module  # pickle looks it up there
    function.__doc__ = "\n\n".join((summary, inspect.cleandoc(function.__doc__))) if function.__doc__ else summary
    return function

"""Checks of arguments, beyond those of arrays and numbers in `fastnn.kernels.checks`."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from fastnn.kernels import checks


def known(function: Callable, unknown: dict[str, Any]) -> None:
    """TypeError for keywords that `function` collected with `**`, with the nearest one that it has."""
    for name, value in unknown.items():
        kinds = inspect.signature(function).parameters.values()
        words = [parameter.name for parameter in kinds if parameter.kind is parameter.KEYWORD_ONLY]
        raise TypeError(
            f"{function.__name__}: the keyword {name}={value!r} is unknown; expected only {', '.join(words)}"
            f"{checks.suggestion(name, words)}"
        )


def count_or_none(function: str, name: str, value: Any) -> int | None:
    """A whole number from 1 up, or None."""
    return None if value is None else checks.integer(function, name, value, minimum=1)


def function_or_none(function: str, name: str, value: Any) -> Any:
    """A function, or None."""
    if value is not None and not callable(value):
        raise TypeError(
            f"{function}: {name}={value!r} is no function; expected a function or None; pass its name, without "
            f"parentheses, or an object that can be called"
        )
    return value


def callbacks(function: str, name: str, values: Iterable[Callable]) -> list[Callable]:
    """Functions, as a list."""
    given = list(values)
    for value in given:
        if not callable(value):
            raise TypeError(
                f"{function}: {name} contains {value!r}; expected functions; pass their names, without parentheses"
            )
    return given


def movable(function: str, name: str, x: Any) -> np.ndarray:
    """An array of floats, whose elements a numeric gradient moves in place."""
    if not isinstance(x, np.ndarray) or x.dtype.kind != "f":
        kind = f"an array of {x.dtype}" if isinstance(x, np.ndarray) else f"a {type(x).__name__}"
        raise TypeError(
            f"{function}: {name} is {kind}; expected an array of floats, whose elements can be moved by h; "
            f"convert it with np.asarray({name}, dtype=np.float64)"
        )
    return x

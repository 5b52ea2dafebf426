"""Decorators for clear errors about wrong or missing arguments, and for independence of NumPy's error state."""

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from . import active, deprecated, tensors, validation

F = TypeVar("F", bound=Callable)
_modules, _are_simple = sys.modules, tensors.SIMPLE.issuperset  # each looked up in every call


class Unsupported(NotImplementedError):
    """Raised if a backend's function does not support its arguments: `raise Unsupported(f"dilation={dilation}")`.

    Variants raise it, including those of other packages; the public function completes the message.

    feature: the arguments that are not supported
    words: the completed message
    """

    def __init__(self, feature: str, words: str = "") -> None:
        super().__init__(feature, words)
        self.feature, self.words = feature, words

    def __str__(self) -> str:
        return self.words or self.feature

    @property
    def name(self) -> str:
        """The name of the argument."""
        return self.feature.partition("=")[0]


def checked(function: F) -> F:
    """Decorate a public function, method or `__init__`: wrong arguments raise TypeError in the form of `validation`.

    The error for an unknown keyword suggests the nearest name. A function of the modules in `tensors.TAKING` also takes
    torch tensors, and then returns tensors.
    """
    return _checked(function, _checked(function) if tensors.are_taken_by(function) else None)


def _checked(function: F, of_arrays: F | None = None) -> F:
    """`checked`; calls with torch tensors are made through the second function, if there is one."""

    @functools.wraps(function)
    def called(*arguments, **keywords):
        if (
            of_arrays
            and "torch" in _modules
            and (keywords or not _are_simple(map(type, arguments)))
            and tensors.among(*arguments, *keywords.values())
        ):
            return tensors.called(of_arrays, arguments, keywords)
        try:
            return function(*arguments, **keywords)
        except Unsupported as error:
            if error.words:
                raise
            raise Unsupported(error.feature, _unsupported(function, error.feature)) from error
        except TypeError as error:
            if error.__traceback__ is not None and error.__traceback__.tb_next is not None:
                raise  # the function itself raised it
            renamed = deprecated.keywords(function, keywords)
            message = "" if renamed else _message(function, arguments, keywords)
        if renamed:
            return called(*arguments, **renamed)
        raise TypeError(message)

    return called  # type: ignore[return-value]


def quiet(function: F) -> F:
    """Decorate a function that computes with NumPy: ignore floating-point errors, independent of `np.seterr`."""

    @functools.wraps(function)
    def called(*arguments, **keywords):
        with np.errstate(all="ignore"):
            return function(*arguments, **keywords)

    return called  # type: ignore[return-value]


def _unsupported(function: Callable, feature: str) -> str:
    backend = active.name()
    return (
        f"{function.__name__}: backend={backend!r} does not support {feature}; expected a backend that does, and "
        f"nothing falls back to another one; call it under use_backend({'naive' if backend == 'njit' else 'njit'!r})"
    )


def _message(function: Callable, arguments: tuple, keywords: dict[str, Any]) -> str:
    signature = inspect.signature(function)
    words = [name for name, parameter in signature.parameters.items() if parameter.kind is not parameter.VAR_KEYWORD]
    name = function.__name__
    if words[:1] in (["self"], ["cls"]):
        words, owner = words[1:], (type(arguments[0]) if words[0] == "self" else arguments[0]).__name__
        name = owner if name in ("__init__", "__call__") else f"{owner}.{name}"
    try:
        signature.bind(*arguments, **keywords)
        what = "wrong arguments"
    except TypeError as error:
        what = str(error)
    for keyword, value in keywords.items():
        if keyword not in words and "too many positional" not in what:
            return (
                f"{name}: the keyword {keyword}={validation.brief(value)} is unknown; expected only "
                f"{', '.join(words) or 'none'}{validation.suggestion(keyword, words)}"
            )
    return f"{name}: {what}; expected {name}({', '.join(words)}); pass these"

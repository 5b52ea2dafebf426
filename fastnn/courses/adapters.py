"""One adapter for functions and classes of the courses that differ from fastnn's in keywords and defaults only."""

import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Adapted(NamedTuple):
    """A function or class of fastnn under the keywords of a course.

    target: "module:name"
    parameters: the course's positional parameters, in its order; empty: those of the target
    keywords: the course's keywords that differ: another name, or a function of the value that returns a dict of
        keywords of the target
    defaults: keywords of the target that are passed unless the call sets them
    check: a function of the dict of the call's arguments, which raises an error if they do not go together
    """

    target: str
    parameters: tuple[str, ...] = ()
    keywords: Mapping[str, str | Callable[[Any], dict[str, Any]]] = {}
    defaults: Mapping[str, Any] = {}
    check: Callable[[Mapping[str, Any]], None] | None = None

    def build(self, name: str, module: str) -> Any:
        """Return the adapted function, or a subclass of the class, as if defined in `module`."""
        source, _, attribute = self.target.partition(":")
        wrapped = getattr(importlib.import_module(source), attribute)
        if not inspect.isclass(wrapped):
            return _named(self._around(wrapped, wrapped, skip=0), name, module)
        make = self._around(wrapped, wrapped, skip=0)

        def new(cls: type, *given: Any, **keywords: Any) -> Any:
            """Return an object of fastnn's own class, which checkpoints know; classes derived from this one stay."""
            return make(*given, **keywords) if cls is built else object.__new__(cls)

        built: type = type(name, (wrapped,), {"__doc__": wrapped.__doc__, "__module__": module, "__new__": new})
        initialise = vars(wrapped)["__init__"]
        setattr(built, "__init__", _named(self._around(initialise, wrapped, skip=1), "__init__", module))  # noqa: B010
        return built

    def _around(self, function: Callable, wrapped: Any, skip: int) -> Callable:
        """Return `function`, called with translated arguments; the first `skip` ones (self) are passed on."""
        order = self.parameters or _positional(wrapped)

        @functools.wraps(function)
        def called(*given: Any, **keywords: Any) -> Any:
            kept, rest = given[:skip], given[skip:]
            named = dict(zip(order, rest, strict=False))
            if len(rest) > len(order) or named.keys() & keywords.keys():
                return function(*given, **keywords)  # which raises the error
            return function(*kept, **self._translated(named | keywords))

        return called

    def _translated(self, given: Mapping[str, Any]) -> dict[str, Any]:
        if self.check is not None:
            self.check(given)
        result = dict(self.defaults)
        for name, value in given.items():
            change = self.keywords.get(name, name)
            result |= change(value) if callable(change) else {change: value}
        return result


def _positional(function: Callable) -> tuple[str, ...]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(name for name, one in inspect.signature(function).parameters.items() if one.kind in kinds)


def _named(function: Callable, name: str, module: str) -> Callable:
    function.__name__, function.__module__ = name, module
    return function

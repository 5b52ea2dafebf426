"""Backends of other packages, found through the entry-point group `fastnn.backends`.

    [project.entry-points."fastnn.backends"]
    mine = "my_package.kernels"

The entry point refers to a package with a module for each operation (`my_package/kernels/conv2d.py`), or to a mapping
from names of operations to modules or other objects with functions as attributes. The functions have the names and
parameters of the operation's public functions and are called with positional, validated arguments: C-contiguous arrays
of one dtype, strides as (height, width) pairs. Operations and functions may be missing. A function may omit its last
parameters; it is then called only if these have their default values. For any other feature that it does not support,
a function raises `fastnn.kernels.Unsupported`.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from . import windows
from .signatures import Unsupported

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "fastnn.backends"
_KERNELS = __package__.rpartition(".")[0]


@functools.cache
def offered(reserved: tuple[str, ...]) -> dict[str, tuple[EntryPoint, ...]]:
    """Return the entry points by name, in alphabetical order; reserved names become "NAME of PACKAGE".

    reserved: names of built-in backends
    """
    from importlib.metadata import entry_points  # slower than the rest of `import fastnn`

    found: dict[str, tuple[EntryPoint, ...]] = {}
    for point in entry_points(group=GROUP):
        name = f"{point.name} of {_package(point)}" if point.name in reserved else point.name
        found[name] = (*found.get(name, ()), point)
    return dict(sorted(found.items()))


def reason(name: str, points: tuple[EntryPoint, ...]) -> tuple[str, str] | None:
    """Return why a backend of another package cannot run here and the remedy, or None if it can.

    name: name of the backend
    points: entry points of that name
    """
    packages = sorted(map(_package, points))
    if points[0].name != name:
        return f"the name {points[0].name!r} is reserved by fastnn", f"ask the authors of {packages[0]} for another"
    if len(points) > 1:
        return f"more than one package offers it: {', '.join(packages)}", "uninstall all but one of them"
    try:
        operations = load(points[0])
    except (Exception, SystemExit) as error:  # any error raised by the import of another package
        message = " ".join(f"{type(error).__name__}: {error}".split())
        return f"loading {points[0].value!r} of {packages[0]} failed ({message})", f"reinstall or update {packages[0]}"
    if not isinstance(operations, (ModuleType, Mapping)):
        kind = type(operations).__name__
        return (
            f"{points[0].value!r} of {packages[0]} is of type {kind}, neither a package nor a mapping of operations",
            f"ask the authors of {packages[0]} to fix it",
        )
    return None


@functools.cache
def load(point: EntryPoint) -> Any:
    """Return the object that an entry point refers to.

    point: an entry point
    """
    return point.load()


def variant(point: EntryPoint, operation: str) -> Any:
    """Return the module, or other object, with the functions of an operation; None if there is none.

    point: entry point of the backend
    operation: name of the operation, such as "conv2d"
    """
    operations = load(point)
    if isinstance(operations, Mapping):
        return operations.get(operation)
    name = f"{operations.__name__}.{operation}"
    if hasattr(operations, "__path__") and importlib.util.find_spec(name):
        return importlib.import_module(name)
    return getattr(operations, operation, None)


class Functions:
    """The functions of an operation on a backend of another package; a missing one raises NotImplementedError.

    operation, backend: their names
    functions: the module, or other object, that has the functions
    """

    def __init__(self, operation: str, backend: str, functions: Any):
        self._operation, self._backend, self._functions = operation, backend, functions

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._functions, name, None)
        if function is None:
            raise NotImplementedError(
                f"{name}: backend={self._backend!r} has no such function for {self._operation}; expected one, and "
                f"nothing falls back to another backend; call it under use_backend('njit')"
            )
        contract = getattr(importlib.import_module(f"{_KERNELS}.{self._operation}"), name, None)
        function = _as_variant(function, contract) if contract else function
        setattr(self, name, function)
        return function


def _as_variant(function: Callable, contract: Callable) -> Callable:
    """Adapt a function with the parameters of a public one, except the last ones, to those of its variants."""
    parameters = inspect.signature(contract).parameters
    names, wanted = windows.inner(parameters), list(parameters)
    count = _accepted(function, parameters)
    if names == wanted and count == len(wanted):
        return function

    def variant(*arguments: Any) -> Any:
        given = dict(zip(names, arguments, strict=True))
        for whole, parts in windows.FIELDS.items():
            if whole in given:
                given.update((part, getattr(given[whole], field)) for part, field in parts.items())
        for name in wanted[count:]:
            default = parameters[name].default
            if given[name] not in (default, (default, default)):
                raise Unsupported(f"{name}={given[name]!r}")
        return function(*(given[name] for name in wanted[:count]))

    return variant


def _accepted(function: Callable, parameters: Mapping[str, inspect.Parameter]) -> int:
    """Return how many of these parameters a function accepts by position: all, or all except some with a default."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # compiled code may have no signature
        return len(parameters)
    required = sum(parameter.default is parameter.empty for parameter in parameters.values())
    for count in range(len(parameters), required - 1, -1):
        try:
            signature.bind(*list(parameters)[:count])
            return count
        except TypeError:
            continue
    return len(parameters)  # the call raises the error


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.value

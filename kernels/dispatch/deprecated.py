"""Former public names of functions, modules and arguments, which still work with a DeprecationWarning."""

import importlib
import inspect
import warnings
from collections.abc import Callable
from typing import Any

KEYWORDS = {"between": "pre_norm"}  # former names of arguments


def keywords(function: Callable, given: dict[str, Any]) -> dict[str, Any] | None:
    """Return the keywords of a call under their present names, with a warning; None if no name is a former one."""
    parameters = inspect.signature(function).parameters
    former = [name for name in given if name not in parameters and KEYWORDS.get(name) in parameters]
    if not former or any(KEYWORDS[name] in given for name in former):
        return None
    for name in former:
        warnings.warn(f"{function.__name__}: {name}= is now {KEYWORDS[name]}=", DeprecationWarning, stacklevel=3)
    return {KEYWORDS[name] if name in former else name: value for name, value in given.items()}


def names(module: str, **renamed: str) -> Callable[[str], Any]:
    """Return a module `__getattr__` that maps former names of functions or submodules to their present names."""

    def __getattr__(name: str) -> Any:
        if name not in renamed:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warnings.warn(f"{module}.{name} is now {module}.{renamed[name]}", DeprecationWarning, stacklevel=2)
        owner = importlib.import_module(module)
        if hasattr(owner, renamed[name]):
            return getattr(owner, renamed[name])
        return importlib.import_module(f"{module}.{renamed[name]}")

    return __getattr__

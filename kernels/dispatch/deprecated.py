"""Former names of what users may import: they still work, and warn."""

import importlib
import warnings
from collections.abc import Callable
from typing import Any


def names(module: str, **renamed: str) -> Callable[[str], Any]:
    """A `__getattr__` for a module: former name -> name, of its functions or of its submodules."""

    def __getattr__(name: str) -> Any:
        if name not in renamed:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warnings.warn(f"{module}.{name} is now {module}.{renamed[name]}", DeprecationWarning, stacklevel=2)
        owner = importlib.import_module(module)
        if hasattr(owner, renamed[name]):
            return getattr(owner, renamed[name])
        return importlib.import_module(f"{module}.{renamed[name]}")

    return __getattr__

"""The import finder behind `fastnn.courses`: modules made from the table, and the courses' own names for them.

`fastnn.courses.nndl.cnn` is made from the entry "cnn" of the course nndl in `table`: a module whose names are those of
fastnn, some of them adapted. `nndl.cnn` is the same module, if the course was installed and no package of that name
can be imported here.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from types import ModuleType
from typing import Any

from fastnn.layers import preloading

from . import table
from .adapters import Adapted

PREFIX = "fastnn.courses."
_aliases: dict[str, str] = {}  # the courses' names of packages -> the full names of ours


class Finder(importlib.abc.MetaPathFinder):
    """Finds modules of courses; anywhere else, and for real packages, other finders go on."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        top, _, rest = fullname.partition(".")
        if fullname.startswith(PREFIX):
            course, _, module = fullname.removeprefix(PREFIX).partition(".")
            entry = table.find(course, module)
            return None if entry is None else _spec(fullname, _Made(entry), table.has_modules(course, module))
        if top not in _aliases or is_real(top):
            return None
        name = f"{_aliases[top]}.{rest}".rstrip(".")
        if importlib.util.find_spec(name) is None:
            raise ModuleNotFoundError(
                f"{fullname}: fastnn has no such module of this course; expected one that `fastnn courses` lists; put "
                f"the course's own package {top} beside the notebook to use that instead",
                name=fullname,
            )
        return _spec(fullname, _Alias(name), is_package=True)


class _Made(importlib.abc.Loader):
    """Fills a module with the names of an entry of the table."""

    def __init__(self, entry: table.Module) -> None:
        self._entry = entry

    def create_module(self, spec: Any) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        names: dict[str, Any] = {}
        for source in self._entry.sources:
            names |= public(importlib.import_module(source))
        for name, value in self._entry.names.items():
            names[name] = value.build(name, module.__name__) if isinstance(value, Adapted) else target(value)
        module.__dict__.update(names)
        module.__doc__ = (
            f"fastnn as {module.__name__.removeprefix(PREFIX)}: made from {', '.join(self._entry.sources)}."
        )
        module.__dict__["__all__"] = sorted(names)
        preloading.course()


class _Alias(importlib.abc.Loader):
    """Gives a module of fastnn a second name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def create_module(self, spec: Any) -> ModuleType:
        self._module = importlib.import_module(self._name)
        self._spec = self._module.__spec__
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # the import system has set the alias's


def public(module: ModuleType) -> dict[str, Any]:
    """Return what `from module import *` imports."""
    names = getattr(module, "__all__", None)
    if names is None:
        names = [name for name in vars(module) if not name.startswith("_")]
    return {name: getattr(module, name) for name in names}


def target(name: str) -> Any:
    """Return the object that "module:name" stands for."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def is_real(top: str) -> bool:
    """Whether a package or module of this name can be imported; a mere folder of data does not count."""
    spec = importlib.machinery.PathFinder.find_spec(top)
    return spec is not None and spec.loader is not None and spec.origin is not None


def add(names: dict[str, str]) -> None:
    """Install names of packages, in place of former ones of the same names."""
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder())
    remove(names)
    _aliases.update(names)


def remove(names: Any = None) -> None:
    """Remove names of packages, and forget their modules; None: all of them."""
    for top in list(_aliases if names is None else names):
        if _aliases.pop(top, None) is not None:
            for name in [name for name in sys.modules if name == top or name.startswith(f"{top}.")]:
                del sys.modules[name]


def _spec(name: str, loader: importlib.abc.Loader, is_package: bool) -> importlib.machinery.ModuleSpec:
    return importlib.machinery.ModuleSpec(name, loader, origin="fastnn.courses", is_package=is_package)

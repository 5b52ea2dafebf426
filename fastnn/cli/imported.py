"""Functions and classes that the command line imports from a module of the user."""

import contextlib
import importlib
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fastnn.kernels.dispatch import validation


@contextlib.contextmanager
def imported(command: str, option: str, text: str, example: str) -> Iterator[Callable]:
    """Import `module:name`; during the block its module may import others from its folder.

    A module of the current folder takes precedence over an installed one.
    """
    folder = os.getcwd()
    before = [*sys.path]
    sys.path.append(folder)
    try:
        yield _found(command, option, text, example, folder)
    finally:
        sys.path[:] = before


def _found(command: str, option: str, text: str, example: str, folder: str) -> Callable:
    module, _, name = text.partition(":")
    given = f"{command}: {option}={text!r}"
    what, kind = ("function", "FUNCTION") if option == "kernel" else ("class or function", "NAME")
    if not (module and name):
        raise ValueError(f"{given} names no {what}; expected MODULE:{kind}; write {example}")
    try:
        _import_from(folder, module.partition(".")[0], given)
        found = importlib.import_module(module)
    except ImportError as error:
        raise ValueError(
            f"{given} cannot be imported ({error}); expected a module in this folder or an installed one, without "
            f".py; change to its folder"
        ) from error
    if not callable(getattr(found, name, None)):
        names = [other for other in vars(found) if not other.startswith("_") and callable(getattr(found, other))]
        raise ValueError(
            f"{command}: {module} has no {what} {name!r}; expected one of its own{validation.suggestion(name, names)}"
        )
    return getattr(found, name)


def _import_from(folder: str, name: str, given: str) -> None:
    """Import a module or package of that name from the folder, if there is one, without changing the search order."""
    spec = importlib.machinery.PathFinder.find_spec(name, [folder])
    if spec is None or spec.loader is None:
        return
    if name in sys.stdlib_module_names:
        raise ValueError(
            f"{given} has the name of a standard library module; expected another one; "
            f"rename {Path(str(spec.origin)).name}"
        )
    if name not in sys.modules:
        sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(sys.modules[name])
        except BaseException:
            sys.modules.pop(name, None)
            raise


@contextlib.contextmanager
def imported_model(command: str, text: str | None) -> Iterator[Any]:
    """Make the network of `--model module:name`, a class or a function without arguments; None if text is None."""
    if text is None:
        yield None
        return
    with imported(command, "model", text, "mine:Net") as found:
        is_network = hasattr(found, "params") and not isinstance(found, type)
        made = found if is_network else found()
        if not hasattr(made, "params"):
            raise ValueError(
                f"{command}: model={text!r} makes {validation.brief(made)}, which has no parameters; expected a "
                f"network, such as a Module; name its class, or a function that returns it"
            )
        yield made

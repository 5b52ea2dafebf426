"""Saving and loading of a module: its own names and layouts, or torch's in files that others read."""

import os
from typing import Any

from . import weights_io
from .named_arrays import all_fitting
from .state_dict import collect, restore


def save(module: Any, name: str | os.PathLike) -> None:
    """Implement `Module.save`."""
    if weights_io.is_exchanged("save", name):
        weights_io.save(name, collect(module))
    else:
        weights_io.save(name, module.params, module.buffers)


def load(module: Any, name: str | os.PathLike) -> None:
    """Implement `Module.load`."""
    params, buffers = weights_io.load(name)
    if weights_io.is_exchanged("load", name):
        try:
            restore(module, params, strict=True)
        except (KeyError, TypeError) as error:
            raise ValueError(error.args[0]) from error
        return
    kind = type(module).__name__
    params = all_fitting(f"{kind}.params", "params", module.params, params)
    module.buffers = all_fitting(f"{kind}.buffers", "buffers", module.buffers, buffers)
    module.params = params

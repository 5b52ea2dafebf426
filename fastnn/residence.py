"""What training reads and writes, in the memory where the active backend computes."""

import contextlib
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import numpy as np

from fastnn.kernels import arrays

from .sampling import is_in_memory

_DATA = ("X_train", "y_train", "X_val", "y_val")


@contextlib.contextmanager
def on_device(solver: Any) -> Iterator[None]:
    """Inside the block, all that training reads and writes is on the GPU, if the active backend computes there.

    And if the model does (`fastnn.nn.Module.resident`). Afterwards all is in the host's memory again.
    """
    if not (arrays.computes_on_gpu() and getattr(solver.model, "resident", False)):
        yield
        return
    given = {name: getattr(solver, name) for name in _DATA}
    try:
        solver.model.to_device()
        _move(solver, arrays.to_device)
        for name, value in given.items():
            setattr(solver, name, placed(value))
        yield
    finally:
        solver.model.to_host()
        _move(solver, arrays.to_numpy)
        for name, value in given.items():
            setattr(solver, name, value)


def placed(data: Any) -> Any:
    """Data where the active backend computes; what would fill more than half of what is free there, or lies in a file,
    stays where it is, and its batches move.
    """
    fits = isinstance(data, np.ndarray) and data.nbytes <= arrays.room() // 2
    return arrays.to_device(data) if fits else data


@contextlib.contextmanager
def params_on_device(params: MutableMapping[str, np.ndarray]) -> Iterator[None]:
    """Inside the block the arrays of a dict are where the active backend computes; then the old ones have their values.

    Those that cannot be written to are replaced.
    """
    given = dict(params)
    try:
        params.update({name: arrays.to_device(value) for name, value in given.items()})
        yield
    finally:
        for name, value in given.items():
            if arrays.is_resident(params[name]):
                result = arrays.to_numpy(params[name])
                if value.flags.writeable:
                    value[...], result = result, value
                params[name] = result


def is_ours(value: Any) -> bool:
    """Whether a function, or the class of an object, is one of fastnn's own, which leave arithmetic to the kernels."""
    return getattr(value, "__module__", "").partition(".")[0] == "fastnn"


def _move(solver: Any, move: Callable) -> None:
    """Move the state of the update rule and the best parameters."""
    for values in (*solver.optim_configs.values(), solver.best_params, solver.best_buffers):
        values.update({name: move(value) for name, value in values.items() if is_in_memory(value)})

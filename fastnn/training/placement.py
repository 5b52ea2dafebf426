"""Placement of a model, its data and its training state on the device of the active backend."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from fastnn.devices import place
from fastnn.kernels.dispatch import arrays

from .sampling import is_in_memory

_DATA = ("X_train", "y_train", "X_val", "y_val")


@contextlib.contextmanager
def on_device(solver: Any) -> Iterator[None]:
    """Keep everything that training reads and writes on the GPU during the block; then move it back to the host.

    Does nothing unless both the active backend and the model (`fastnn.nn.Module.resident`) compute on a GPU.
    """
    if not (arrays.computes_on_gpu() and getattr(solver.model, "resident", False)):
        yield
        return
    given = {name: getattr(solver, name) for name in _DATA}
    try:
        solver.model.to_device()
        _move(solver, arrays.to_device)
        for name, value in given.items():
            setattr(solver, name, place(value))
        yield
    finally:
        solver.model.to_host()
        _move(solver, arrays.to_numpy)
        for name, value in given.items():
            setattr(solver, name, value)


def _move(solver: Any, move: Callable) -> None:
    """Move the state of the update rule and the best parameters."""
    for values in (*solver.optim_configs.values(), solver.best_params, solver.best_buffers):
        values.update({name: move(value) for name, value in values.items() if is_in_memory(value)})

"""Validation of the saved state of a Solver before it is loaded: types, shapes, finite numbers.

An undamaged checkpoint may still contain something that no Solver wrote, or a run that had diverged.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn.kernels.dispatch import validation

_COUNTS = ("iteration", "epoch", "evaluated", "run_from")
_HISTORIES = ("loss_history", "train_acc_history", "val_acc_history")
_ARRAYS = ("params", "buffers", "best_params", "best_buffers")


def check(function: str, state: Mapping[str, Any], count: int) -> None:
    """Raise ValueError or TypeError if a state with all keys is not valid for a Solver with `count` training images."""
    for name in _COUNTS:
        validation.integer(function, name, state[name], minimum=0)
    validation.number(function, "best_val_acc", state["best_val_acc"])
    if not isinstance(state["finished"], (bool, np.bool_)):
        raise _error(function, "finished", "not a boolean", "True or False")
    for name in _HISTORIES:
        if not isinstance(state[name], (list, tuple)):
            raise _error(function, name, "not a list", "a list of numbers")
        for index, value in enumerate(state[name]):
            validation.number(function, f"{name}[{index}]", value)
    for name in (*_ARRAYS, "optim_configs", "generator"):
        if not isinstance(state[name], Mapping):
            raise _error(function, name, f"a {type(state[name]).__name__}", "a dict")
    for name in _ARRAYS:
        for key, value in state[name].items():
            _check_array(function, f"{name}[{key!r}]", value)
    for name in ("params", "buffers"):  # the best ones have the same shapes, or do not exist yet
        best = {key: np.shape(value) for key, value in state[f"best_{name}"].items()}
        if best and best != {key: np.shape(value) for key, value in state[name].items()}:
            raise _error(function, f"best_{name}", f"in the shapes {best}", f"those of {name}")
    if set(state["optim_configs"]) != set(state["params"]):
        raise _error(function, "optim_configs", f"for {list(state['optim_configs'])}", f"for {list(state['params'])}")
    for name, config in state["optim_configs"].items():
        if not isinstance(config, Mapping):
            raise _error(function, f"optim_configs[{name!r}]", f"a {type(config).__name__}", "a dict")
        for key, value in config.items():
            if isinstance(value, np.ndarray):
                _check_array(function, f"optim_configs[{name!r}][{key!r}]", value)
    _check_order(function, state["order"], count)


def _check_array(function: str, name: str, value: Any) -> None:
    if not isinstance(value, (np.ndarray, np.generic)) or value.dtype.kind not in "biuf":
        kind = getattr(value, "dtype", type(value).__name__)
        raise _error(function, name, f"of the type {kind}", "an array of real numbers")
    if not np.isfinite(value).all():
        raise _error(function, name, "not finite", "neither NaN nor infinity")


def _check_order(function: str, order: Any, count: int) -> None:
    """Check the permutation of the images; it is empty if batches are drawn with replacement or none was drawn yet."""
    if not isinstance(order, np.ndarray) or order.dtype.kind not in "iu" or order.ndim != 1:
        raise _error(function, "order", "not an array of indices", "an array (N,) of integers")
    if order.size and not np.array_equal(np.sort(order), np.arange(count)):
        raise _error(function, "order", f"not a permutation of {count} images", "every index once")


def _error(function: str, name: str, problem: str, expected: str) -> ValueError:
    return ValueError(
        f"{function}: {name} in the state is {problem}; expected {expected}; use an older checkpoint, such as the one "
        f"whose name ends in .prev"
    )

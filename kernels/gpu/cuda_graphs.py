"""Steps that the active backend can repeat without Python, as cuda does: see `graphs` and `graph_inputs`."""

import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from ..dispatch import arrays


def is_possible() -> bool:
    """Whether the active backend can."""
    return arrays.computes_on_gpu()


def watch(function: Callable[[], None]) -> Any:
    """Run a function; notes of what it did, whose `obstacle(others)` says why it cannot be repeated, or None."""
    return _gpu("graphs").watch(function)


def record(function: Callable[[], None]) -> Callable[[], None]:
    """What does all that a function has the backend do, which is not done yet; call both inside a `stage`."""
    return _gpu("graphs").record(function)


def stage() -> AbstractContextManager:
    """Where steps are recorded and repeated, inside a `with` block; one for all."""
    return _gpu("graphs").Stage()


def stretch(*arguments: Any) -> Any:
    """Tables of what steps differ in, see `graph_inputs.Stretch`."""
    return _gpu("graph_inputs").Stretch(*arguments)


def supplied(supply: Callable[[Any], None]) -> AbstractContextManager:
    """Inside the block, update rules get their numbers from a function that is given the memory to write to."""
    return _gpu("multi_tensor").supplied(supply)


def numbers(rule: str, **hyperparameters: float) -> tuple:
    """What the kernel of an update rule, such as "adam", is given for a step with these hyperparameters."""
    return importlib.import_module("...updates.cuda", __name__).NUMBERS[rule](**hyperparameters)


def _gpu(module: str) -> Any:
    return importlib.import_module(f".{module}", __package__)

"""Work that the active backend can capture and replay without Python, as cuda does: see `graphs`, `graph_inputs`."""

import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from ..dispatch import arrays


def is_possible() -> bool:
    """Whether the active backend can."""
    return arrays.computes_on_gpu()


def trace(function: Callable[[], None]) -> Any:
    """Run a function; notes of what it did, whose `reason(others)` says why it cannot be repeated, or None."""
    return _gpu("graphs").trace(function)


def capture(function: Callable[[], None]) -> Callable[[], None]:
    """A function that replays all work of another one, which is not done yet; call both in a `capture_stream`."""
    return _gpu("graphs").capture(function)


def capture_stream() -> AbstractContextManager:
    """The stream on which work is captured and replayed, inside a `with` block."""
    return _gpu("graphs").CaptureStream()


def graph_inputs(*arguments: Any) -> Any:
    """Tables of what steps differ in, see `graph_inputs.GraphInputs`."""
    return _gpu("graph_inputs").GraphInputs(*arguments)


def supplied(supply: Callable[[Any], None]) -> AbstractContextManager:
    """Inside the block, update rules get their numbers from a function that is given the memory to write to."""
    return _gpu("multi_tensor").supplied(supply)


def _gpu(module: str) -> Any:
    return importlib.import_module(f".{module}", __package__)

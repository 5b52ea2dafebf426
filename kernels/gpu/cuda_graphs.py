"""CUDA graphs for callers that must not import GPU packages; implemented in `tracing`, `graphs`, `graph_inputs`."""

import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from ..dispatch import arrays


def is_possible() -> bool:
    """Whether the active backend can capture and replay work."""
    return arrays.computes_on_gpu()


def trace(function: Callable[[], None]) -> Any:
    """Run a function and return a `tracing.Trace` of its GPU work."""
    return _gpu("tracing").trace(function)


def capture(function: Callable[[], None]) -> tuple[Callable[[], None], str | None]:
    """Capture the GPU work of a function, without running it; return a function that replays it, and None.

    Call both inside a `capture_stream`. If it cannot be captured, return the function itself, and the reason.
    """
    graphs = _gpu("graphs")
    try:
        return graphs.capture(function), None
    except graphs.CaptureFailed as error:
        return function, f"capturing one failed ({error})"


def capture_stream() -> AbstractContextManager:
    """Return a context manager: a stream on which work is captured and replayed."""
    return _gpu("graphs").CaptureStream()


def graph_inputs(*arguments: Any) -> Any:
    """Return the per-step inputs of a graph, a `graph_inputs.GraphInputs`."""
    return _gpu("graph_inputs").GraphInputs(*arguments)


def supplied(supply: Callable[[Any], None]) -> AbstractContextManager:
    """Return a context manager in which `supply(memory)` writes the hyperparameters of update rules."""
    return _gpu("multi_tensor").supplied(supply)


def _gpu(module: str) -> Any:
    return importlib.import_module(f".{module}", __package__)

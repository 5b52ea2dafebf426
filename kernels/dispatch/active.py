"""The name of the active backend, in a module of its own because `arrays` and `switch` both need it."""

from collections.abc import Callable
from contextvars import ContextVar

scoped: ContextVar[str | None] = ContextVar("fastnn_backend", default=None)  # set by `use_backend`
chosen: str | None = None  # set by `set_backend`, or read from the environment
_resolve: Callable[[], str]  # reads the environment variable


def name() -> str:
    """Return the name of the active backend, which is available."""
    return scoped.get() or chosen or _resolve()


def resolved_by(function: Callable[[], str]) -> Callable[[], str]:
    """Decorator: register the function that finds the name when no backend was chosen."""
    global _resolve
    _resolve = function
    return function

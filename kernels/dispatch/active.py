"""The name of the active backend: the ground that arrays and the switch both stand on."""

from collections.abc import Callable
from contextvars import ContextVar

scoped: ContextVar[str | None] = ContextVar("fastnn_backend", default=None)  # inside a block or a function
chosen: str | None = None  # for the process, or from the environment once it was read
_resolve: Callable[[], str]  # finds out what the environment says


def name() -> str:
    """The name of the active backend, which can run here."""
    return scoped.get() or chosen or _resolve()


def resolved_by(function: Callable[[], str]) -> Callable[[], str]:
    """A decorator: what is asked for the name where nobody has chosen one yet."""
    global _resolve
    _resolve = function
    return function

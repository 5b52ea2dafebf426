"""Register device arrays with `dispatch.arrays` when the cuda backend is chosen."""

from typing import Any

from ..dispatch import arrays
from . import memory


def register() -> None:
    arrays.register(memory.xp.ndarray, memory, _take)


def _take(array: Any, rows: Any) -> Any:
    """Return rows of an array; the kernel is imported late, so that choosing the backend is quick."""
    from . import gather

    return gather.take(array, rows)

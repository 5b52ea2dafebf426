"""The GPU's arrays, made known to `dispatch.arrays` once the backend cuda is chosen."""

from typing import Any

from ..dispatch import arrays
from . import memory


def register() -> None:
    arrays.register(memory.xp.ndarray, memory, _take)


def _take(array: Any, places: Any) -> Any:
    """The rows of an array; the kernel is imported when it is needed, for choosing the backend is quick."""
    from . import gather

    return gather.take(array, places)

"""The GPU's arrays, made known to `dispatch.arrays` once the backend cuda is chosen."""

from ..dispatch import arrays
from . import gather, memory


def register() -> None:
    arrays.register(memory.xp.ndarray, memory, gather.take)

"""What repeated steps differ in, laid down in the GPU's memory beforehand: tables with a row for each step.

A step that is repeated without Python has the same arguments each time. So the rows of its batch, the numbers of its
update and the place for its loss are found in tables, by a count of steps that lies in the GPU's memory too and that
each step moves on.
"""

from typing import Any

import numpy as np
from numba import cuda

from .launch import kernel
from .memory import to_host, write, xp
from .tables import in_dtype


class Stretch:
    """Tables for up to `length` steps with batches of `batch_size` rows, whose update takes these numbers.

    numbers: of one parameter in one step, such as (learning rate, momentum); count, dtype: of the parameters
    """

    def __init__(self, length: int, batch_size: int, numbers: tuple, count: int, dtype: np.dtype) -> None:
        self.dtype = dtype
        self.step = xp.zeros(1, np.int32)
        self.places_of_batch = xp.empty(batch_size, np.int32)
        self._places = xp.empty((length, batch_size), np.int32)
        self._numbers = xp.empty((length, count, len(numbers)), dtype)
        self._losses = xp.empty(length)

    def begin(self, places: np.ndarray, numbers: list[tuple]) -> None:
        """Lay down the rows (steps, batch) of the next steps' batches and the numbers of their updates."""
        count = len(places)
        rows = np.repeat(in_dtype(numbers, self.dtype)[:, None], self._numbers.shape[1], axis=1)
        write(self._places[:count], places.astype(np.int32))
        write(self._numbers[:count], rows)
        write(self.step, np.zeros(1, np.int32))

    def places(self) -> Any:
        """The rows of this step's batch."""
        size = self.places_of_batch.size
        _row(size, size, size, self.step, self._places, self.places_of_batch)
        return self.places_of_batch

    def supply(self, numbers: Any) -> None:
        """Write this step's numbers, for each parameter."""
        _row(numbers.size, numbers.size, self._numbers[0].size, self.step, self._numbers, numbers)

    def end(self, loss: Any) -> None:
        """Keep this step's loss, and go on to the next."""
        _next(1, loss, self._losses, self.step)

    def losses(self, count: int) -> list[float]:
        """The losses of the steps since `begin`."""
        return to_host(self._losses[:count]).tolist()


@kernel
def _row(count, length, step, table, out):
    """out[i] = table[step, i] for the first `count` numbers of a row"""
    i = cuda.grid(1)
    if i < count:
        out[i] = table[step[0] * length + i]


@kernel
def _next(loss, losses, step):
    """losses[step] = loss, step += 1"""
    if cuda.grid(1) == 0:
        losses[step[0]] = loss[0]
        step[0] += 1

"""Per-step inputs of a CUDA graph, uploaded in advance: tables in GPU memory with a row for each step.

A captured step has the same arguments in every replay. It reads the rows of its batch and the hyperparameters of its
update from these tables, and writes its loss to one, at the position of a step counter in GPU memory, which each step
increments.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import cuda

from .launch import kernel
from .memory import to_host, write, xp
from .multi_tensor import in_dtype


class GraphInputs:
    """Tables for up to `length` steps.

    drawn: the arrays of one step, such as the row indices of its batch; all steps have these shapes and dtypes
    numbers: the hyperparameters of the update of one parameter, such as (learning rate, momentum)
    count, dtype: number and dtype of the parameters
    """

    def __init__(self, length: int, drawn: Sequence[np.ndarray], numbers: tuple, count: int, dtype: np.dtype) -> None:
        self.dtype = dtype
        self.step = xp.zeros(1, np.int32)
        self._tables = [xp.empty((length, *one.shape), one.dtype) for one in drawn]
        self._drawn = [xp.empty(one.shape, one.dtype) for one in drawn]
        self._numbers = xp.empty((length, count, len(numbers)), dtype)
        self._losses = xp.empty(length)

    def begin(self, drawn: Sequence[Sequence[np.ndarray]], numbers: list[tuple]) -> None:
        """Upload the drawn arrays and the hyperparameters of the next steps."""
        count = len(drawn)
        for table, values in zip(self._tables, zip(*drawn, strict=True), strict=True):
            write(table[:count], np.stack(values))
        rows = np.repeat(in_dtype(numbers, self.dtype)[:, None], self._numbers.shape[1], axis=1)
        write(self._numbers[:count], rows)
        write(self.step, np.zeros(1, np.int32))

    def drawn(self) -> list[Any]:
        """Return the drawn arrays of this step."""
        for table, out in zip(self._tables, self._drawn, strict=True):
            _row(out.size, out.size, out.size, self.step, table, out)
        return self._drawn

    def supply(self, numbers: Any) -> None:
        """Write the hyperparameters of this step, for each parameter."""
        _row(numbers.size, numbers.size, self._numbers[0].size, self.step, self._numbers, numbers)

    def end(self, loss: Any) -> None:
        """Store the loss of this step and increment the step counter."""
        _next(1, loss, self._losses, self.step)

    def losses(self, count: int) -> list[float]:
        """Return the losses of the first `count` steps since `begin`."""
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

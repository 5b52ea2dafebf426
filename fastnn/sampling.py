"""Rows of a data set: the two parts that a Solver needs, batches of them, whether in memory or in a file."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn.kernels import checks


def part(function: str, data: Mapping[str, Any], name: str) -> tuple[Any, Any]:
    """X_name and y_name of a data dict: of one length, and not empty.

    Both are arrays or data sets in a file, such as h5py's; lists become arrays.
    """
    names = f"X_{name}", f"y_{name}"
    checks.keys(function, "data", data, required=names, optional=data)
    X, y = (np.asarray(data[key]) if isinstance(data[key], (list, tuple)) else data[key] for key in names)
    if len(X) != len(y) or len(X) == 0:
        raise ValueError(
            f"{function}: data has {len(X)} rows in {names[0]} and {len(y)} in {names[1]}; expected as many labels as "
            f"images, at least one; check how the data was split"
        )
    return X, y


def rows(array: Any, places: Any) -> np.ndarray:
    """The rows at `places` (integers, also repeated, or a slice), in that order.

    A data set in a file is read once, in the order of its rows, and only these.
    """
    if isinstance(array, np.ndarray) or isinstance(places, slice):
        return array[places]
    ordered, back = np.unique(places, return_inverse=True)
    return array[ordered][back]


class Sampler:
    """Which of `count` rows each batch holds.

    method: "with_replacement" draws every batch anew from all rows, as the course does; "epoch" goes through a new
        permutation of the rows in each epoch, without the rest that does not fill a batch
    order: the permutation of this epoch
    """

    def __init__(self, function: str, count: int, batch_size: Any, method: str) -> None:
        self.count = count
        self.batch_size = checks.integer(function, "batch_size", batch_size, minimum=1)
        self.method = checks.choice(function, "sampling", method, ("with_replacement", "epoch"))
        self.batches = max(count // self.batch_size, 1)  # in an epoch
        self.order = np.empty(0, np.int64)

    def draw(self, iteration: int, generator: Any) -> np.ndarray:
        """The places of the batch of one iteration, numbered from 0 through all epochs."""
        if self.method == "with_replacement":
            return generator.choice(self.count, self.batch_size)
        position = iteration % self.batches
        if position == 0:
            self.order = generator.permutation(self.count)
        return self.order[position * self.batch_size : (position + 1) * self.batch_size]

"""Orders in which a DataLoader goes through the rows of a data set."""

import copy
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from fastnn import arguments, rng
from fastnn.kernels.dispatch import signatures, validation


class SubsetRandomSampler:
    """A new permutation of the given rows for each epoch.

    indices: row numbers, each at least 0, such as range(49000)
    seed: None draws from NumPy's global state; an int or a `np.random.Generator` is independent of it
    """

    @signatures.checked
    def __init__(self, indices: Iterable[int], seed: Any = None) -> None:
        self.indices = row_numbers("SubsetRandomSampler", "indices", indices)
        self._generator = rng.generator(seed)

    def __getstate__(self) -> dict[str, Any]:
        return copy.deepcopy(vars(self))  # a copy draws on its own

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        return iter(self._generator.permutation(self.indices).tolist())


def row_numbers(function: str, name: str, values: Any, count: int | None = None) -> np.ndarray:
    """Convert an iterable of row numbers to an array, which is not empty; count: of the rows there are, if known."""
    listed = values if isinstance(values, np.ndarray) else arguments.listed(function, name, values, "row numbers")
    numbers = validation.array(function, name, listed)
    if not numbers.size:
        raise ValueError(
            f"{function}: {name}={validation.brief(values)} is empty; expected at least one row number; pass such as "
            f"range(100)"
        )
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise TypeError(
            f"{function}: {name}={validation.brief(values)} is an array of {numbers.dtype} of the shape "
            f"{numbers.shape}; expected integers (N,), the numbers of rows; pass such as range(100)"
        )
    smallest, largest = int(numbers.min()), int(numbers.max())
    if smallest < 0 or (count is not None and largest >= count):
        limit = "at least 0" if count is None else f"from 0 to {count - 1}"
        raise ValueError(
            f"{function}: {name} contains {smallest if smallest < 0 else largest}; expected row numbers {limit}; check "
            f"how the data set was split"
        )
    return numbers.astype(np.int64)

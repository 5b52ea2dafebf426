"""Sampling of batches from data sets in memory or in files."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn.data_utils.rows import array_or_file, ascending_rows, is_in_memory, rows
from fastnn.kernels.dispatch import validation

METHODS = ("with_replacement", "epoch", "blocks")

_BLOCKS = 8  # blocks that are shuffled together


def part(function: str, data: Mapping[str, Any], name: str) -> tuple[Any, Any]:
    """Return X_name and y_name of a data dict, which have the same length and are not empty.

    Both are arrays, or data sets in a file such as h5py's; lists become arrays.
    """
    names = f"X_{name}", f"y_{name}"
    validation.keys(function, "data", data, required=names, optional=data)
    return labelled(function, **{key: data[key] for key in names})


def labelled(function: str, **images_and_labels: Any) -> tuple[Any, Any]:
    """Check images (N, ...) of real numbers and integer labels (N,), N at least 1; the keywords name them in errors.

    Both are arrays, or data sets in a file such as h5py's; other sequences of numbers become arrays.
    """
    checked: list[Any] = []
    for name, value in images_and_labels.items():
        value = array_or_file(function, name, value)
        checked.append(value)
        if (
            hasattr(value, "__getitem__")
            and not hasattr(value, "dtype")
            and not isinstance(value, (str, bytes, Mapping))
        ):
            continue  # a data set without dtype, read by slices
        shape, dtype = getattr(value, "shape", ()), getattr(value, "dtype", None)
        is_labels = len(checked) == 2
        if (
            not shape
            or not isinstance(dtype, np.dtype)
            or dtype.kind not in ("iub" if is_labels else "fiub")
            or (is_labels and len(shape) != 1)
        ):
            text = validation.brief(value) if dtype is None else f"an array of {dtype} of the shape {shape}"
            expected = "integers (N,), a label for each image" if is_labels else "real numbers (N, ...)"
            raise TypeError(f"{function}: {name} is {text}; expected {expected}; convert it to such an array")
    (X, y), names = checked, list(images_and_labels)
    if len(X) != len(y) or len(X) == 0:
        raise ValueError(
            f"{function}: data has {len(X)} rows in {names[0]} and {len(y)} in {names[1]}; expected as many labels as "
            f"images, at least one; check how the data was split"
        )
    return X, y


class Sampler:
    """Draw the rows of each batch from `count` rows.

    method: "with_replacement" draws each batch from all rows, as in the course
        "epoch" goes through a new permutation of the rows in each epoch, without an incomplete last batch
        "blocks" is for files: it permutes blocks of batch_size neighbouring rows, and shuffles the rows of eight blocks
        (fewer at the end of the epoch) to form the next eight batches; the rows of the file should not be sorted
    order: the permutation of the current epoch
    length: the number of rows in a batch
    """

    def __init__(self, function: str, count: int, batch_size: Any, method: str) -> None:
        self.count = count
        self.batch_size = validation.integer(function, "batch_size", batch_size, minimum=1)
        self.method = validation.choice(function, "sampling", method, METHODS)
        if self.method == "with_replacement":
            validation.fits(function, "batch_size", batch_size, self.batch_size)
        self.length = self.batch_size if method == METHODS[0] else min(self.batch_size, count)
        self.batches = max(count // self.batch_size, 1)  # in an epoch
        self.order = np.empty(0, np.int64)
        self._read: tuple[np.ndarray, tuple[np.ndarray, ...]] | None = None  # ascending positions, and their rows

    def draw(self, iteration: int, generator: Any) -> np.ndarray:
        """Draw the row positions of the batch of an iteration, counted from 0 over all epochs."""
        if self.method == "with_replacement":
            return generator.choice(self.count, self.batch_size)
        batch = iteration % self.batches
        if batch == 0:
            self.order = self._permutation(generator)
        return self.order[batch * self.batch_size : (batch + 1) * self.batch_size]

    def batch(self, iteration: int, generator: Any, *sources: Any, part: slice = slice(None)) -> list[np.ndarray]:
        """Return the batch of an iteration from each of the sources: arrays, or data sets in a file.

        part: the rows of each batch that are wanted, always the same
        With "blocks" and a file, eight batches are read together and cached.
        """
        positions = self.draw(iteration, generator)[part]
        if self.method != "blocks" or all(map(is_in_memory, sources)):
            return [rows(source, positions) for source in sources]
        length = _BLOCKS * self.batch_size
        start = iteration % self.batches * self.batch_size // length * length
        starts = range(start, min(start + length, self.count), self.batch_size)
        wanted = np.sort(np.concatenate([self.order[first : first + self.batch_size][part] for first in starts]))
        if self._read is None or not np.array_equal(self._read[0], wanted):
            self._read = None  # free the memory before reading
            self._read = wanted, tuple(ascending_rows(source, wanted) for source in sources)
        indices = np.searchsorted(wanted, positions)
        return [values[indices] for values in self._read[1]]

    def _permutation(self, generator: Any) -> np.ndarray:
        if self.method == "epoch":
            return generator.permutation(self.count)
        blocks = generator.permutation(-(-self.count // self.batch_size))
        order = (blocks[:, None] * self.batch_size + np.arange(self.batch_size)).ravel()
        order = order[order < self.count]
        length = _BLOCKS * self.batch_size
        buffers = [order[start : start + length] for start in range(0, self.count, length)]
        return np.concatenate([generator.permutation(buffer) for buffer in buffers])

"""Rows of a data set: the two parts that a Solver needs, batches of them, whether in memory or in a file.

A file is read in slices, one for each run of neighbouring rows: h5py is much slower with a list of rows.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn.kernels.dispatch import arrays, validation

METHODS = ("with_replacement", "epoch", "blocks")

_BLOCKS = 8  # of which a buffer consists


def part(function: str, data: Mapping[str, Any], name: str) -> tuple[Any, Any]:
    """X_name and y_name of a data dict: of one length, and not empty.

    Both are arrays or data sets in a file, such as h5py's; lists become arrays.
    """
    names = f"X_{name}", f"y_{name}"
    validation.keys(function, "data", data, required=names, optional=data)
    return labelled(function, **{key: data[key] for key in names})


def labelled(function: str, **images_and_labels: Any) -> tuple[Any, Any]:
    """Images (N, ...) of real numbers and labels (N,) of whole ones, N at least 1, given under the names in errors.

    Both are arrays or data sets in a file, such as h5py's; what else holds numbers in memory becomes an array.
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
            continue  # a data set that is read by slices alone
        shape, dtype = getattr(value, "shape", ()), getattr(value, "dtype", None)
        whole = len(checked) == 2  # the labels
        if (
            not shape
            or not isinstance(dtype, np.dtype)
            or dtype.kind not in ("iub" if whole else "fiub")
            or (whole and len(shape) != 1)
        ):
            text = validation.brief(value) if dtype is None else f"an array of {dtype} of the shape {shape}"
            expected = "integers (N,), a label for each image" if whole else "real numbers (N, ...)"
            raise TypeError(f"{function}: {name} is {text}; expected {expected}; convert it to such an array")
    (X, y), names = checked, list(images_and_labels)
    if len(X) != len(y) or len(X) == 0:
        raise ValueError(
            f"{function}: data has {len(X)} rows in {names[0]} and {len(y)} in {names[1]}; expected as many labels as "
            f"images, at least one; check how the data was split"
        )
    return X, y


def array_or_file(function: str, name: str, value: Any) -> Any:
    """`value` as an array where it is in memory (a list, a tensor, a table); else itself, a data set in a file.

    Of the latter only slices are read. It has a dtype of NumPy's, or none, and no DLPack.
    """
    dtype = getattr(value, "dtype", None)
    is_foreign = not (dtype is None or isinstance(dtype, np.dtype)) and hasattr(value, "__array__")
    in_memory = is_foreign or hasattr(value, "__dlpack__") or hasattr(value, "iloc")  # of tables of pandas
    if in_memory or is_in_memory(value) or isinstance(value, (list, tuple)):
        return validation.array(function, name, value)
    return value


def rows(array: Any, places: Any) -> np.ndarray:
    """The rows at `places` (integers, also repeated, or a slice), in that order.

    A data set in a file is read once, in the order of its rows, and only these.
    """
    if isinstance(array, np.ndarray):
        return array[places]
    if isinstance(places, slice):
        return _read(array, places)
    if arrays.is_on_device(array):
        return arrays.take(array, places)
    ordered, back = np.unique(places, return_inverse=True)
    return _ascending(array, ordered)[back]


def _ascending(array: Any, places: np.ndarray) -> np.ndarray:
    """The rows of a data set at ascending places."""
    runs = np.split(places, np.flatnonzero(np.diff(places) != 1) + 1)
    return np.concatenate([_read(array, slice(int(run[0]), int(run[-1]) + 1)) for run in runs])


def _read(array: Any, part: slice) -> Any:
    """A slice of a data set, as an array."""
    return validation.array("data", f"the slice [{part.start}:{part.stop}]", array[part])


def is_in_memory(array: Any) -> bool:
    """Whether it is an array and not a data set in a file."""
    return isinstance(array, np.ndarray) or arrays.is_on_device(array)


class Sampler:
    """Which of `count` rows each batch holds.

    method: "with_replacement" draws every batch anew from all rows, as the course does
        "epoch" goes through a new permutation of the rows in each epoch, without the rest that does not fill a batch
        "blocks" too, for files: a permutation of blocks of batch_size neighbouring rows, eight of which (at the end of
        the epoch fewer) are permuted together and make the next eight batches; the rows of a file should not be sorted
    order: the permutation of this epoch
    """

    def __init__(self, function: str, count: int, batch_size: Any, method: str) -> None:
        self.count = count
        self.batch_size = validation.integer(function, "batch_size", batch_size, minimum=1)
        self.method = validation.choice(function, "sampling", method, METHODS)
        if self.method == "with_replacement":
            validation.fits(function, "batch_size", batch_size, self.batch_size)
        self.batches = max(count // self.batch_size, 1)  # in an epoch
        self.order = np.empty(0, np.int64)
        self._read: tuple[np.ndarray, tuple[np.ndarray, ...]] | None = None  # ascending places, and their rows

    def draw(self, iteration: int, generator: Any) -> np.ndarray:
        """The places of the batch of one iteration, numbered from 0 through all epochs."""
        if self.method == "with_replacement":
            return generator.choice(self.count, self.batch_size)
        position = iteration % self.batches
        if position == 0:
            self.order = self._permutation(generator)
        return self.order[position * self.batch_size : (position + 1) * self.batch_size]

    def batch(self, iteration: int, generator: Any, *sources: Any) -> list[np.ndarray]:
        """The rows of the batch of one iteration, of each of the sources: arrays, or data sets in a file.

        Where batches come in blocks from a file, eight batches are read at once and held.
        """
        places = self.draw(iteration, generator)
        if self.method != "blocks" or all(map(is_in_memory, sources)):
            return [rows(source, places) for source in sources]
        length = _BLOCKS * self.batch_size
        start = iteration % self.batches * self.batch_size // length * length
        wanted = np.sort(self.order[start : start + length])
        if self._read is None or not np.array_equal(self._read[0], wanted):
            self._read = None  # memory for one of them is enough
            self._read = wanted, tuple(_ascending(source, wanted) for source in sources)
        at = np.searchsorted(wanted, places)
        return [values[at] for values in self._read[1]]

    def _permutation(self, generator: Any) -> np.ndarray:
        if self.method == "epoch":
            return generator.permutation(self.count)
        blocks = generator.permutation(-(-self.count // self.batch_size))
        order = (blocks[:, None] * self.batch_size + np.arange(self.batch_size)).ravel()
        order = order[order < self.count]
        length = _BLOCKS * self.batch_size
        buffers = [order[start : start + length] for start in range(0, self.count, length)]
        return np.concatenate([generator.permutation(buffer) for buffer in buffers])

"""DataLoader: the batches of a data set as Tensors, read ahead in a thread."""

import contextvars
import copy
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from fastnn import arguments, rng
from fastnn.kernels.dispatch import arrays, signatures, validation

from . import rows
from .sampler import row_numbers

_Batch = tuple[np.ndarray, ...]


class DataLoader:
    """The batches of a data set; each iteration over a loader is an epoch.

        loader = DataLoader((X_train, y_train), batch_size=64, shuffle=True)
        for x, y in loader:

    dataset: a tuple of arrays with equal numbers of rows, such as images and labels, for which a batch is a tuple of
        Tensors; one array, for which it is a Tensor; or a dict with X_train, y_train and so on, of which `part` names
        the part. Arrays may be data sets in a file, such as h5py's, which are read by batches.
    batch_size: rows of a batch, at least 1; the last batch of an epoch may be smaller
    shuffle: draw a new permutation of all rows for each epoch
    sampler: an iterable of row numbers for each epoch, such as a SubsetRandomSampler; excludes shuffle
    drop_last: leave out an incomplete last batch
    transform: a function (images, generator) -> images of the first array of each batch, such as `augment.Augment`; the
        generator is a new one in each epoch, and the images are a copy
    seed: None draws from NumPy's global state; an int or a `np.random.Generator` is independent of it
    prefetch: batches that a thread reads ahead, 0 for none; the thread ends with the epoch, or when a loop is left.
        Arrays on a GPU are read without a thread. Batches do not depend on it.
    part: of a dict: "train", "val" or "test"

    `len(loader)` is the number of batches of an epoch. Tensors are in the memory of the active backend.
    """

    @signatures.checked
    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        sampler: Iterable[int] | None = None,
        *,
        drop_last: bool = False,
        transform: Callable | None = None,
        seed: Any = None,
        prefetch: int = 2,
        part: str = "train",
    ) -> None:
        name = "DataLoader"
        part = validation.choice(name, "part", part, ("train", "val", "test"))
        if isinstance(dataset, Mapping):
            names = f"X_{part}", f"y_{part}"
            found = validation.keys(name, "dataset", dataset, required=names, optional=dataset)
            dataset = tuple(found[key] for key in names)
        self._is_tuple = isinstance(dataset, (tuple, list))
        self.dataset = _columns(dataset if self._is_tuple else (dataset,))
        self.batch_size = validation.integer(name, "batch_size", batch_size, minimum=1)
        self.shuffle = validation.flag(name, "shuffle", shuffle)
        if isinstance(sampler, (str, bytes, Mapping)) or not isinstance(sampler, (Iterable, type(None))):
            raise TypeError(
                f"{name}: sampler={validation.brief(sampler)} is not an iterable; expected row numbers; pass a "
                f"SubsetRandomSampler, or a list"
            )
        if sampler is not None and self.shuffle:
            raise ValueError(
                f"{name}: shuffle=True does not fit a sampler, which decides the order; expected one of them; leave "
                f"shuffle out"
            )
        self.sampler = sampler
        self.drop_last = validation.flag(name, "drop_last", drop_last)
        self.transform = arguments.function_or_none(name, "transform", transform)
        self.prefetch = validation.integer(name, "prefetch", prefetch, minimum=0)
        self._generator = rng.generator(seed)

    def __len__(self) -> int:
        order: Any = self.dataset[0] if self.sampler is None else self.sampler
        if not hasattr(order, "__len__"):
            raise TypeError(
                f"DataLoader: sampler={validation.brief(order)} has no length, so that of an epoch is unknown; "
                f"expected one with __len__; pass a list or a SubsetRandomSampler"
            )
        count = len(order)
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        batches = self._batches(self._order(), self._epoch_generator())
        if self.prefetch and not any(map(arrays.is_on_device, self.dataset)):
            batches = _read_ahead(batches, self.prefetch)
        return (self._tensors(batch) for batch in batches)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_generator": copy.deepcopy(self._generator)}  # a copy draws on its own

    def _order(self) -> np.ndarray:
        """The row numbers of an epoch."""
        count = len(self.dataset[0])
        if self.sampler is not None:
            return row_numbers("DataLoader", "sampler", self.sampler, count)
        return self._generator.permutation(count) if self.shuffle else np.arange(count)

    def _epoch_generator(self) -> Any:
        """The source of random numbers for the transform: of its own, since the thread draws at any time."""
        return self.transform and np.random.default_rng(int.from_bytes(self._generator.bytes(16), "little"))

    def _batches(self, order: np.ndarray, generator: Any) -> Iterator[_Batch]:
        size = self.batch_size
        stop = len(order) - len(order) % size if self.drop_last else len(order)
        for start in range(0, stop, size):
            first, *others = (rows.rows(column, order[start : start + size]) for column in self.dataset)
            if self.transform is not None:
                images = validation.array("DataLoader", "the result of transform", self.transform(first, generator))
                if images.shape[:1] != first.shape[:1]:
                    raise ValueError(
                        f"DataLoader: the result of transform has the shape {images.shape}; expected {len(first)} "
                        f"images, as given; return one image for each"
                    )
                first = images
            yield first, *others

    def _tensors(self, batch: _Batch) -> Any:
        from fastnn.autograd import Tensor

        return tuple(map(Tensor, batch)) if self._is_tuple else Tensor(batch[0])


def _columns(given: Iterable[Any]) -> tuple[Any, ...]:
    """Check the arrays of a data set: numbers, with equal numbers of rows, at least one."""
    from fastnn.autograd import Tensor

    columns: list[Any] = []
    for value in given:
        value = value.data if isinstance(value, Tensor) else rows.array_or_file("DataLoader", "dataset", value)
        dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
        is_file = dtype is None and hasattr(value, "__getitem__") and hasattr(value, "__len__")
        is_number = isinstance(dtype, np.dtype) and (
            dtype.kind in "iub" or dtype in (np.dtype(np.float32), np.dtype(np.float64))
        )
        if isinstance(value, (str, bytes, Mapping)) or not (is_file or (is_number and shape)):
            text = validation.brief(value) if dtype is None else f"an array of {dtype} of the shape {shape}"
            raise TypeError(
                f"DataLoader: dataset contains {text}; expected arrays (N, ...) of float32, float64 or integers; pass "
                f"such as (X_train, y_train)"
            )
        columns.append(value)
    counts = [len(column) for column in columns]
    if not columns or min(counts) != max(counts) or not counts[0]:
        raise ValueError(
            f"DataLoader: dataset has arrays of {counts} rows; expected as many labels as images, at least one; check "
            f"how the data was split"
        )
    return tuple(columns)


def _read_ahead(batches: Iterator[_Batch], count: int) -> Iterator[_Batch]:
    """Yield the batches, of which a thread has up to `count` ready; it ends when this generator is closed."""
    ready: queue.Queue[tuple[_Batch | None, BaseException | None]] = queue.Queue(count)
    is_closed = threading.Event()
    context = contextvars.copy_context()  # a transform computes on the backend of this thread
    worker = threading.Thread(
        target=context.run, args=(_read, batches, ready, is_closed), name="fastnn DataLoader", daemon=True
    )
    worker.start()
    try:
        while True:
            batch, error = ready.get()
            if error is not None:
                raise error
            if batch is None:
                return
            yield batch
    finally:
        is_closed.set()
        while not ready.empty():  # the worker may wait for room
            ready.get_nowait()
        if worker is not threading.current_thread():
            worker.join()


def _read(batches: Iterator[_Batch], ready: queue.Queue, is_closed: threading.Event) -> None:
    """Put the batches into a queue, and at the end (None, None), or (None, the error that ended them)."""
    end: tuple[None, BaseException | None] = None, None
    try:
        for batch in batches:
            if is_closed.is_set():
                return
            ready.put((batch, None))
    except BaseException as error:
        end = None, error
    if not is_closed.is_set():  # else nobody makes room
        ready.put(end)

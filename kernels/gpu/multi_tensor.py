"""Many arrays in one launch: a table in GPU memory tells where each array is, so nothing is copied.

A row of the table holds the arrays of one parameter: its weights, their gradient and so on, all of one size. Each block
of threads computes a chunk of a row. The kernel gets the memory of the first array; the table gives the positions of
all others relative to it, in elements, positive or negative.

    @kernel
    def _add(memory, chunks, table, numbers):
        row, begin, end = own_chunk(chunks, table, 2)
        x, y = table[3 * row + 1], table[3 * row + 2]
        for i in range(begin + cuda.threadIdx.x, end, BLOCK):
            memory[y + i] += numbers[row] * memory[x + i]

    run(_add, [(x, y)], [(0.5,)])

Tables are cached. So is the memory for the numbers of a launch, which is overwritten: a CUDA graph that contains such a
launch then runs with the new numbers.
"""

import contextlib
import ctypes
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np

from .availability import SIMULATED
from .launch import BLOCK, Kernel, cuda, device
from .memory import address, cached, to_device, to_host, uploader, write, xp

CHUNK = 4 * BLOCK  # elements for each block


class Table(NamedTuple):
    """The arguments of a launch, in GPU memory."""

    blocks: int
    chunks: Any  # int32: row and chunk of each block
    table: Any  # int64: size and positions of the arrays of each row
    numbers: Any  # the numbers of each row


def update(kernel: Kernel, columns: Sequence[Sequence[Any]], written: int, numbers: Sequence[tuple]) -> None:
    """Run a kernel on device arrays or NumPy arrays, with the result of one row after the other.

    columns: lists of arrays, of which the last `written` lists are written to; numbers: a tuple for each row
    """
    rows = list(zip(*columns, strict=True))
    for some in _launches(tuple(map(_key, rows))):
        upload = uploader()
        run(kernel, [tuple(map(upload, row)) for row in rows[some]], numbers[some])
        for row in rows[some]:
            for array in row[-written:]:
                if isinstance(array, np.ndarray):
                    array[...] = to_host(upload(array))


def run(kernel: Kernel, rows: Sequence[tuple[Any, ...]], numbers: Sequence[tuple]) -> None:
    """Run a kernel on rows of device arrays of one dtype; arrays of different rows must not share memory."""
    memory = rows[0][0]
    found = _table(tuple(map(_key, rows)), len(numbers[0]), memory.dtype)
    if supply := _supply.get():
        supply(found.numbers)
    else:
        write(found.numbers, in_dtype(numbers, memory.dtype))
    kernel.launch(found.blocks, _Memory(memory) if SIMULATED else memory, *found[1:])


def in_dtype(numbers: Any, dtype: np.dtype) -> np.ndarray:
    """Convert numbers to a dtype; those that are too large become infinite."""
    with np.errstate(all="ignore"):
        return np.array(numbers, dtype)


@contextlib.contextmanager
def supplied(supply: Callable[[Any], None]) -> Iterator[None]:
    """Context manager in which `supply(memory)` writes the numbers of each launch."""
    token = _supply.set(supply)
    try:
        yield
    finally:
        _supply.reset(token)


_supply: ContextVar[Callable[[Any], None] | None] = ContextVar("fastnn_supply", default=None)


@device
def own_chunk(chunks, table, arrays):
    """Return the row of this block, and begin and end of its elements."""
    row, chunk = chunks[2 * cuda.blockIdx.x], chunks[2 * cuda.blockIdx.x + 1]
    begin = chunk * CHUNK
    return row, begin, min(begin + CHUNK, table[row * (1 + arrays)])


def _key(row: tuple[Any, ...]) -> tuple[int, ...]:
    """Return the bytes of a number, the size of the arrays, and their addresses."""
    return row[0].dtype.itemsize, row[0].size, *map(address, row)


@functools.lru_cache(maxsize=64)
def _launches(keys: tuple[tuple[int, ...], ...]) -> list[slice]:
    """Return which rows to launch together: all, or one by one if they share memory or differ in dtype."""
    if len({key[0] for key in keys}) == 1 and _are_apart(keys):
        return [slice(None)]
    return [slice(i, i + 1) for i in range(len(keys))]


def _are_apart(keys: tuple[tuple[int, ...], ...]) -> bool:
    """Whether arrays of different rows share no memory; the same array may appear twice in one row."""
    spans = sorted(
        (start, start + size * itemsize) for itemsize, size, *starts in keys for start in set(starts) if size
    )
    return all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))


@cached(maxsize=64)
def _table(keys: tuple[tuple[int, ...], ...], numbers: int, dtype: np.dtype) -> Table:
    first, itemsize = keys[0][2], dtype.itemsize
    lines = [(size, *((start - first) // itemsize for start in starts)) for _, size, *starts in keys]
    chunks = [(row, chunk) for row, line in enumerate(lines) for chunk in range(-(-line[0] // CHUNK))]
    return Table(
        len(chunks),
        to_device(np.array(chunks, np.int32)),
        to_device(np.array(lines, np.int64)),
        xp.empty((len(keys), numbers), dtype),
    )


class _Memory:
    """In the simulator: all memory, indexed relative to an array."""

    def __init__(self, array: Any) -> None:
        self.dtype, self.start, self.memory = array.dtype, address(array), self
        self.flags, self.device = array.flags, array.device

    def reshape(self, _: int) -> "_Memory":
        return self

    def __getitem__(self, index: int) -> Any:
        return self._element(index)[0]

    def __setitem__(self, index: int, value: Any) -> None:
        self._element(index)[...] = value

    def _element(self, index: int) -> np.ndarray:
        start = self.start + int(index) * self.dtype.itemsize
        return np.frombuffer(memoryview((ctypes.c_char * self.dtype.itemsize).from_address(start)), self.dtype)

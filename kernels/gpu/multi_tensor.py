"""Many arrays in one launch: a table in the GPU's memory says where each of them lies, and they stay where they are.

A row of the table has the arrays of one parameter: its weights, their gradient and so on, all of one size. Each block
of threads takes a chunk of a row. Places are counted in elements from the first array of all, whose memory the kernel
is given; other arrays are reached from there, wherever they are, by a positive or a negative number.

    @kernel
    def _add(memory, chunks, table, numbers):
        row, begin, end = own_chunk(chunks, table, 2)
        x, y = table[3 * row + 1], table[3 * row + 2]
        for i in range(begin + cuda.threadIdx.x, end, BLOCK):
            memory[y + i] += numbers[row] * memory[x + i]

    run(_add, [(x, y)], [(0.5,)])

The tables of arrays that were met before are kept. So is the memory for a launch's numbers, in which they are
overwritten: a CUDA graph that holds such a launch runs with new numbers once they are written.
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
from .memory import address, placing, to_device, to_host, write, xp

CHUNK = 4 * BLOCK  # elements of a block


class Table(NamedTuple):
    """What a launch needs to know, in the GPU's memory."""

    blocks: int
    chunks: Any  # int32: for each block its row and its chunk in it
    table: Any  # int64: for each row the size of its arrays and their places
    numbers: Any  # for each row those of its launch


def update(kernel: Kernel, columns: Sequence[Sequence[Any]], written: int, numbers: Sequence[tuple]) -> None:
    """Run a kernel on arrays of the GPU or of the host, as if on one row after the other.

    columns: lists of arrays; those in the last `written` of them change. numbers: a tuple for each row
    """
    rows = list(zip(*columns, strict=True))
    for some in _launches(tuple(map(_key, rows))):
        placed = placing()
        run(kernel, [tuple(map(placed, row)) for row in rows[some]], numbers[some])
        for row in rows[some]:
            for array in row[-written:]:
                if isinstance(array, np.ndarray):
                    array[...] = to_host(placed(array))


def run(kernel: Kernel, rows: Sequence[tuple[Any, ...]], numbers: Sequence[tuple]) -> None:
    """Run a kernel on rows of arrays of the GPU, of one dtype, which share no memory with those of other rows."""
    memory = rows[0][0]
    found = _table(tuple(map(_key, rows)), len(numbers[0]), memory.dtype)
    if supply := _supply.get():
        supply(found.numbers)
    else:
        write(found.numbers, in_dtype(numbers, memory.dtype))
    kernel.launch(found.blocks, _Reach(memory) if SIMULATED else memory, *found[1:])


def in_dtype(numbers: Any, dtype: np.dtype) -> np.ndarray:
    """The numbers in a dtype; those too large for it are infinite in it."""
    with np.errstate(all="ignore"):
        return np.array(numbers, dtype)


@contextlib.contextmanager
def supplied(supply: Callable[[Any], None]) -> Iterator[None]:
    """Inside the block, launches get their numbers from a function that is given the memory to write to."""
    token = _supply.set(supply)
    try:
        yield
    finally:
        _supply.reset(token)


_supply: ContextVar[Callable[[Any], None] | None] = ContextVar("fastnn_supply", default=None)


@device
def own_chunk(chunks, table, arrays):
    """The row of this block, its first element and the one after its last."""
    row, chunk = chunks[2 * cuda.blockIdx.x], chunks[2 * cuda.blockIdx.x + 1]
    begin = chunk * CHUNK
    return row, begin, min(begin + CHUNK, table[row * (1 + arrays)])


def _key(row: tuple[Any, ...]) -> tuple[int, ...]:
    """The bytes of a number, the size of the arrays, their addresses."""
    return row[0].dtype.itemsize, row[0].size, *map(address, row)


@functools.lru_cache(maxsize=64)
def _launches(keys: tuple[tuple[int, ...], ...]) -> list[slice]:
    """Which rows go together: all, or one after the other where they share memory or differ in their dtype."""
    if len({key[0] for key in keys}) == 1 and _are_apart(keys):
        return [slice(None)]
    return [slice(place, place + 1) for place in range(len(keys))]


def _are_apart(keys: tuple[tuple[int, ...], ...]) -> bool:
    """Whether the arrays of one row share no memory with those of another; within a row one may appear twice."""
    spans = sorted(
        (start, start + size * itemsize) for itemsize, size, *places in keys for start in set(places) if size
    )
    return all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))


@functools.lru_cache(maxsize=64)
def _table(keys: tuple[tuple[int, ...], ...], numbers: int, dtype: np.dtype) -> Table:
    first, itemsize = keys[0][2], dtype.itemsize
    lines = [(size, *((place - first) // itemsize for place in places)) for _, size, *places in keys]
    chunks = [(row, chunk) for row, line in enumerate(lines) for chunk in range(-(-line[0] // CHUNK))]
    return Table(
        len(chunks),
        to_device(np.array(chunks, np.int32)),
        to_device(np.array(lines, np.int64)),
        xp.empty((len(keys), numbers), dtype),
    )


class _Reach:
    """In the simulator: memory from an array on, as far as an address reaches in either direction."""

    def __init__(self, array: Any) -> None:
        self.dtype, self.start, self.memory = array.dtype, address(array), self

    def reshape(self, _: int) -> "_Reach":
        return self

    def __getitem__(self, place: int) -> Any:
        return self._element(place)[0]

    def __setitem__(self, place: int, value: Any) -> None:
        self._element(place)[...] = value

    def _element(self, place: int) -> np.ndarray:
        start = self.start + int(place) * self.dtype.itemsize
        return np.frombuffer(memoryview((ctypes.c_char * self.dtype.itemsize).from_address(start)), self.dtype)

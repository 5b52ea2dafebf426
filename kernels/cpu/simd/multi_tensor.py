"""The elements of many arrays as one row of chunks: one launch covers all, large arrays are split, small ones together.

The arrays stay where they are: a table of addresses says where. Chunks are the same on any number of threads, and a
kernel is compiled for one dtype, not anew for each network.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numba import carray, config, types
from numba.extending import intrinsic

from .. import threads

CHUNK = 1 << 12  # elements
GRAIN = 8  # chunks that are worth a second thread


def launches(rows: Sequence[tuple[np.ndarray, ...]]) -> Iterator[tuple[slice, np.ndarray, int]]:
    """Which rows to launch a kernel on, their table and their chunks: all rows together, as a rule.

    A row has the arrays of one parameter: C-contiguous, of one size and dtype. One row after the other is launched
    where arrays of two of them share memory, so that their order matters, and where the dtypes differ.
    """
    table, chunks = _table(rows)
    together = len({row[0].dtype for row in rows}) == 1 and (len(rows) == 1 or _are_apart(table, rows[0][0].itemsize))
    if together:
        yield slice(None), table, chunks
        return
    for place, row in enumerate(rows):
        yield slice(place, place + 1), *_table([row])


def _table(rows: Sequence[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, int]:
    """For each row its first chunk, its elements and the addresses of its arrays; and the number of all chunks."""
    lines, chunks = [], 0
    for row in rows:
        lines.append([chunks, row[0].size, *(_address(array.reshape(-1)) for array in row)])
        chunks += -(-row[0].size // CHUNK)
    return np.array(lines, np.int64), chunks


@threads.serial
def _address(array):
    return array.ctypes.data


def _are_apart(table: np.ndarray, itemsize: int) -> bool:
    starts = table[:, 2:]
    ends = starts + table[:, 1:2] * itemsize
    order = np.argsort(starts, axis=None)
    return bool((starts.ravel()[order][1:] >= ends.ravel()[order][:-1]).all())


@threads.serial
def row_of(table, chunk):
    """The row that a chunk belongs to."""
    row = 0
    while row + 1 < len(table) and table[row + 1, 0] <= chunk:
        row += 1
    return row


@threads.serial
def piece(table, row, column, chunk, zero):
    """The elements of a chunk, of one of the arrays of its row."""
    start = (chunk - table[row, 0]) * CHUNK
    return memory(table[row, 2 + column], start, min(CHUNK, table[row, 1] - start), zero)


@intrinsic
def _pointer(context, address, start, zero):
    """To the element `start` of an array, of the dtype of `zero`, that begins at an address."""
    pointer = types.CPointer(zero)

    def codegen(context, builder, signature, arguments):
        return builder.gep(builder.inttoptr(arguments[0], context.get_value_type(pointer)), [arguments[1]])

    return pointer(types.int64, types.int64, zero), codegen


@threads.serial
def memory(address, start, count, zero):
    """`count` elements from `start` on of the array that begins at an address."""
    return carray(_pointer(address, start, zero), (count,))


if config.DISABLE_JIT:  # type: ignore[attr-defined]
    from .numpy_reference import memory

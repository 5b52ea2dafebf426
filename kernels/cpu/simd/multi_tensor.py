"""Many arrays in one launch: their elements are cut into chunks, and a table of addresses tells where the arrays are.

Arrays are not copied. Chunks do not depend on the number of threads. A kernel is compiled once for each dtype, whatever
the number and shapes of the arrays.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numba import carray, config, types
from numba.extending import intrinsic

from .. import threads

CHUNK = 1 << 12  # elements
GRAIN = 8  # minimum chunks of a part


def launches(rows: Sequence[tuple[np.ndarray, ...]]) -> Iterator[tuple[slice, np.ndarray, int]]:
    """Yield which rows to launch a kernel on, their table and their number of chunks: usually all rows at once.

    A row holds the arrays of one parameter: C-contiguous, of one size and dtype. Rows are launched one by one if arrays
    of two rows share memory, so that their order matters, or if dtypes differ.
    """
    table, chunks = table_of(rows)
    together = len({row[0].dtype for row in rows}) == 1 and (len(rows) == 1 or _are_apart(table, rows[0][0].itemsize))
    if together:
        yield slice(None), table, chunks
        return
    for i, row in enumerate(rows):
        yield slice(i, i + 1), *table_of([row])


def table_of(rows: Sequence[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, int]:
    """Return a table of (first chunk, size, addresses of the arrays) for each row, and the number of chunks."""
    lines, chunks = [], 0
    for row in rows:
        lines.append([chunks, row[0].size, *(address(array.reshape(-1)) for array in row)])
        chunks += -(-row[0].size // CHUNK)
    return np.array(lines, np.int64), chunks


@threads.serial
def address(array):
    return array.ctypes.data


def _are_apart(table: np.ndarray, itemsize: int) -> bool:
    starts = table[:, 2:]
    ends = starts + table[:, 1:2] * itemsize
    order = np.argsort(starts, axis=None)
    return bool((starts.ravel()[order][1:] >= ends.ravel()[order][:-1]).all())


@threads.serial
def row_of(table, chunk):
    """Return the row that a chunk belongs to."""
    row = 0
    while row + 1 < len(table) and table[row + 1, 0] <= chunk:
        row += 1
    return row


@threads.serial
def piece(table, row, column, chunk, zero):
    """Return the elements of a chunk, in one of the arrays of its row."""
    start = (chunk - table[row, 0]) * CHUNK
    return memory(table[row, 2 + column], start, min(CHUNK, table[row, 1] - start), zero)


@intrinsic
def _pointer(context, address, start, zero):
    """Return a pointer to element `start` of the array at an address, of the dtype of `zero`."""
    pointer = types.CPointer(zero)

    def codegen(context, builder, signature, arguments):
        return builder.gep(builder.inttoptr(arguments[0], context.get_value_type(pointer)), [arguments[1]])

    return pointer(types.int64, types.int64, zero), codegen


@threads.serial
def memory(address, start, count, zero):
    """Return `count` elements from `start` on of the array at an address."""
    return carray(_pointer(address, start, zero), (count,))


if config.DISABLE_JIT:  # type: ignore[attr-defined]
    from .numpy_reference import memory

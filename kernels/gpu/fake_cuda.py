"""Streams, graphs, memory pools and devices of the simulated GPU: `cuda` in `fake_cupy`, as strict as CuPy 14.

Work runs when it is submitted, unless the current stream captures it. What CuPy refuses is refused here:

    - a stream that captures allows neither copies between host and device nor synchronization; both invalidate the
      capture, so that `end_capture` fails too
    - the default stream captures nothing
    - a pool gives freed memory to the next array of its device and stream, and its blocks back to the device only in
      `free_all_blocks`: memory of a pool that is dropped before is lost

Source: CuPy 14.2, `cupy.cuda.Stream`, `Graph`, `MemoryPool`; NVIDIA, CUDA C++ Programming Guide, "CUDA Graphs".
"""

import contextlib
import itertools
import threading
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

UNIT = 512  # bytes; allocations are multiples
CAPACITY = 1 << 40  # bytes of each device
UNSUPPORTED, INVALIDATED, ILLEGAL = 900, 901, 401  # error codes of the CUDA runtime
_numbers = itertools.count(1)
_allocated: dict[int, int] = defaultdict(int)  # bytes of each device that belong to a pool


class CUDARuntimeError(RuntimeError):
    """An error of the CUDA runtime."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class _State(threading.local):
    """What a thread has chosen."""

    def __init__(self) -> None:
        self.device = 0
        self.streams: list[Stream] = []
        self.malloc: Callable[[int], Block] = _pool.malloc


class Device:
    """A device; as a context manager, the current one."""

    compute_capability = "90"

    def __init__(self, number: int | None = None) -> None:
        self.id = _state.device if number is None else number
        self._before: list[int] = []

    def __enter__(self) -> "Device":
        self._before.append(_state.device)
        _state.device = self.id
        return self

    def __exit__(self, *_: Any) -> None:
        _state.device = self._before.pop()


class Graph:
    """Captured work."""

    def __init__(self, work: list[Callable[[], Any]]) -> None:
        self._work = work

    def launch(self, stream: "Stream | None" = None) -> None:
        for one in self._work:
            submit(one)


class Stream:
    """A queue of work, which may be captured."""

    def __init__(self, null: bool = False, non_blocking: bool = False) -> None:
        self.ptr = 0 if null else next(_numbers)
        self._captured: list[Callable[[], Any]] | None = None
        self._is_valid = True

    def __enter__(self) -> "Stream":
        _state.streams.append(self)
        return self

    def __exit__(self, *_: Any) -> None:
        _state.streams.pop()

    def begin_capture(self, mode: int | None = None) -> None:
        if self.ptr == 0:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        if self._captured is not None:
            raise CUDARuntimeError(ILLEGAL, "cudaErrorIllegalState: the operation cannot be performed in this state")
        self._captured, self._is_valid = [], True

    def end_capture(self) -> Graph:
        work, self._captured = self._captured, None
        if work is None:
            raise CUDARuntimeError(ILLEGAL, "cudaErrorIllegalState: the operation cannot be performed in this state")
        if not self._is_valid:
            text = "cudaErrorStreamCaptureInvalidated: operation failed due to a previous error during capture"
            raise CUDARuntimeError(INVALIDATED, text)
        return Graph(work)

    def is_capturing(self) -> bool:
        return self._captured is not None

    def synchronize(self) -> None:
        if self._captured is not None:
            self._is_valid = False
            text = "cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing"
            raise CUDARuntimeError(UNSUPPORTED, text)

    def submit(self, work: Callable[[], Any]) -> None:
        if self._captured is None:
            work()
        else:
            self._captured.append(work)


class Block:
    """Memory of a pool, which gets it back when no array uses it any more."""

    def __init__(self, pool: "MemoryPool", key: tuple[int, int, int], memory: np.ndarray) -> None:
        self.memory, self._pool, self._key = memory, weakref.ref(pool), key

    def __del__(self) -> None:
        pool = self._pool()
        if pool is not None:
            pool._free[self._key].append(self.memory)
            pool._used[self._key[0]] -= self._key[2]


class MemoryPool:
    """Memory that arrays reuse."""

    def __init__(self) -> None:
        self._free: dict[tuple[int, int, int], list[np.ndarray]] = defaultdict(list)  # by device, stream and size
        self._used: dict[int, int] = defaultdict(int)
        self._total: dict[int, int] = defaultdict(int)

    def malloc(self, size: int) -> Block:
        device = _state.device
        key = device, get_current_stream().ptr, -(-size // UNIT) * UNIT
        if found := self._free[key]:
            memory = found.pop()
        else:
            memory = np.full(key[2], 0xFF, np.uint8)  # NaN as floats
            self._total[device] += key[2]
            _allocated[device] += key[2]
        self._used[device] += key[2]
        return Block(self, key, memory)

    def free_all_blocks(self) -> None:
        for key in [key for key in self._free if key[0] == _state.device]:
            size = key[2] * len(self._free.pop(key))
            self._total[key[0]] -= size
            _allocated[key[0]] -= size

    def used_bytes(self) -> int:
        return self._used[_state.device]

    def total_bytes(self) -> int:
        return self._total[_state.device]


_pool = MemoryPool()
_default = Stream(null=True)
_state = _State()


def get_current_stream() -> Stream:
    return _state.streams[-1] if _state.streams else _default


def get_default_memory_pool() -> MemoryPool:
    return _pool


@contextlib.contextmanager
def using_allocator(malloc: Callable[[int], Block]) -> Iterator[None]:
    before, _state.malloc = _state.malloc, malloc
    try:
        yield
    finally:
        _state.malloc = before


def submit(work: Callable[[], Any]) -> None:
    """Run or capture work on the current stream."""
    get_current_stream().submit(work)


def allocate(size: int) -> Block:
    """Return memory for an array, from the allocator of this thread."""
    return _state.malloc(size)


runtime = SimpleNamespace(
    CUDARuntimeError=CUDARuntimeError,
    getDevice=lambda: _state.device,
    deviceGetAttribute=lambda attribute, device: {16: 4}[attribute],
    memGetInfo=lambda: (CAPACITY - _allocated[_state.device], CAPACITY),
)

"""CUDA graphs: GPU work that is captured once and replayed in one launch, without Python.

A function can be captured if every call launches the same kernels with the same numbers on arrays at the same
addresses, and copies nothing between host and device. `trace` runs it and records its work; comparing two traces tells
whether it can be captured. On a GPU `capture` creates a CUDA graph; in the simulator it records the work and repeats
it.

Source: NVIDIA, CUDA C++ Programming Guide, "CUDA Graphs".
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, NamedTuple

from .availability import SIMULATED


class Work(NamedTuple):
    """One launch or copy on the GPU."""

    name: str
    numbers: tuple
    again: Callable[[], None] | None


class Trace:
    """The GPU work of a function, and the bytes that it copied between host and device.

    executing: False to record work without doing it
    """

    def __init__(self, executing: bool = True) -> None:
        self.work: list[Work] = []
        self.moved = 0
        self.executing = executing

    def reason(self, other: "Trace") -> str | None:
        """Return why a function with these two traces cannot be captured, or None."""
        if self.moved or other.moved:
            return f"it moves {max(self.moved, other.moved)} bytes between host and device"
        if [one.name for one in self.work] != [one.name for one in other.work]:
            return f"it launched {len(self.work)} kernels, then {len(other.work)} others"
        for one, two in zip(self.work, other.work, strict=True):
            if one.numbers != two.numbers:
                return f"the kernel {one.name} was given {one.numbers}, then {two.numbers}"
        return None


_trace: ContextVar[Trace | None] = ContextVar("fastnn_trace", default=None)


def do(work: Callable[[], None], name: str, numbers: Callable[[], tuple] = tuple) -> None:
    """Do some GPU work, and record it inside `trace`."""
    found = _trace.get()
    if found is None:
        work()
        return
    found.work.append(Work(name, numbers(), work if SIMULATED else None))
    if found.executing:
        work()


def record_copy(count: int) -> None:
    """Record bytes that were copied between host and device."""
    if found := _trace.get():
        found.moved += count


def trace(function: Callable[[], None], executing: bool = True) -> Trace:
    """Run a function and return the trace of its GPU work."""
    found = Trace(executing)
    token = _trace.set(found)
    try:
        function()
    finally:
        _trace.reset(token)
    return found


def capture(function: Callable[[], None]) -> Callable[[], None]:
    """Capture the GPU work of a function, without running it; return a function that replays it.

    Call both inside a `CaptureStream`.
    """
    if SIMULATED:
        again = [one.again for one in trace(function, executing=False).work if one.again]

        def repeat() -> None:
            for work in again:
                work()

        return repeat
    import cupy

    stream, pool = cupy.cuda.get_current_stream(), cupy.cuda.MemoryPool()
    with cupy.cuda.using_allocator(pool.malloc):  # nobody else gets this memory while the graph uses it
        stream.begin_capture()
        try:
            function()
        finally:
            graph = stream.end_capture()

    def launch(_kept: Any = pool) -> None:
        graph.launch(cupy.cuda.get_current_stream())

    return launch


class CaptureStream:
    """Context manager: a separate stream on which work is captured and replayed."""

    def __init__(self) -> None:
        self._stream: Any = None

    def __enter__(self) -> None:
        if SIMULATED:
            return
        import cupy

        cupy.cuda.get_current_stream().synchronize()
        self._stream = self._stream or cupy.cuda.Stream(non_blocking=True)
        self._stream.__enter__()

    def __exit__(self, *error: Any) -> None:
        if not SIMULATED:
            self._stream.__exit__(*error)
            self._stream.synchronize()

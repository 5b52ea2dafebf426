"""Work of the GPU that is captured once and replayed without Python: CUDA graphs.

A function can be captured if it always does the same: the same kernels with the same numbers on arrays that keep their
addresses, and no copies to or from the host. `trace` runs it once and notes what it did; two such notes tell whether it
may be captured. On a GPU `capture` makes a CUDA graph, which replays everything in one launch; in the simulator it
keeps what was noted, and does it again.

Source: NVIDIA, CUDA C++ Programming Guide, "CUDA Graphs".
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, NamedTuple

from .availability import SIMULATED


class Work(NamedTuple):
    """What the GPU was told to do."""

    name: str
    numbers: tuple
    again: Callable[[], None] | None


class Notes:
    """All that a function had the GPU do, and how many bytes it moved between host and device.

    executing: False where work is only noted, to be done later
    """

    def __init__(self, executing: bool = True) -> None:
        self.work: list[Work] = []
        self.moved = 0
        self.executing = executing

    def reason(self, other: "Notes") -> str | None:
        """Why a function that was noted twice cannot be repeated without Python, or None."""
        if self.moved or other.moved:
            return f"it moves {max(self.moved, other.moved)} bytes between host and device"
        if [one.name for one in self.work] != [one.name for one in other.work]:
            return f"it launched {len(self.work)} kernels, then {len(other.work)} others"
        for one, two in zip(self.work, other.work, strict=True):
            if one.numbers != two.numbers:
                return f"the kernel {one.name} was given {one.numbers}, then {two.numbers}"
        return None


_notes: ContextVar[Notes | None] = ContextVar("fastnn_notes", default=None)


def do(work: Callable[[], None], name: str, numbers: Callable[[], tuple] = tuple) -> None:
    """Have the GPU do something, and note it where that is wanted."""
    notes = _notes.get()
    if notes is None:
        work()
        return
    notes.work.append(Work(name, numbers(), work if SIMULATED else None))
    if notes.executing:
        work()


def note_move(count: int) -> None:
    """Note bytes that were moved between host and device."""
    if notes := _notes.get():
        notes.moved += count


def trace(function: Callable[[], None], executing: bool = True) -> Notes:
    """Run a function; what it had the GPU do."""
    notes = Notes(executing)
    token = _notes.set(notes)
    try:
        function()
    finally:
        _notes.reset(token)
    return notes


def capture(function: Callable[[], None]) -> Callable[[], None]:
    """A function that replays all work of another one, which is not done yet; call both inside a `CaptureStream`."""
    if SIMULATED:
        again = [one.again for one in trace(function, executing=False).work if one.again]

        def repeat() -> None:
            for work in again:
                work()

        return repeat
    import cupy

    stream, pool = cupy.cuda.get_current_stream(), cupy.cuda.MemoryPool()
    with cupy.cuda.using_allocator(pool.malloc):  # memory that nobody else is given while the graph uses it
        stream.begin_capture()
        try:
            function()
        finally:
            graph = stream.end_capture()

    def launch(_kept: Any = pool) -> None:
        graph.launch(cupy.cuda.get_current_stream())

    return launch


class CaptureStream:
    """A stream of its own, on which work is captured and replayed inside a `with` block."""

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

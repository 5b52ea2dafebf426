"""Steps that are repeated without Python: what a function had the GPU do is noted, and done again at one word.

A function can be repeated so if it always has the GPU do the same: the same kernels with the same numbers on arrays
that stay where they are, and nothing that is moved to or from the host. `watch` runs it once and notes what it did; two
such notes tell whether it may be recorded. On a GPU `record` captures a CUDA graph, which takes one launch for all; in
the simulator it keeps what was noted, and does it again.

Source: NVIDIA, CUDA C++ Programming Guide, "CUDA Graphs".
"""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import NamedTuple

from .driver import SIMULATED


class Work(NamedTuple):
    """What the GPU was told to do."""

    name: str
    numbers: tuple
    again: Callable[[], None] | None


class Notes:
    """All that a function had the GPU do, and how many bytes it moved between host and device."""

    def __init__(self) -> None:
        self.work: list[Work] = []
        self.moved = 0

    def obstacle(self, other: "Notes") -> str | None:
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


def is_watched() -> bool:
    """Whether work is to be noted."""
    return _notes.get() is not None


def note(name: str, numbers: tuple, again: Callable[[], None]) -> None:
    """Note what the GPU was told to do; `again` does it once more."""
    if notes := _notes.get():
        notes.work.append(Work(name, numbers, again if SIMULATED else None))


def note_move(count: int) -> None:
    """Note bytes that were moved between host and device."""
    if notes := _notes.get():
        notes.moved += count


def watch(function: Callable[[], None]) -> Notes:
    """Run a function; what it had the GPU do."""
    notes = Notes()
    token = _notes.set(notes)
    try:
        function()
    finally:
        _notes.reset(token)
    return notes


def record(function: Callable[[], None]) -> Callable[[], None]:
    """What repeats all that a function has the GPU do; call it inside `stage`. Recording may, or may not, run it once:

    on a GPU it does not; in the simulator it does, and what it changed has to be put back.
    """
    if SIMULATED:
        again = [one.again for one in watch(function).work if one.again]

        def repeat() -> None:
            for work in again:
                work()

        return repeat
    import cupy

    stream = cupy.cuda.get_current_stream()
    stream.begin_capture()
    try:
        function()
    finally:
        graph = stream.end_capture()
    return lambda: graph.launch(stream)


@contextlib.contextmanager
def stage() -> Iterator[None]:
    """Where steps are recorded and repeated: a stream, and memory that nothing else is given."""
    if SIMULATED:
        yield
        return
    import cupy

    stream, pool = cupy.cuda.Stream(non_blocking=True), cupy.cuda.MemoryPool()
    cupy.cuda.get_current_stream().synchronize()
    with stream, cupy.cuda.using_allocator(pool.malloc):
        try:
            yield
        finally:
            stream.synchronize()

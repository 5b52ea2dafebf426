"""The GPU work of a function, recorded to tell whether it can be captured as a CUDA graph; see `graphs`.

A function can be captured if every call launches the same kernels with the same numbers on arrays at the same
addresses, and copies nothing between host and device. `trace` runs it and records its work; comparing two traces tells
whether it can be captured.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np


class Work(NamedTuple):
    """One launch or copy on the GPU."""

    name: str
    numbers: tuple

    def is_same(self, other: "Work") -> bool:
        """Whether the kernel and the bits of its numbers are the same; a NaN is the same as itself."""
        return self.name == other.name and _bits(self.numbers) == _bits(other.numbers)


class Trace:
    """The GPU work of a function, and the bytes that it copied between host and device."""

    def __init__(self) -> None:
        self.work: list[Work] = []
        self.moved = 0

    def reason(self, other: "Trace") -> str | None:
        """Return why a function with these two traces cannot be captured, or None."""
        if self.moved or other.moved:
            return f"it moves {max(self.moved, other.moved)} bytes between host and device"
        if [one.name for one in self.work] != [one.name for one in other.work]:
            return f"it launched {len(self.work)} kernels, then {len(other.work)} others"
        for one, two in zip(self.work, other.work, strict=True):
            if not one.is_same(two):
                return f"the kernel {one.name} was given {one.numbers}, then {two.numbers}"
        return None


_trace: ContextVar[Trace | None] = ContextVar("fastnn_trace", default=None)
_kept: ContextVar[list | None] = ContextVar("fastnn_kept", default=None)


def do(work: Callable[[], None], name: str, numbers: Callable[[], tuple] = tuple) -> None:
    """Do some GPU work, and record it inside `trace`."""
    if found := _trace.get():
        found.work.append(Work(name, numbers()))
    work()


def record_copy(count: int) -> None:
    """Record bytes that were copied between host and device."""
    if found := _trace.get():
        found.moved += count


def trace(function: Callable[[], None]) -> Trace:
    """Run a function and return the trace of its GPU work."""
    found = Trace()
    token = _trace.set(found)
    try:
        function()
    finally:
        _trace.reset(token)
    return found


@contextlib.contextmanager
def keeping() -> Iterator[list]:
    """Context manager that returns a list of what is passed to `keep` meanwhile."""
    kept: list = []
    token = _kept.set(kept)
    try:
        yield kept
    finally:
        _kept.reset(token)


def keep(value: Any) -> Any:
    """Return a value, which a captured graph has to keep."""
    if (kept := _kept.get()) is not None:
        kept.append(value)
    return value


def _bits(numbers: tuple) -> list:
    return [(value.dtype, value.tobytes()) if isinstance(value, np.generic) else value for value in numbers]

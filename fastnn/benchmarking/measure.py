"""Timing of single calls and of interleaved calls."""

import contextlib
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple


class Timing(NamedTuple):
    """Seconds per call."""

    median: float
    fastest: float
    samples: int


def seconds(call: Callable[[], Any]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def timing(samples: list[float]) -> Timing:
    return Timing(statistics.median(samples), min(samples), len(samples))


def alternate(
    calls: Mapping[str, Callable[[], Any]],
    rounds: int = 20,
    settle: float = 0.25,
    budget: float = 60.0,
    around: Callable[[str], AbstractContextManager] = contextlib.nullcontext,
) -> dict[str, Timing]:
    """Time calls interleaved, so that temporary slowdowns of the machine affect all of them.

    In each of `rounds` rounds, each call has one turn. A turn begins with untimed calls for at least `settle` seconds:
    idle threads of the previous peer (OpenBLAS) occupy the cores by spinning for about 100 ms, and the scheduler needs
    another 50 ms to give each thread a core. Timed calls follow, at least one, for a tenth of that time. After `budget`
    seconds no further round begins.
    `around(name)` is a context manager entered for the turns of that call, outside the timed part.
    """
    samples: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + budget
    for _ in range(rounds):
        for name, call in calls.items():
            with around(name):
                samples[name] += turn(call, settle)
        if time.perf_counter() > end:
            break
    return {name: timing(values) for name, values in samples.items()}


def turn(call: Callable[[], Any], settle: float) -> list[float]:
    """Seconds of each timed call of one turn (see `alternate`)."""
    settled = time.perf_counter() + settle
    call()
    while time.perf_counter() < settled:
        call()
    samples = [seconds(call)]
    while sum(samples) < settle / 10:
        samples.append(seconds(call))
    return samples

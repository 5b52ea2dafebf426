"""How calls are timed: one after the other, and peers in alternation."""

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
    """What one call takes."""
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
    """Time peers in turns, so that what slows the machine for a while slows all of them.

    In each of `rounds` rounds, each call has one turn. A turn begins with untimed calls for at least `settle` seconds:
    the idle threads of the peer before (OpenBLAS) spin for some 100 ms and take the cores away, and the scheduler needs
    50 more to give each thread a core. Then follow timed calls, one at least, for a tenth of that time. After `budget`
    seconds no further round begins.
    `around(name)` is a context that is entered for the turns of that call, outside its time.
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
    """Seconds of each timed call of a turn, which begins with untimed ones: see `alternate`."""
    settled = time.perf_counter() + settle
    call()
    while time.perf_counter() < settled:
        call()
    samples = [seconds(call)]
    while sum(samples) < settle / 10:
        samples.append(seconds(call))
    return samples

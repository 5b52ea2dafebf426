"""The benchmark run: every case checked, then timed on every backend and on PyTorch; as a dict ready for JSON."""

import contextlib
import importlib.util
import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from fastnn.kernels import use_backend
from fastnn.testing import assert_same

from . import machine, measure
from .cases import CASES, PASSES, Calls, Case, in_float64, with_images

SPECIFICATION = "naive"  # timed alone and seldom: its loops take seconds
REFERENCE = "vectorized"  # in float64, it says what every result must be
PEER = "torch"


class WrongResult(RuntimeError):
    """What a backend computed is not what it should be, so that its time means nothing."""


def run(
    backends: Iterable[str],
    subject: str,
    cases: Iterable[Case] | None = None,
    dtype: Any = np.float32,
    rounds: int = 20,
    settle: float = 0.25,
    patience: float = 20.0,
    peer: bool = True,
    slow: bool = False,
    progress: Callable[[str], None] = lambda line: None,
) -> dict:
    """Check and time each case, forward and backward.

    cases: what to time; None: all of `cases.CASES`
    backends: the backends to time; subject: the one whose speedup over the others is given
    rounds, settle: see `measure.alternate`
    patience: naive loops that would take more seconds are timed on fewer images and scaled
    peer: PyTorch too, where it is installed
    slow: the naive loops also where they take minutes
    progress: called with a line about what comes next
    Returns seconds per call, rates, speedups, the machine, versions and commit.
    Raises WrongResult where a value differs from the reference by more than rounding.
    """
    backends, results = list(backends), []
    peer = peer and importlib.util.find_spec(PEER) is not None
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    for case in CASES if cases is None else cases:
        arrays = case.inputs(dtype)
        calls = {name: case.calls(arrays) for name in backends if name != SPECIFICATION}
        if peer:
            calls[PEER] = _on_all_cores(case.torch_calls(arrays))
        progress(f"{case.name}: checking values")
        for name, of_name in calls.items():
            check(case, arrays, name, of_name)
        for direction in PASSES:
            seconds: dict[str, dict] = {}
            if SPECIFICATION in backends and (slow or not case.slow):
                progress(f"{case.name}: {direction}, {SPECIFICATION}")
                seconds[SPECIFICATION] = _time_loops(case, direction, dtype, patience)
            progress(f"{case.name}: {direction}, {', '.join(calls)} in turns")
            turns = {name: of_name[direction] for name, of_name in calls.items()}
            timings = measure.alternate(turns, rounds, settle, around=_around)
            seconds |= {name: timing._asdict() for name, timing in timings.items()}
            results.append(_result(case, direction, np.dtype(dtype).itemsize, seconds, subject))
    return {
        "subject": subject,
        "dtype": np.dtype(dtype).name,
        "rounds": rounds,
        "machine": machine.describe(),
        "load_before": load,
        "results": results,
    }


def _around(name: str) -> AbstractContextManager:
    """The context that a call under this name needs."""
    return contextlib.nullcontext() if name == PEER else use_backend(name)


def _on_all_cores(calls: Calls) -> Calls:
    import torch

    torch.set_num_threads(machine.cores())
    return calls


def check(case: Case, arrays: dict, name: str, calls: Calls) -> None:
    """Compare what the calls return with the reference on the same arrays in float64."""
    with use_backend(REFERENCE):
        expected = {direction: call() for direction, call in case.calls(in_float64(arrays)).items()}
    for direction, call in calls.items():
        with _around(name):
            actual = _as_numpy(call())
        wanted = expected[direction]
        if isinstance(actual, tuple):
            wanted = wanted[: len(actual)]
        try:
            assert_same(actual, wanted, case.terms())
        except AssertionError as error:
            raise WrongResult(f"bench: {name} computes {case.name}, {direction}, wrongly: {error}") from error


def _as_numpy(result: Any) -> Any:
    if isinstance(result, (tuple, list)):
        return tuple(map(_as_numpy, result))
    return np.asarray(result)


def _time_loops(case: Case, direction: str, dtype: Any, patience: float) -> dict:
    """Time the naive loops: on the whole batch where that takes less than `patience` seconds, else on a part of it."""
    one = _time_images(with_images(case, 1), direction, dtype, times=1)
    images = case.x[0]
    part = images if one.median * images <= patience else max(1, round(patience / 4 / one.median))
    timing = _time_images(with_images(case, part), direction, dtype, times=3 if one.median * part < 1 else 1)
    scale = images / part
    return {**timing._replace(median=timing.median * scale, fastest=timing.fastest * scale)._asdict(), "images": part}


def _time_images(case: Case, direction: str, dtype: Any, times: int) -> measure.Timing:
    arrays = case.inputs(dtype)
    call = case.calls(arrays)[direction]
    if case.x[0] == 1:
        check(case, arrays, SPECIFICATION, {direction: call})
    with use_backend(SPECIFICATION):
        return measure.timing([measure.seconds(call) for _ in range(times)])


def _result(case: Case, direction: str, itemsize: int, seconds: dict[str, dict], subject: str) -> dict:
    cost, unit = case.cost(direction, itemsize)
    medians = {name: timing["median"] for name, timing in seconds.items()}
    own = medians.get(subject)
    return {
        "case": case.name,
        "pass": direction,
        "images": case.x[0],
        "seconds": seconds,
        "rate": {name: cost / median for name, median in medians.items()},
        "unit": unit,
        "speedup": {name: median / own for name, median in medians.items() if name != subject} if own else {},
    }

"""The benchmark run: check and time every case on every backend and in PyTorch; the result is ready for JSON."""

import contextlib
import importlib.util
import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from fastnn import environment
from fastnn.kernels import to_numpy, use_backend
from fastnn.testing import assert_same

from . import malloc, measure, roofline, summary
from .cases import (
    CASES,
    REFERENCE,  # in float64, it computes the expected results
    Arguments,
    Calls,
    Case,
    in_float64,
    with_images,
)

SPECIFICATION = "naive"  # timed separately, with few repetitions: its loops take seconds
PEER = "torch"
PEERS = (PEER, "sklearn")  # other packages, timed where they are installed


class WrongResult(RuntimeError):
    """A backend computed a wrong result, so its time is meaningless."""


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
    """Check and time every pass of each case.

    cases: what to time; None: all of `cases.CASES`
    backends: the backends to time; subject: the backend whose speedup over the others is computed
    rounds, settle: see `measure.alternate`
    patience: limit in seconds; slower naive loops are timed on fewer images and scaled
    peer: time PyTorch and scikit-learn too, if they are installed
    slow: time the naive loops even if they take minutes
    progress: called with a line about the next step
    Returns seconds per call, rates, shares of the measured peak, speedups and their summary, the machine, versions and
    commit, in a dict that JSON can hold; "results" is a list with an entry for each pass of each case,

        case, operation, function, pass, images: the timed work
        seconds: {name: {median, fastest, samples}}, with images too if fewer were timed and the time was scaled
        unit, rate: FLOP/s or B/s, {name: rate}
        share: {name: fraction of the peak}; empty if the peak cannot be measured
        speedup: {name: its seconds divided by those of the subject}

    Raises WrongResult if a value differs from the reference by more than rounding.
    """
    backends, results = list(backends), []
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    progress("measuring the machine's peak")
    peaks = roofline.measured()
    for case in CASES if cases is None else cases:
        arrays = case.inputs(dtype)
        calls = {name: case.calls(arrays) for name in backends if name != SPECIFICATION}
        calls |= peer_calls(case, arrays) if peer else {}
        progress(f"{case.name}: checking values")
        expected = reference(case, arrays)
        for name, of_name in calls.items():
            check(case, expected, name, of_name, dtype)
        for direction in case.passes:
            seconds: dict[str, dict] = {}
            if SPECIFICATION in backends and (slow or not case.slow):
                progress(f"{case.name}: {direction}, {SPECIFICATION}")
                seconds[SPECIFICATION] = time_loops(case, direction, dtype, patience)
            turns = {name: of_name[direction] for name, of_name in calls.items() if direction in of_name}
            progress(f"{case.name}: {direction}, {', '.join(turns)} in turns")
            timings = measure.alternate(turns, rounds, settle, around=around)
            seconds |= {name: timing._asdict() for name, timing in timings.items()}
            results.append(_result(case, direction, np.dtype(dtype), seconds, subject))
    return {
        "subject": subject,
        "dtype": np.dtype(dtype).name,
        "rounds": rounds,
        "machine": environment.describe(),
        "threads": environment.threads(),
        "malloc": malloc.state(),
        "peak": peaks,
        "load_before": load,
        "results": results,
        "summary": summary.of(results, subject),
    }


def has_peer(name: str = PEER) -> bool:
    """Whether PyTorch, or another of `PEERS`, is installed."""
    return importlib.util.find_spec(name) is not None


def around(name: str) -> AbstractContextManager:
    """The context that a call under this name needs."""
    return contextlib.nullcontext() if name in PEERS else use_backend(name)


def peer_calls(case: Case, arrays: Arguments) -> dict[str, Calls]:
    """The calls of the installed peers that do the work of this case, by their names."""
    functions = dict(zip(PEERS, (torch_calls, Case.sklearn_calls), strict=True))
    found = {name: calls(case, arrays) for name, calls in functions.items() if has_peer(name)}
    return {name: calls for name, calls in found.items() if calls}


def torch_calls(case: Case, arrays: Arguments) -> Calls:
    """PyTorch's calls, with as many threads as the kernels."""
    import torch

    torch.set_num_threads(environment.threads())
    return case.torch_calls(arrays)


def reference(case: Case, arrays: Arguments) -> dict[str, tuple]:
    """The expected results of each pass, computed in float64."""
    with use_backend(REFERENCE):
        return {direction: _as_tuple(call(), float) for direction, call in case.calls(in_float64(arrays)).items()}


def check(case: Case, expected: dict[str, tuple], name: str, calls: Calls, dtype: Any) -> None:
    """Call each pass once and compare its results with the reference.

    Peers may return only the first results. If PyTorch draws random numbers, only shapes are compared. The tolerance
    of peers is ten times as large: PyTorch's batch norm computes the variance in one pass.
    """
    for direction, call in calls.items():
        with around(name):
            actual = _as_tuple(call(), dtype)
        wanted = expected[direction][: len(actual)] if name in PEERS else expected[direction]
        if name == PEER and direction in case.random_peer:
            actual, wanted = (tuple(np.zeros(result.shape) for result in results) for results in (actual, wanted))
        try:
            assert_same(actual, wanted, case.terms() * (100 if name in PEERS else 1))
        except AssertionError as error:
            raise WrongResult(f"bench: {name} computes {case.name}, {direction}, wrongly: {error}") from error


def _as_tuple(results: Any, dtype: Any) -> tuple:
    """The results as arrays; Python numbers become arrays of the dtype."""
    results = results if isinstance(results, (tuple, list)) else (results,)
    return tuple(np.asarray(to_numpy(result), dtype if _is_number(result) else None) for result in results)


def _is_number(result: Any) -> bool:
    return result is not None and np.ndim(result) == 0


def time_loops(case: Case, direction: str, dtype: Any, patience: float) -> dict:
    """Time the naive loops: on the whole batch if that takes less than `patience` seconds, else on part of it."""
    one = _time_images(with_images(case, 1), direction, dtype, times=1)
    images = case.x[0]
    part = images
    if one.median * images > patience and not case.whole:
        part = max(1, round(patience / 4 / one.median))
    timing = _time_images(with_images(case, part), direction, dtype, times=3 if one.median * part < 1 else 1)
    scale = images / part
    return {**timing._replace(median=timing.median * scale, fastest=timing.fastest * scale)._asdict(), "images": part}


def _time_images(case: Case, direction: str, dtype: Any, times: int) -> measure.Timing:
    arrays = case.inputs(dtype)
    call = case.calls(arrays)[direction]
    if case.x[0] == 1:
        check(case, reference(case, arrays), SPECIFICATION, {direction: call}, dtype)
    with use_backend(SPECIFICATION):
        return measure.timing([measure.seconds(call) for _ in range(times)])


def _result(case: Case, direction: str, dtype: np.dtype, seconds: dict[str, dict], subject: str) -> dict:
    cost, unit = case.cost(direction, dtype.itemsize)
    medians = {name: timing["median"] for name, timing in seconds.items()}
    rates, most, own = (
        {name: cost / median for name, median in medians.items()},
        roofline.of(unit, dtype),
        medians.get(subject),
    )
    return {
        "case": case.name,
        "operation": case.operation,
        "function": case.function,
        "pass": direction,
        "images": case.x[0],
        "seconds": seconds,
        "rate": rates,
        "unit": unit,
        "share": {name: rate / most for name, rate in rates.items()} if most else {},
        "speedup": {name: median / own for name, median in medians.items() if name != subject} if own else {},
    }

"""The cases of `fastnn bench` under pytest-benchmark: every operation x pass x dtype x backend.

    pytest benchmarks/bench_operations.py --benchmark-enable --benchmark-only -k "conv2d and njit and float32"
    pytest benchmarks/bench_operations.py --benchmark-enable --benchmark-json=results.json -k "not naive"

Values are checked first. Without --benchmark-enable every test runs once, on tiny arrays. With it, vectorized and
PyTorch run before each timed call, and `extra_info` holds the rate (FLOP/s or B/s), the share of the machine's
measured peak, and the speedups over them and over the naive loops, which are timed on fewer images and scaled. As the
tested backend, naive runs on one image.
"""

import functools
import statistics
import time

import numpy as np
import pytest

import fastnn
from fastnn.benchmarking import measure, report, roofline
from fastnn.benchmarking.cases import CASES, with_images

BACKENDS = [line.name for line in fastnn.backends() if line.available]
PASSES = [(case, direction) for case in CASES for direction in case.passes]
ROUNDS, SETTLE, PATIENCE = 10, 0.25, 1.0

time_loops = functools.cache(report.time_loops)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("case", "direction"), PASSES, ids=[f"{case.name}, {direction}" for case, direction in PASSES])
def test_operation(benchmark, case, direction, dtype, backend):
    loops = backend == report.SPECIFICATION
    timed = case.tiny() if benchmark.disabled else with_images(case, 1) if loops else case
    arrays = timed.inputs(dtype)
    own = timed.calls(arrays)[direction]
    report.check(timed, report.reference(timed, arrays), backend, {direction: own}, dtype)
    if benchmark.disabled:
        with fastnn.use_backend(backend):
            benchmark(own)
        return
    calls = {} if loops else peers(timed, arrays, direction, backend)
    samples = {name: [] for name in calls}

    def others_first():
        for name, call in calls.items():
            with report.around(name):
                samples[name] += measure.turn(call, SETTLE)
        settled = time.perf_counter() + SETTLE
        while time.perf_counter() < settled:
            own()

    with fastnn.use_backend(backend):
        benchmark.pedantic(own, setup=others_first, rounds=3 if loops else ROUNDS)
    median = benchmark.stats.stats.median
    cost, unit = timed.cost(direction, np.dtype(dtype).itemsize)
    benchmark.extra_info |= {"images": timed.x[0], unit: cost / median}
    if most := roofline.of(unit, dtype):
        benchmark.extra_info["share of peak"] = cost / median / most
    medians = {name: statistics.median(seconds) for name, seconds in samples.items()}
    if not (loops or case.slow):
        medians[report.SPECIFICATION] = time_loops(case, direction, dtype, PATIENCE)["median"]
    benchmark.extra_info |= {f"speedup over {name}": other / median for name, other in medians.items()}


def peers(case, arrays, direction, backend):
    """The calls that are interleaved with those of this backend."""
    calls = {report.REFERENCE: case.calls(arrays)[direction]} if backend != report.REFERENCE else {}
    theirs = report.peer_calls(case, arrays)
    return calls | {name: of_name[direction] for name, of_name in theirs.items() if direction in of_name}

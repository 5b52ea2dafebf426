"""The cases of `fastnn bench` under pytest-benchmark, one test for each case, pass and backend.

    pytest benchmarks --benchmark-enable --benchmark-only --benchmark-group-by=param:case,param:direction
    pytest benchmarks --benchmark-enable --benchmark-only -k "not naive" --benchmark-json=results.json

Without --benchmark-enable every test runs once, on a few small images; with it the naive loops run on one image. Values
are checked first. `extra_info` holds the rate and, timed in alternation with it, the speedup over vectorized.
"""

import dataclasses

import pytest

import fastnn
from fastnn.benchmarking import measure, report
from fastnn.benchmarking.cases import CASES, PASSES, MaxPooling, with_images

BACKENDS = [line.name for line in fastnn.backends() if line.available]


def tiny(case):
    """The same operation on two images with few channels."""
    small = dataclasses.replace(case, x=(2, min(case.x[1], 2), 9, 8))
    return small if isinstance(case, MaxPooling) else dataclasses.replace(small, filters=3)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("direction", PASSES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_operation(benchmark, case, direction, backend, dtype):
    if benchmark.disabled:
        case = tiny(case)
    elif backend == report.SPECIFICATION:
        case = with_images(case, 1)
    arrays = case.inputs(dtype)
    calls = case.calls(arrays)
    report.check(case, arrays, backend, calls)
    with fastnn.use_backend(backend):
        benchmark(calls[direction])
    if not benchmark.disabled:
        benchmark.extra_info["images"] = case.x[0]
        cost, unit = case.cost(direction, arrays["x"].itemsize)
        benchmark.extra_info[unit] = cost / benchmark.stats.stats.median
        if backend not in (report.SPECIFICATION, report.REFERENCE):
            peers = dict.fromkeys((report.REFERENCE, backend), calls[direction])
            timings = measure.alternate(peers, around=fastnn.use_backend)
            ratio = timings[report.REFERENCE].median / timings[backend].median
            benchmark.extra_info[f"speedup over {report.REFERENCE}"] = ratio

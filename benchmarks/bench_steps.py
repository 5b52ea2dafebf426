"""Training steps of the courses' networks under pytest-benchmark, one test per network; see `networks.STEPS`.

    pytest benchmarks/bench_steps.py --benchmark-enable --benchmark-only
    pytest benchmarks/bench_steps.py --benchmark-enable --benchmark-only -k conv --benchmark-json=steps.json

Without --benchmark-enable every test runs once, on eight images. PyTorch's network is checked to compute the same
results before it is timed. `extra_info` holds the speedup over PyTorch, timed interleaved; without PyTorch, only fastnn
is timed. With the settings of `fastnn.benchmarking.malloc`, PyTorch is fastest; its optimisers are then the fused ones.
"""

import importlib.util

import pytest
import steps
from networks import STEPS

from fastnn.benchmarking import malloc, measure

HAS_TORCH = importlib.util.find_spec("torch") is not None
IS_TUNED = malloc.state() == "tuned"


@pytest.mark.parametrize("network", STEPS, ids=lambda network: network.name)
def test_step(benchmark, network):
    if benchmark.disabled:
        network = steps.with_batches_of(network, 8)
    if not HAS_TORCH:
        benchmark(steps.solver_step(network, steps.noise(network)))
        return
    calls = steps.peers(network, fused=IS_TUNED)
    benchmark(calls["fastnn"])
    if benchmark.disabled:
        calls["torch"]()
    else:
        benchmark.extra_info["fused"] = IS_TUNED
        timings = measure.alternate(calls)
        benchmark.extra_info["speedup over torch"] = timings["torch"].median / timings["fastnn"].median

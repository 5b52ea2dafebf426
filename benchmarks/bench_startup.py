"""What a new process waits for: the import, and the compilation of a network's kernels. Each is a series of its own.

    pytest benchmarks/bench_startup.py --benchmark-enable --benchmark-only

    import      `import fastnn`, with NumPy already imported
    cold        the kernels of a training step of ThreeLayerConvNet, and of its evaluation, compiled with an empty cache
    warm        the same kernels, loaded from the cache that the previous process wrote
    first call  the slowest first call of a convolution or pooling, forward or backward, two seconds after the import
                of `fastnn.fast_layers`, with kernels on disk
    warm-up     `fastnn warmup` with an empty cache

Compilation time is the time of a first call of `Solver.train` minus that of a second one. Without
--benchmark-enable every test runs once, on a backend that compiles nothing.

    python benchmarks/bench_startup.py             prints the seconds of all series
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

IMPORT = """
import json, time
import numpy
began = time.perf_counter()
import fastnn
print(json.dumps({"import": time.perf_counter() - began, "version": fastnn.__version__}))
"""
TRAIN = """
import json, time
import numpy as np
from fastnn.classifiers.cnn import ThreeLayerConvNet
from fastnn.solver import Solver
generator = np.random.default_rng(0)
data = {"X_train": generator.standard_normal((50, 3, 32, 32), dtype=np.float32), "y_train": np.arange(50) % 10}
data |= {"X_val": data["X_train"][:10], "y_val": data["y_train"][:10]}
options = {"update_rule": "adam", "batch_size": 50, "num_epochs": 1, "num_train_samples": 10, "verbose": False}
solver = Solver(ThreeLayerConvNet(seed=generator), data, seed=0, **options)
times = [time.perf_counter()]
for _ in range(2):
    solver.train()
    times.append(time.perf_counter())
first, second = np.diff(times)
print(json.dumps({"compilation": first - second, "losses": solver.loss_history}))
"""
FIRST_CALL = """
import json, sys, time
import numpy as np
from fastnn import fast_layers as layers
time.sleep(float(sys.argv[1]))
generator = np.random.default_rng(0)
x, w, b = generator.standard_normal((100, 3, 32, 32)), generator.standard_normal((25, 3, 3, 3)), np.zeros(25)
conv_param, pool_param = {"stride": 1, "pad": 1}, {"pool_height": 2, "pool_width": 2, "stride": 2}

def timed(function, *arguments):
    start = time.perf_counter()
    result = function(*arguments)
    return result, time.perf_counter() - start

def round_of_calls():
    (out, cache), conv_forward = timed(layers.conv_forward_fast, x, w, b, conv_param)
    _, conv_backward = timed(layers.conv_backward_fast, out, cache)
    (out, cache), pool_forward = timed(layers.max_pool_forward_fast, x, pool_param)
    _, pool_backward = timed(layers.max_pool_backward_fast, out, cache)
    return [conv_forward, conv_backward, pool_forward, pool_backward]

print(json.dumps({"first": round_of_calls(), "second": round_of_calls()}))
"""
WARMUP = """
import json, time
from fastnn.cli import main
began = time.perf_counter()
assert main(["warmup"]) == 0
print(json.dumps({"warm-up": time.perf_counter() - began}))
"""
PAUSE = 2.0  # seconds between the import of `fast_layers` and a first call


def in_new_process(program: str, *arguments: str, **environment: str) -> dict[str, Any]:
    """Run a program; return its last line of output, read as JSON."""
    command = [sys.executable, "-c", program, *arguments]
    run = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(f"in_new_process: the program failed with exit code {run.returncode}:\n{run.stderr}")
    return json.loads(run.stdout.splitlines()[-1])


def time_startup(repeats: int = 7, compilations: int = 2) -> dict[str, float]:
    """Median seconds of each series; `compilations` is the number of cold and of warm starts."""
    in_new_process(IMPORT)  # the first one may write byte code
    seconds: dict[str, list[float]] = {"import": [in_new_process(IMPORT)["import"] for _ in range(repeats)]}
    for _ in range(compilations):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("cold", "warm"):
                took = in_new_process(TRAIN, NUMBA_CACHE_DIR=folder)["compilation"]
                seconds.setdefault(name, []).append(took)
    with tempfile.TemporaryDirectory() as folder:
        seconds["warm-up"] = [in_new_process(WARMUP, NUMBA_CACHE_DIR=folder)["warm-up"]]
        firsts = [in_new_process(FIRST_CALL, str(PAUSE), NUMBA_CACHE_DIR=folder)["first"] for _ in range(repeats + 1)]
        seconds["first call"] = [max(calls) for calls in firsts[1:]]  # the first process may compile float64
    return {name: statistics.median(values) for name, values in seconds.items()}


@pytest.fixture
def environment(benchmark, tmp_path):
    """Environment variables: a new cache folder and, if nothing is timed, a backend that compiles nothing."""
    backend = {"FASTNN_BACKEND": "vectorized"} if benchmark.disabled else {}
    return {"NUMBA_CACHE_DIR": str(tmp_path), **backend}


def test_import(benchmark):
    found = benchmark.pedantic(in_new_process, args=(IMPORT,), rounds=7)
    benchmark.extra_info["seconds beyond NumPy"] = found["import"]
    assert found["import"] > 0


def test_cold(benchmark, environment):
    found = benchmark.pedantic(in_new_process, args=(TRAIN,), kwargs=environment, rounds=1)
    benchmark.extra_info["seconds of compilation"] = found["compilation"]
    assert len(found["losses"]) == 2


def test_warm(benchmark, environment):
    if not benchmark.disabled:
        in_new_process(TRAIN, **environment)
        assert list(Path(environment["NUMBA_CACHE_DIR"]).rglob("*.nbc"))
    found = benchmark.pedantic(in_new_process, args=(TRAIN,), kwargs=environment, rounds=3)
    benchmark.extra_info["seconds of compilation"] = found["compilation"]
    assert len(found["losses"]) == 2


def test_first_call(benchmark, environment):
    pause = "0" if benchmark.disabled else str(PAUSE)
    found = benchmark.pedantic(in_new_process, args=(FIRST_CALL, pause), kwargs=environment, rounds=1)
    benchmark.extra_info["seconds of first and second calls"] = found
    assert len(found["first"]) == len(found["second"]) == 4


def test_the_error_of_a_failing_program():
    with pytest.raises(RuntimeError, match=r"(?s)exit code 1:.*ZeroDivisionError"):
        in_new_process("1 / 0")


if __name__ == "__main__":
    for name, value in time_startup().items():
        print(f"{name:12}{value:10.4f} s")

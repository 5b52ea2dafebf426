"""The benchmark run: interleaved timing, checked values, the form of the results. No test depends on a time."""

import contextlib
import json
import subprocess
import sys

import numpy as np
import pytest
from small_cases import case_of

from fastnn import environment
from fastnn.benchmarking import malloc, measure, report, roofline, table
from fastnn.benchmarking.cases import with_images

TINY = (
    case_of("conv2d", (2, 2, 6, 5), F=3, kernel=3, stride=2, pad=1),
    case_of("max_pool2d", (2, 2, 5, 4), kernel=2, stride=2),
    case_of("softmax_loss", (5, 4)),
    case_of("augment_images", (2, 2, 5, 4)),
)
PEAK = {"FLOP/s": {"float32": 4e11, "float64": 2e11}, "B/s": 5e10}


# ---- timing ----


def test_peers_take_turns():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    timings = measure.alternate(calls, rounds=3, settle=0.0)
    assert order == ["a", "a", "b", "b"] * 3  # one untimed and one timed call
    assert {name: timing.samples for name, timing in timings.items()} == {"a": 3, "b": 3}


def test_turns_end_with_the_budget():
    assert measure.alternate({"a": lambda: None}, rounds=1000, settle=0.0, budget=0.0)["a"].samples == 1


def test_turns_have_their_context():
    entered = []

    @contextlib.contextmanager
    def around(name):
        entered.append(name)
        yield

    measure.alternate({"a": lambda: None, "b": lambda: None}, rounds=2, settle=0.0, around=around)
    assert entered == ["a", "b", "a", "b"]


def test_median_is_quoted():
    assert measure.timing([3.0, 1.0, 2.0]) == (2.0, 1.0, 3)


# ---- the run ----


@pytest.fixture(scope="module")
def tiny_report():
    lines = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(roofline, "measured", lambda: PEAK)
        result = report.run(
            ["naive", "vectorized"], "vectorized", TINY, rounds=2, settle=0.0, patience=0.0, progress=lines.append
        )
    return result, lines


def test_report_is_json(tiny_report):
    result, lines = tiny_report
    assert json.loads(json.dumps(result)) == result
    assert any("backward, naive" in line for line in lines)
    assert (result["subject"], result["dtype"], result["rounds"], result["peak"]) == ("vectorized", "float32", 2, PEAK)
    assert [(line["case"], line["operation"], line["function"], line["pass"]) for line in result["results"]] == [
        (case.name, case.operation, case.function, direction) for case in TINY for direction in case.passes
    ]


def test_report_compares_medians(tiny_report):
    for line in tiny_report[0]["results"]:
        medians = {name: timing["median"] for name, timing in line["seconds"].items()}
        assert line["speedup"]["naive"] == medians["naive"] / medians["vectorized"]
        assert "vectorized" not in line["speedup"]
        assert line["seconds"]["naive"]["images"] == 1


def test_report_takes_shares_of_the_peak(tiny_report):
    for line in tiny_report[0]["results"]:
        most = 4e11 if line["unit"] == "FLOP/s" else 5e10
        assert line["share"] == {name: rate / most for name, rate in line["rate"].items()}


def test_report_without_a_peak(monkeypatch):
    monkeypatch.setattr(roofline, "measured", lambda: None)
    result = report.run(["vectorized"], "vectorized", TINY[:1], rounds=1, settle=0.0, peer=False)
    assert result["peak"] is None
    assert [line["share"] for line in result["results"]] == [{}, {}]


def test_torch_is_timed_if_possible(monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr(roofline, "measured", lambda: None)
    result = report.run(["vectorized"], "vectorized", TINY, np.float64, rounds=1, settle=0.0)
    timed = {line["case"]: "torch" in line["seconds"] for line in result["results"]}
    assert timed == {case.name: case.operation != "augment" for case in TINY}


def test_scikit_learn_is_timed_where_it_does_the_same_work(monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.setattr(roofline, "measured", lambda: None)
    cases = (TINY[0], case_of("nearest_neighbors", (4, 7), M=5, k=2))
    result = report.run(["vectorized"], "vectorized", cases, np.float64, rounds=1, settle=0.0)
    timed = {line["case"]: "sklearn" in line["seconds"] for line in result["results"]}
    assert timed == {cases[0].name: False, cases[1].name: True}
    assert table.columns(result)[-1] == "sklearn"
    alone = report.run(["vectorized"], "vectorized", cases[1:], rounds=1, settle=0.0, peer=False)
    assert table.columns(alone) == ["vectorized"]


def test_part_of_a_batch_is_scaled(monkeypatch):
    monkeypatch.setattr(report, "_time_images", lambda case, *_, times: measure.Timing(2.0 * case.x[0], 1.0, times))
    case = with_images(TINY[0], 100)
    actual = report.time_loops(case, "forward", "float32", patience=40.0)
    assert actual == {"median": 200.0, "fastest": 20.0, "samples": 1, "images": 5}
    whole = report.time_loops(case, "forward", "float32", patience=200.0)
    assert (whole["median"], whole["images"]) == (200.0, 100)
    always = case_of("conv2d", (100, 2, 6, 5), whole=True, F=3, kernel=3)
    assert report.time_loops(always, "forward", "float32", patience=0.0)["images"] == 100


# ---- the machine ----


def test_machine(monkeypatch):
    found = environment.describe()
    assert found["cpu"]
    assert found["cores"] >= 1
    assert found["versions"]["numpy"] == np.__version__
    monkeypatch.setenv("PATH", "")
    assert environment.commit() is None


def test_package_that_is_not_installed(monkeypatch):
    def version(name):
        raise environment.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(environment.importlib.metadata, "version", version)
    assert environment.versions()["torch"] is None


def test_threads_are_those_of_the_kernels(monkeypatch):
    threads = pytest.importorskip("fastnn.kernels.cpu.threads")
    for asked in ("3", ""):
        monkeypatch.setenv("FASTNN_NUM_THREADS", asked)
        monkeypatch.setattr(threads, "_limit", None)
        assert environment.threads() == threads.get_num_threads()


def test_peak_is_measured_once(monkeypatch):
    pytest.importorskip("numba")
    from fastnn.kernels.cpu import roofline as kernels

    monkeypatch.setattr(kernels, "_COPIED", 1 << 20)
    monkeypatch.setattr(kernels, "_ROUNDS", 1 << 10)
    monkeypatch.setattr(roofline, "SECONDS", 0.0)
    roofline.measured.cache_clear()
    found = roofline.measured()
    assert found is roofline.measured()
    assert roofline.of("FLOP/s", np.float64) == found["FLOP/s"]["float64"] > 0
    assert roofline.of("B/s", np.float64) == roofline.of("B/s", "float32") == found["B/s"] > 0
    monkeypatch.setattr(kernels, "MEASURABLE", False)
    roofline.measured.cache_clear()
    assert roofline.measured() is None
    assert roofline.of("B/s", "float32") is None
    monkeypatch.setattr(roofline, "backends", list)
    roofline.measured.cache_clear()
    assert roofline.measured() is None
    roofline.measured.cache_clear()


def test_the_peak_is_that_of_multiply_adds_and_copies():
    """Accumulators of a tile, a -> a/2 + 1, which converge to 2; a complete copy of an array."""
    pytest.importorskip("numba")
    from fastnn.kernels.cpu import roofline as kernels
    from fastnn.kernels.cpu.simd import cpu_info

    for name in ("float32", "float64"):
        dtype = np.dtype(name)
        sums = np.zeros(3, dtype)
        kernels._multiply_add(3, 100, dtype.type(0), sums)
        np.testing.assert_array_equal(sums, 2 * np.prod(cpu_info.panel_tile(dtype)))
    source, target = np.arange(100_000.0), np.zeros(100_000)
    kernels._copy(source.size, source, target)
    np.testing.assert_array_equal(target, source)


# ---- malloc ----


def test_malloc_state(monkeypatch):
    for name in malloc.TUNED:
        monkeypatch.delenv(name, raising=False)
    for name, value in malloc.TUNED.items():
        assert malloc.state() == "default"
        monkeypatch.setenv(name, value)
    assert malloc.state() == "tuned"


def test_tuned_run_is_a_separate_process(monkeypatch):
    def run(command, env, **_):
        assert command == [sys.executable, "-m", "fastnn", "bench", "--quick", "--json", "-"]
        assert malloc.TUNED.items() <= env.items()
        return subprocess.CompletedProcess(command, 0, stdout='{"malloc": "tuned"}', stderr="")

    monkeypatch.setattr(malloc.subprocess, "run", run)
    assert malloc.run_tuned(["--quick"]) == {"malloc": "tuned"}


def test_tuned_run_that_fails(monkeypatch):
    failed = subprocess.CompletedProcess([], 2, stdout="", stderr="fastnn bench: error: no\n")
    monkeypatch.setattr(malloc.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(RuntimeError, match=r"run_tuned: .* exit code 2; expected 0; it said: fastnn bench: error: no$"):
        malloc.run_tuned()

"""The benchmark: what it times is right, checked and compared as it says. No test looks at a time."""

import contextlib
import json

import numpy as np
import pytest

import fastnn
from fastnn.benchmarking import machine, measure, report, table
from fastnn.benchmarking.cases import CASES, PASSES, Convolution, MaxPooling, in_float64, with_images

TINY = (Convolution((2, 2, 6, 5), filters=3, kernel=3, stride=2, pad=1), MaxPooling((2, 2, 5, 4), size=2))


def test_cost_worked_by_hand():
    convolution, pooling = TINY
    assert convolution.inputs("float32")["dout"].shape == (2, 3, 3, 3)
    assert convolution.cost("forward", 4) == (2 * (2 * 3 * 3 * 3) * (2 * 3 * 3), "FLOP/s")
    assert convolution.cost("backward", 4) == (2 * convolution.cost("forward", 4)[0], "FLOP/s")
    assert pooling.cost("forward", 8) == (8 * (80 + 16) + 16, "B/s")


def test_names_tell_cases_apart():
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", TINY, ids=lambda case: case.name)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_backends_and_torch_agree(case, dtype, backend):
    arrays = case.inputs(dtype)
    report.check(case, arrays, backend, case.calls(arrays))
    pytest.importorskip("torch")
    report.check(case, arrays, report.PEER, case.torch_calls(arrays))


@pytest.mark.parametrize("case", TINY, ids=lambda case: case.name)
@pytest.mark.parametrize("direction", PASSES)
def test_wrong_results_are_found(case, direction):
    arrays = case.inputs("float64")
    with fastnn.use_backend(report.REFERENCE):
        right = case.calls(arrays)[direction]()

    def wrong():
        results = [result.copy() for result in (right if isinstance(right, tuple) else (right,))]
        results[-1].flat[0] += 1
        return tuple(results) if isinstance(right, tuple) else results[0]

    with pytest.raises(report.WrongResult, match=f"bench: torch computes .*, {direction}, wrongly"):
        report.check(case, arrays, report.PEER, {direction: wrong})


def test_inputs_are_the_same_every_time():
    for case in TINY:
        first, second = case.inputs("float32"), case.inputs("float32")
        for name in first:
            np.testing.assert_array_equal(first[name], second[name])
        widened = in_float64(first)
        assert {name: array.dtype.name for name, array in widened.items() if name != "index"} == dict.fromkeys(
            (name for name in first if name != "index"), "float64"
        )


def test_peers_take_turns():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    timings = measure.alternate(calls, rounds=3, settle=0.0)
    assert order == ["a", "a", "b", "b"] * 3  # one call to settle, one that is timed
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


@pytest.fixture(scope="module")
def tiny_report():
    lines = []
    result = report.run(
        ["naive", "vectorized"], "vectorized", TINY, rounds=2, settle=0.0, patience=0.0, progress=lines.append
    )
    return result, lines


def test_report_is_json(tiny_report):
    result, lines = tiny_report
    assert json.loads(json.dumps(result)) == result
    assert any("backward, naive" in line for line in lines)
    assert [(line["case"], line["pass"]) for line in result["results"]] == [
        (case.name, direction) for case in TINY for direction in PASSES
    ]


def test_report_compares_medians(tiny_report):
    for line in tiny_report[0]["results"]:
        medians = {name: timing["median"] for name, timing in line["seconds"].items()}
        assert line["speedup"]["naive"] == medians["naive"] / medians["vectorized"]
        assert "vectorized" not in line["speedup"]
        assert line["seconds"]["naive"]["images"] == 1


def test_part_of_a_batch_is_scaled(monkeypatch):
    monkeypatch.setattr(report, "_time_images", lambda case, *_, times: measure.Timing(2.0 * case.x[0], 1.0, times))
    case = with_images(TINY[0], 100)
    actual = report._time_loops(case, "forward", "float32", patience=40.0)
    assert actual == {"median": 200.0, "fastest": 20.0, "samples": 1, "images": 5}
    whole = report._time_loops(case, "forward", "float32", patience=200.0)
    assert (whole["median"], whole["images"]) == (200.0, 100)


def made_up_report():
    def line(case, direction, **seconds):
        timings = {name: {"median": value, "fastest": value, "samples": 1} for name, value in seconds.items()}
        speedup = {name: value / seconds["njit"] for name, value in seconds.items() if name != "njit"}
        return {
            "case": case,
            "pass": direction,
            "images": 100,
            "seconds": timings,
            "rate": {name: 1e8 / value for name, value in seconds.items()},
            "unit": "FLOP/s",
            "speedup": speedup,
        }

    lines = [
        line("one", "forward", naive=12.34, vectorized=0.0056, njit=0.000308, torch=0.000347),
        line("one", "backward", vectorized=1.0, njit=0.0123, torch=0.5),
    ]
    lines[0]["seconds"]["naive"]["images"] = 10
    known = {"cpu": "CPU", "cores": 2, "vector_features": ["AVX2"], "versions": {"numpy": "2"}, "commit": "abc"}
    return {
        "subject": "njit",
        "dtype": "float32",
        "rounds": 20,
        "machine": known,
        "load_before": 1.5,
        "results": lines,
    }


def test_table():
    lines = table.render(made_up_report()).splitlines()
    assert max(map(len, lines)) <= 100
    forward, backward = (" ".join(line.split()) for line in lines if line.startswith(("  forward", "  backward")))
    assert forward == "forward 12.3 s* 5.60 ms 308 us 347 us 40,065x 18.2x 1.13x 325 GFLOP/s"
    assert backward == "backward - 1.00 s 12.3 ms 500 ms - 81.3x 40.7x 8.13 GFLOP/s"
    assert "* timed on fewer images and scaled to the whole batch" in lines
    assert "- not timed: the loops take minutes there; --full times them too" in lines
    assert lines[-1].startswith("The machine was busy with something else (load 1.5 before the run)")


def test_table_of_a_quiet_machine():
    assert "busy" not in table.render(made_up_report() | {"load_before": 0.1})
    assert "busy" not in table.render(made_up_report() | {"load_before": None})


def test_machine(monkeypatch):
    found = machine.describe()
    assert found["cpu"]
    assert found["cores"] >= 1
    assert found["versions"]["numpy"] == np.__version__
    monkeypatch.setenv("PATH", "")
    assert machine.commit() is None


def test_package_that_is_not_installed(monkeypatch):
    def version(name):
        raise machine.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(machine.importlib.metadata, "version", version)
    assert machine.versions()["torch"] is None

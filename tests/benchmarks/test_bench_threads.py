"""`benchmarks/bench_threads.py`: serial shares, the model, its tables. No test depends on a time."""

import argparse
import os
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba", reason="it measures the threads of njit")
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import bench_threads
import report
import run

from fastnn.benchmarking.cases import CASES
from fastnn.kernels.cpu import roofline, thread_count, threads

TINY = [next(case for case in CASES if case.function == name).tiny() for name in ("conv2d", "sgd_update")]
BANDWIDTH = {1: 10.0, 2: 16.0}


def test_the_model_worked_by_hand():
    for number, serial, moved, expected in (
        (4, 0.0, 0, 2.5),  # computing alone
        (4, 2.0, 0, 4.0),  # 2 + 8 / 4
        (2, 0.0, 96, 6.0),  # 96 / 16 from memory takes longer than 10 / 2
        (4, 0.0, 96, 6.0),  # with the bandwidth of two, the most that is known
        (4, 1.0, 96, 3.25),  # 9.6 on one thread are more than the 9 that it took: read from caches
    ):
        assert bench_threads.model(number, 10.0, serial, moved, BANDWIDTH) == pytest.approx(expected)


def result(one, serial, **medians):
    seconds = {name.strip("t"): {"median": value} for name, value in medians.items()}
    model = {"1": one, "2": one / 2, "4": one / 4}
    names = {"case": f"case {one}", "operation": "conv2d", "pass": "forward"}
    return {**names, "one": one, "serial": serial, "bytes": 1, "seconds": seconds, "model": model}


def part():
    results = [result(0.1, 0.001, t1=0.1, t2=0.05), result(0.4, 0.008, t1=0.4, t2=0.1), result(1e-4, 1e-4, t1=1, t2=1)]
    return {"threads": [1, 2], "left_out": [4], "bandwidth": {"1": 1e10, "2": 2e10}, "results": results}


def test_short_calls_do_not_count():
    assert bench_threads.serial_shares(part()) == pytest.approx({"case 0.1, forward": 0.01, "case 0.4, forward": 0.02})


def test_tables_of_invented_results():
    rows = bench_threads.table(part()).splitlines()
    assert rows[0] == "| case | pass | 1 thread | serial | share | 2 threads | model, 2 | model, 4 |"
    assert rows[2] == "| case 0.1 | forward | 100 ms | 1.00 ms | 1.0 % | 2.00 | 2.00 | 4.00 |"
    rows = bench_threads.overview(part()).splitlines()
    assert rows[2] == "| conv2d | 2 | 2.83 | 2.00 | 4.00 | 2.0 % | case 0.4, forward |"
    assert bench_threads.overview({**part(), "results": []}).splitlines()[2:] == []
    assert bench_threads.left_out(part()) == "Not measured, being more threads than cores: 4.\n\n"
    assert bench_threads.left_out({"left_out": []}) == ""


def test_the_report_has_a_section_and_a_target():
    machine = {"cpu": "CPU", "cores": 2, "vector_features": [], "versions": {}, "commit": "abc", "date": "2026-01-02"}
    text = report.render({"machine": {"threads": {**part(), "machine": machine}}})
    assert "### Threads\n" in text and bench_threads.overview(part()) in text
    left_out = "Not measured, being more threads than cores: 4."
    assert f"Copies in memory: 10.0 GB/s on 1, 20.0 GB/s on 2 threads. {left_out}\n" in text
    assert "| serial share of calls of at least 1 ms | at most 2% | 2.00% | case 0.4, forward | met |" in text


def test_numbers_of_threads():
    assert bench_threads.counts("8,2") == (1, 2, 8)
    for text in ("0", "two", "1,,2"):
        with pytest.raises(argparse.ArgumentTypeError, match=r"--threads: .* is not a number of threads; expected"):
            bench_threads.counts(text)


@pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="nothing is compiled")
def test_more_threads_than_cores_are_left_out(monkeypatch):
    monkeypatch.setattr(thread_count, "cores", lambda: 2)
    monkeypatch.setattr(roofline, "copy", lambda seconds: 1e9 * threads.get_num_threads())
    found = bench_threads.measure_cases(TINY, (1, 2, 64), rounds=1, settle=0.0)
    assert (found["threads"], found["left_out"], found["bandwidth"]) == ([1, 2], [64], {"1": 1e9, "2": 2e9})
    assert [line["pass"] for line in found["results"]] == ["forward", "backward", "update"]
    for line in found["results"]:
        assert 0 < line["serial"] <= line["one"] and line["bytes"] > 0
        assert list(line["seconds"]) == ["1", "2"] and list(line["model"]) == ["1", "2", "64"]
    assert len(bench_threads.table(found).splitlines()) == 5


def test_bytes_of_a_pass_are_those_of_its_arrays():
    case = next(case for case in CASES if case.function == "affine").tiny()
    arguments = case.inputs("float32")
    call = case.calls(arguments)["forward"]
    expected = sum(arguments[name].nbytes for name in "xwb") + call().nbytes
    assert bench_threads.moved_bytes(case, "forward", arguments, call()) == expected
    other = next(case for case in CASES if case.timed.unit == "B/s").tiny()
    direction = other.passes[0]
    cost, _ = other.cost(direction, 4)
    assert bench_threads.moved_bytes(other, direction, other.inputs("float32"), np.zeros(3)) == int(cost)


def test_the_suite_has_the_part(monkeypatch, capsys):
    calls = []

    def measure_cases(cases, counts, **effort):
        calls.append((len(cases), counts, effort))
        return part()

    monkeypatch.setattr(bench_threads, "measure_cases", measure_cases)
    assert run.measure_part("threads", ["sgd_update"], run.ROUGH, (1, 2, 4)) == part()
    assert calls == [(1, (1, 2, 4), {"rounds": 1, "settle": 0.0})]
    assert "more threads than cores: 4." in capsys.readouterr().out

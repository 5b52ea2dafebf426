"""`fastnn bench`, on tiny cases."""

import json
import sys

import numpy as np
import pytest

import fastnn
from fastnn.benchmarking import report
from fastnn.benchmarking.cases import Convolution, MaxPooling
from fastnn.cli import bench, main

pytestmark = pytest.mark.usefixtures("tiny_runs")


@pytest.fixture
def tiny_cases(monkeypatch):
    cases = (Convolution((2, 2, 6, 6), filters=3, kernel=3, pad=1), MaxPooling((2, 2, 4, 4), size=2, slow=True))
    monkeypatch.setattr(report, "CASES", cases)


def test_bench_prints_a_table_and_writes_json(capsys, tiny_cases, monkeypatch):
    monkeypatch.setattr(bench, "backends", lambda: fastnn.backends()[:2])
    assert main(["bench", "--quick", "--repeat", "1", "--no-torch", "--json", "results.json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "conv (2,2,6,6), 3 3x3, stride 1, pad 1" in out
    assert "max pool (2,2,4,4), 2x2" in out
    assert "speedup of vectorized over" in out
    with open("results.json") as file:
        results = json.load(file)
    assert results["rounds"] == 1
    assert [result["pass"] for result in results["results"]] == ["forward", "backward"] * 2
    assert results["results"][0]["speedup"]["naive"] > 1
    assert "naive" not in results["results"][2]["seconds"]


def test_bench_of_chosen_backends_as_json(capsys, tiny_cases):
    assert main(["bench", "--quick", "--full", "--no-torch", "--json", "-", "--backend", "vectorized", "naive"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert results["subject"] == "naive"
    assert all(result["seconds"].keys() == {"vectorized", "naive"} for result in results["results"])


def test_bench_of_a_wrong_kernel(capsys, tiny_cases, monkeypatch):
    from fastnn.kernels.conv2d import naive

    monkeypatch.setattr(naive, "conv2d_forward", lambda x, *_: np.zeros((len(x), 3, 6, 6), x.dtype))
    assert main(["bench", "--quick", "--no-torch", "--backend", "naive"]) == 1
    assert "naive computes conv (1,2,6,6), 3 3x3, stride 1, pad 1, forward, wrongly" in capsys.readouterr().err


def test_bench_shows_what_it_does_on_a_terminal(capsys, tiny_cases, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert main(["bench", "--quick", "--repeat", "1", "--no-torch", "--backend", "vectorized"]) == 0
    assert "max pool (2,2,4,4), 2x2: backward, vectorized in turns" in capsys.readouterr().err

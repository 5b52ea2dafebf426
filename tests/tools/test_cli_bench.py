"""`fastnn bench`, on tiny cases."""

import json
import sys

import numpy as np
import pytest
from small_cases import case_of

import fastnn
from fastnn.benchmarking import cases, roofline
from fastnn.cli import bench, main

pytestmark = pytest.mark.usefixtures("tiny_runs")


@pytest.fixture(autouse=True)
def tiny_cases(monkeypatch):
    headline = (
        case_of("conv2d", (2, 2, 6, 6), F=3, kernel=3, pad=1),
        case_of("max_pool2d", (2, 2, 4, 4), slow=True, kernel=2, stride=2),
    )
    monkeypatch.setattr(cases, "HEADLINE", headline)
    monkeypatch.setattr(cases, "CASES", (*headline, case_of("affine", (2, 3), M=4)))
    monkeypatch.setattr(roofline, "measured", lambda: {"FLOP/s": {"float32": 1e12, "float64": 5e11}, "B/s": 1e11})


def test_bench_prints_a_table_and_writes_json(capsys, monkeypatch):
    monkeypatch.setattr(bench, "backends", lambda: fastnn.backends()[:2])
    assert main(["bench", "--quick", "--repeat", "1", "--no-torch", "--json", "results.json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "conv2d 2x2x6x6 3f3x3 p1" in out
    assert "max_pool2d 2x2x4x4 2x2 s2" in out
    assert "speedup of vectorized over" in out
    with open("results.json") as file:
        results = json.load(file)
    assert results["rounds"] == 1
    assert [result["pass"] for result in results["results"]] == ["forward", "backward"] * 2
    assert results["results"][0]["speedup"]["naive"] > 1
    assert "naive" not in results["results"][2]["seconds"]


def timed(capsys, *arguments):
    """Return the names of the cases that these arguments choose."""
    assert (
        main(["bench", "--quick", "--repeat", "1", "--no-torch", "--backend", "vectorized", "--json", "-", *arguments])
        == 0
    )
    return list(dict.fromkeys(result["case"] for result in json.loads(capsys.readouterr().out)["results"]))


def test_bench_of_chosen_operations(capsys):
    headline = ["conv2d 2x2x6x6 3f3x3 p1", "max_pool2d 2x2x4x4 2x2 s2"]
    assert timed(capsys) == headline
    assert timed(capsys, "--all") == [*headline, "affine 2x3x4"]
    assert timed(capsys, "--operation", "affine", "pool2d") == [headline[1], "affine 2x3x4"]


def test_bench_of_an_unknown_operation(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["bench", "--operation", "fft"])
    assert "'fft' is unknown" in capsys.readouterr().err


def test_bench_of_chosen_backends_as_json(capsys):
    assert main(["bench", "--quick", "--full", "--no-torch", "--json", "-", "--backend", "vectorized", "naive"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert results["subject"] == "naive"
    assert all(result["seconds"].keys() == {"vectorized", "naive"} for result in results["results"])


def test_bench_draws_a_chart(capsys, tmp_path):
    arguments = ["bench", "--quick", "--repeat", "1", "--no-torch", "--backend", "vectorized", "--chart", "chart.png"]
    assert main(arguments) == 0
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


def test_bench_of_a_wrong_kernel(capsys, monkeypatch):
    from fastnn.kernels.conv2d import naive

    monkeypatch.setattr(naive, "conv2d_forward", lambda x, *_: np.zeros((len(x), 3, 6, 6), x.dtype))
    assert main(["bench", "--quick", "--no-torch", "--backend", "naive"]) == 1
    assert "naive computes conv2d 1x2x6x6 3f3x3 p1, forward, wrongly" in capsys.readouterr().err


def test_bench_shows_what_it_does_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert main(["bench", "--quick", "--repeat", "1", "--no-torch", "--backend", "vectorized"]) == 0
    assert "max_pool2d 2x2x4x4 2x2 s2: backward, vectorized in turns" in capsys.readouterr().err

"""The summary, table and chart of a benchmark report."""

import pytest

from fastnn.benchmarking import chart, summary, table


def made_up_report():
    """Two cases; the loops were not timed in the second one's backward pass."""

    def line(case, direction, **seconds):
        rates = {name: 1e8 / value for name, value in seconds.items()}
        return {
            "case": case,
            "operation": "conv2d",
            "function": "conv2d",
            "pass": direction,
            "images": 100,
            "seconds": {name: {"median": value, "fastest": value, "samples": 1} for name, value in seconds.items()},
            "rate": rates,
            "unit": "FLOP/s",
            "share": {name: rate / 5e11 for name, rate in rates.items()},
            "speedup": {name: value / seconds["njit"] for name, value in seconds.items() if name != "njit"},
        }

    lines = [
        line("one", "forward", naive=12.34, vectorized=0.0056, njit=0.000308, torch=0.000347),
        line("one", "backward", naive=4.0, vectorized=1.0, njit=0.0123, torch=0.5),
        line("two", "forward", naive=8.0, vectorized=0.3, njit=0.1, torch=0.2),
        line("two", "backward", vectorized=0.3, njit=0.2, torch=0.4),
    ]
    lines[0]["seconds"]["naive"]["images"] = 10
    known = {"cpu": "CPU", "cores": 2, "vector_features": ["AVX2"], "versions": {"numpy": "2"}, "commit": "abc"}
    return {
        "subject": "njit",
        "dtype": "float32",
        "rounds": 20,
        "machine": known,
        "threads": 2,
        "malloc": "default",
        "peak": {"FLOP/s": {"float32": 5e11, "float64": 2.5e11}, "B/s": 4e10},
        "load_before": 1.5,
        "results": lines,
        "summary": summary.of(lines, "njit"),
    }


def test_summary_worked_by_hand():
    found = made_up_report()["summary"]
    assert found["cases"] == {
        "one": {
            "naive": pytest.approx(16.34 / 0.012608),
            "vectorized": pytest.approx(1.0056 / 0.012608),
            "torch": pytest.approx(0.500347 / 0.012608),
        },
        "two": {"vectorized": pytest.approx(2.0), "torch": pytest.approx(2.0)},
    }
    expected = {
        "naive": pytest.approx(16.34 / 0.012608),
        "vectorized": pytest.approx((1.0056 / 0.012608 * 2.0) ** 0.5),
        "torch": pytest.approx((0.500347 / 0.012608 * 2.0) ** 0.5),
    }
    assert found["operations"] == found["functions"] == {"conv2d": expected}


def test_summary_without_the_subject():
    lines = made_up_report()["results"]
    assert summary.of(lines, "cuda") == {
        "cases": {"one": {}, "two": {}},
        "operations": {"conv2d": {}},
        "functions": {"conv2d": {}},
    }


def test_table():
    lines = table.render(made_up_report()).splitlines()
    assert max(map(len, lines)) <= 100
    rows = [" ".join(line.split()) for line in lines if line.startswith(("  forward", "  backward"))]
    assert rows[0] == "forward 12.3 s* 5.60 ms 308 us 347 us 40,065x 18.2x 1.13x 325 GFLOP/s 65%"
    assert rows[3] == "backward - 300 ms 200 ms 400 ms - 1.50x 2.00x 500 MFLOP/s 0%"
    assert "float32, 2 threads, malloc default; medians of 20 rounds in which the peers take turns" in lines
    assert "measured peak: 500 GFLOP/s between registers, 40.0 GB/s copied in memory" in lines
    assert "* timed on fewer images and scaled to the whole batch" in lines
    assert "- not timed: the loops take minutes there; --full times them too" in lines
    assert " ".join(lines[-3].split()) == "conv2d 2 1,296x 12.6x 8.91x"
    assert lines[-1].startswith("The machine was busy with something else (load 1.5 before the run)")


def test_table_of_a_quiet_machine():
    assert "busy" not in table.render(made_up_report() | {"load_before": 0.1})
    assert "busy" not in table.render(made_up_report() | {"load_before": None})


def test_table_without_a_peak():
    report = made_up_report() | {"peak": None}
    for line in report["results"]:
        line["share"] = {}
    text = table.render(report)
    assert "peak:" not in text
    assert "325 GFLOP/s\n" in text


def test_table_of_one_backend():
    report = made_up_report()
    for line in report["results"]:
        line["seconds"], line["speedup"] = {"njit": line["seconds"]["njit"]}, {}
    text = table.render(report | {"summary": summary.of(report["results"], "njit")})
    assert "speedup" not in text
    assert max(map(len, text.splitlines())) <= 100


def test_chart(tmp_path):
    figure = chart.draw(made_up_report(), tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["one"]  # the loops were not timed in all of two
    widths = [bar.get_width() for bar in axes.patches]
    assert widths == pytest.approx([1.0, 16.34 / 1.0056, 16.34 / 0.012608, 16.34 / 0.500347])
    assert [text.get_text() for text in axes.texts] == ["1x", "16x", "1,296x", "33x"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["naive", "vectorized", "njit", "torch"]

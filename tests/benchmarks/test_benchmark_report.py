"""The benchmark report: its ratios, targets and tables, and the committed report and results."""

import copy
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
import pictures  # noqa: E402
import report  # noqa: E402
import targets  # noqa: E402
from networks import STEPS, TARGETED  # noqa: E402

from fastnn.benchmarking import summary  # noqa: E402

MACHINE = {"cpu": "CPU", "cores": 2, "vector_features": ["X86_V3"], "versions": {"numpy": "2", "torch": None},
           "commit": "abc", "date": "2026-01-02"}  # fmt: skip


def line(operation, case, direction, share=None, **seconds):
    return {
        "case": case,
        "operation": operation,
        "pass": direction,
        "images": 100,
        "seconds": {name: {"median": value, "fastest": value, "samples": 1} for name, value in seconds.items()},
        "share": {} if share is None else {"njit": share},
    }


def parts():
    """Invented results, the same for both dtypes and both kinds of malloc."""
    large, small = "conv2d 50x3x32x32 32f7x7 p3", "conv2d 100x3x31x31 25f3x3 s2 p1"
    results = [
        line("conv2d", large, "forward", 0.95, naive=60.0, vectorized=0.06, njit=0.002, torch=0.003),
        line("conv2d", large, "backward", 0.7, naive=60.0, vectorized=0.06, njit=0.004, torch=0.006),
        line("conv2d", small, "forward", 0.5, naive=8.0, njit=0.001, torch=0.003),
        line("conv2d", small, "backward", 0.5, naive=8.0, njit=0.001, torch=0.003),
        line("pool2d", "max_pool2d 100x3x32x32 2x2", "forward", naive=0.5, njit=0.001, torch=0.0005),
        line("augment", "augment_images 128x3x32x32", "forward", vectorized=0.5, njit=0.001),
    ]  # fmt: skip
    made = {f"operations {kind}": {"subject": "njit", "machine": MACHINE, "results": results} for kind in targets.KINDS}
    for mode, ratio in (("default", 2.0), ("tuned", 1.1)):
        seconds = {"fastnn": {"median": 0.01}, "torch": {"median": 0.01 * ratio}}
        steps = [
            {"network": network.name, "images": 50, "seconds": seconds, "speedup": {"torch": ratio, "module": 1.04}}
            for network in STEPS
        ]
        made[f"steps {mode}"] = {"machine": MACHINE, "results": steps}
    peers = [{"network": network.name, "images": 50, "seconds": {"fastnn": {"median": 0.01}},
              "speedup": {"torch": 1.1, "compile": 0.9, "jax": 1.4}} for network in TARGETED]  # fmt: skip
    made["peers"] = {"machine": MACHINE, "results": peers}
    seconds = {"import": 0.005, "cold": 12.0, "warm": 0.5}
    made["startup"] = {"machine": MACHINE, "results": [{"series": name, "seconds": s} for name, s in seconds.items()]}
    return copy.deepcopy(made)


@pytest.fixture
def by_target():
    return {target.text: target for target in targets.TARGETS}


def test_the_committed_report_is_that_of_the_committed_results():
    machines = report.load(report.RESULTS)
    assert machines
    assert report.REPORT.read_text(encoding="utf-8") == report.render(machines)


def test_other_results_are_ignored(tmp_path):
    (tmp_path / "accuracy.json").write_text('{"results": []}')
    (tmp_path / "machine.json").write_text(json.dumps({"parts": {"startup": {"results": []}}}))
    assert report.load(tmp_path) == {"machine": {"startup": {"results": []}}}


def test_ratios_worked_by_hand():
    ratios = targets.ratios(parts())
    assert ratios["operations float32 default"] == pytest.approx({"conv2d": (1.5 * 3) ** 0.5, "pool2d": 0.5})
    assert ratios["steps tuned"] == {network.name: 1.1 for network in STEPS}
    assert ratios["startup"] == {"import": 0.005, "cold": 12.0, "warm": 0.5}
    assert targets.ratios({}) == {}


def test_passes_that_one_lacks_are_left_out_of_both_sums():
    lines = [line("a", "b", "forward", njit=1.0, torch=3.0), line("a", "b", "backward", njit=5.0)]
    assert summary.ratio(lines, "njit", "torch") == 3.0
    assert summary.ratio(lines[1:], "njit", "torch") is None


def test_targets_worked_by_hand(by_target):
    def found(text):
        target = by_target[text]
        worst = target.worst(parts())
        return worst and (pytest.approx(worst[1]), target.is_met(worst[1]))

    assert found("PyTorch / ours, float32 default: convolutions, geometric mean") == ((1.5 * 3) ** 0.5, True)
    assert found("PyTorch / ours, float64 default: convolutions, geometric mean") == ((1.5 * 3) ** 0.5, False)
    assert found("PyTorch / ours, float64 tuned: slowest convolution") == (1.5, True)
    for networks in ("dense networks", "convolutional networks", "the residual network"):
        assert found(f"PyTorch / ours, default: training steps of {networks}") == (2.0, True)
        assert found(f"PyTorch / ours, tuned: training steps of {networks}") == (1.1, False)
    assert found("torch.compile / ours: training steps") == (0.9, False)
    assert found("Module / Sequential, tuned: convolutional networks") == (1.04, True)
    assert found("share of peak, float32: convolutions, forward") == (95, True)
    assert found("share of peak, float64: convolutions, backward") == (70, False)
    assert found("loops / ours: the notebook's convolution") == (8000, True)
    assert found("loops / ours: max pooling") == (500, False)
    assert found("loops / ours: linear losses") is None
    assert found("compilation of ThreeLayerConvNet") == (12, False)


def test_the_worst_figure_counts():
    largest, smallest = (
        targets.Target("", 1.0, lambda parts: {"a": 1.0, "b": 2.0}, at_most=at_most) for at_most in (True, False)
    )
    assert largest.worst({}) == ("b", 2.0)
    assert smallest.worst({}) == ("a", 1.0)


def test_every_target_is_in_the_report_measured_or_not(by_target):
    for measured in (parts(), {"startup": parts()["startup"]}):
        text = report.render({"machine": measured})
        assert all(f"| {name} |" in text for name in by_target)
    assert text.count("not measured") == len(by_target) - 1


@pytest.mark.parametrize(
    ("case", "features", "dtype", "fills"),
    [
        ("conv2d 50x3x32x32 32f7x7 p3", "X86_V4", "float32", True),
        ("conv2d 64x32x8x8 64f3x3 p1", "X86_V4", "float32", False),  # rows of 8, vectors of 16
        ("conv2d 64x32x8x8 64f3x3 p1", "X86_V4", "float64", True),
        ("conv2d 64x32x8x8 64f3x3 p1", "AVX2", "float32", True),
        ("conv2d 64x32x10x10 64f3x3 p0", "AVX2", "float32", True),
        ("conv2d 64x32x10x10 64f3x3 p1", "NEON", "float64", True),
        ("conv2d 500x3x32x32 64f3x3 p1", "AVX2", "float32", False),  # 27 products
        ("conv2d 64x64x32x32 64f3x3 s2 p1", "AVX2", "float32", False),
        ("conv2d_relu_pool 64x32x8x8 64f3x3 p1", "AVX2", "float32", False),
    ],
)
def test_shapes_with_a_target_share_of_the_peak(case, features, dtype, fills):
    assert targets._fills_vectors(case, dtype, {"machine": {"vector_features": ["X86_V2", features]}}) is fills


def test_tables_of_the_report():
    text = report.render({"machine": parts()})
    rows = [row for row in text.splitlines() if row.startswith("| conv2d 50x3x32x32") and "forward" in row]
    assert rows[0] == "| conv2d 50x3x32x32 32f7x7 p3 | forward | 2.00 ms | 1.50 | 1.50 | 30.0 | 30,000 | 95 % |"
    assert "|  | together | 6.00 ms | 1.50 | 1.50 | 20.0 | 20,000 |  |" in text
    assert "| [pool2d](#pool2d) | 0.50 (1 of 1 slower) |" in text
    assert f"| {TARGETED[0].name} | 50 | 10.0 ms | 2.00 | 1.10 |" in text
    assert "| `import fastnn`, NumPy being imported already | 5.00 ms |" in text
    for table in text.split("\n\n"):
        assert len({row.count("|") for row in table.splitlines() if row.startswith("|")}) <= 1


def test_charts_of_invented_results(tmp_path):
    pictures.speedups(parts(), tmp_path / "speedups.png")
    lines = [{"commit": f"{number:012x}", "date": "", **targets.ratios(parts())} for number in range(30)]
    del lines[3]["steps default"]
    pictures.history(lines, tmp_path / "history.png")
    pictures.history(lines[:1], tmp_path / "one.png")
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.iterdir())


def test_a_chart_is_the_same_every_time(tmp_path):
    for name in ("first.png", "second.png"):
        pictures.speedups(parts(), tmp_path / name)
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()


def test_commits_are_marked_up_to_the_last():
    assert pictures._thinned(1) == [0]
    assert pictures._thinned(12) == list(range(12))
    assert pictures._thinned(13) == [0, 2, 4, 6, 8, 10, 12]


def test_the_report_says_where_each_peer_leads():
    text = report.render({"machine": parts()})
    names = "; ".join(network.name for network in TARGETED)
    assert f"PyTorch leads nowhere. torch.compile leads at: {names}. JAX leads nowhere.\n" in text
    assert "scikit-learn leads" not in text
    others = {name: part for name, part in parts().items() if name != "peers"}
    assert "### Peers" not in report.render({"machine": others})


def test_peers_have_a_target(by_target):
    assert by_target["torch.compile / ours: training steps"].worst(parts())[1] == 0.9
    assert by_target["JAX / ours: training steps"].is_met(by_target["JAX / ours: training steps"].worst(parts())[1])

"""`benchmarks/launch.py` with a few rounds."""

import os
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba", reason="it times numba's threads")
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import launch

pytestmark = pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="nothing is compiled")


def test_every_launch_is_timed():
    found = launch._measured(launch.OWN, 3)
    assert found.keys() == {"at once", "after a pause"}
    assert all(len(samples) == 3 and min(samples) > 0 for samples in found.values())
    assert launch._measured("no such layer", 3) is None


def test_figures_are_medians_and_the_slowest():
    assert launch._text([2e-6] * 98 + [5e-6, 9e-3]) == "2.0 (9,000)"
    assert launch._text([1e-3]) == "1,000.0 (1,000)"


def test_the_table(monkeypatch, capsys):
    times = {"at once": [1e-6], "after a pause": [2e-6]}
    monkeypatch.setattr(launch, "_measured", lambda name, rounds: times if name == launch.OWN else None)
    launch.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == ["at", "once", "after", "a", "pause", "busy"]
    assert lines[3].split() == ["fastnn", "1.0", "(1)", "2.0", "(2)", "1.0", "(1)"]
    assert lines[4].split() == ["omp", "not", "installed"]

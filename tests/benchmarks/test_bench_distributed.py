"""`benchmarks/bench_distributed.py` on a few images. No test depends on a time."""

import json
import os
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba", reason="it times the kernels of njit")
pytest.importorskip("mpi4py", reason="mpi4py has no wheel here")
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import bench_distributed

pytestmark = pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="nothing is compiled")
NETWORK = "(conv-bn-relu-pool) x 3, no penalty"


def test_all_workers_take_turns():
    result = bench_distributed.measure(NETWORK, images=4, steps=1, rounds=1)
    ours = [bench_distributed.THREADS, bench_distributed.ONE, bench_distributed.STRONG, bench_distributed.WEAK]
    assert list(result["workers"])[:4] == ours
    for name, found in result["workers"].items():
        assert found["seconds"] > 0
        is_sent = name in (bench_distributed.STRONG, bench_distributed.WEAK)
        assert (found["sent"] >= result["parameter_bytes"]) == is_sent
    text = bench_distributed.table(result)
    assert "two ranks over one process of two threads" in text
    assert "MODEL of nodes like this machine" in bench_distributed.model_table(result)
    json.dumps(result)


def test_a_network_of_a_megabyte_is_timed_with_its_communication_hidden_and_not(tmp_path):
    size = bench_distributed.BUCKET
    small = bench_distributed.commands(NETWORK, 4, 1, size - 1, tmp_path)
    large = bench_distributed.commands(NETWORK, 4, 1, size, tmp_path)
    assert set(large) - set(small) == {bench_distributed.AFTER}
    ((command, threads),) = large[bench_distributed.AFTER]
    assert ("--afterwards" in command, threads) == (True, 1)


def test_a_worker_that_ends_is_an_error(monkeypatch):
    ends = {bench_distributed.ONE: [([sys.executable, "-c", "raise SystemExit(3)"], 1)]}
    monkeypatch.setattr(bench_distributed, "commands", lambda *arguments: ends)
    with pytest.raises(RuntimeError, match="one thread ended with exit code 3"):
        bench_distributed.measure(NETWORK, images=4, steps=1, rounds=1)


@pytest.mark.parametrize("hidden", [False, True])
def test_the_model(hidden):
    """100 MB on 10 Gb/s: there and back in 2 * 3/4 * 0.08 s on four nodes, and two levels of two messages."""
    travel = 1.5 * 0.08 + 4 * 20e-6
    if hidden:
        expected = 1 + travel / 96  # the last of 96 buckets
        assert bench_distributed.modelled(1.0, 1e8, 4, 10, True) == pytest.approx(expected)
        slow = bench_distributed.modelled(0.03, 1e8, 4, 10, True)
        assert slow == pytest.approx(0.03 + travel + 95 * 4 * 20e-6 - 0.02)
    else:
        assert bench_distributed.modelled(1.0, 1e8, 4, 10, False) == pytest.approx(1 + travel)

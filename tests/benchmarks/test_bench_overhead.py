"""`benchmarks/bench_overhead.py` on a few steps of a small network."""

import json
import os
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba", reason="it times the kernels of njit")
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import bench_overhead
from networks import TARGETED

from fastnn.kernels.affine import njit
from fastnn.kernels.cpu.simd import matmul

pytestmark = pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="nothing is compiled")


@pytest.mark.parametrize(
    ("number", "missing", "rule"), [(0, {"layers"}, "sgd"), (2, set(), "adam")], ids=["chain", "layers"]
)
def test_a_step_is_divided_among_the_layers_and_everything_is_put_back(number, missing, rule):
    former = dict(vars(matmul)), dict(vars(njit))
    result = bench_overhead.measure(TARGETED[number], steps=1)
    assert (vars(matmul), vars(njit)) == former
    assert result["layers"].keys() == {*bench_overhead.LAYERS, "kernels"} - missing
    assert {"all", "gather", f"updates.njit.{rule}"} <= result["kernels"].keys()
    assert sum(value for name, value in result["kernels"].items() if name not in ("all", "gather")) > 0
    assert f"updates.njit.{rule}" in bench_overhead.table(result)
    json.dumps(result)


def test_inner_calls_do_not_count_as_own(monkeypatch):
    clock, now = bench_overhead.Clock(), [0.0]
    monkeypatch.setattr(bench_overhead.time, "perf_counter", lambda: now[0])

    def take(seconds):
        now[0] += seconds

    kernel = clock.timed("kernels", lambda: take(5), "kernel")

    def layer():
        take(1)
        kernel()
        take(2)
        kernel()

    clock.timed("layers", layer)()
    assert clock.own == {"layers": 3, "kernels": 10}
    assert clock.kernels == {"kernel": 10} and clock.calls == 3


def test_what_was_replaced_is_put_back_after_an_error():
    class Owner:
        inherited = 1

    owner, table = Owner(), {"a": 1}

    def fail():
        with bench_overhead.replaced([(owner, "inherited", 2), (table, "a", 2)]):
            assert (owner.inherited, table) == (2, {"a": 2})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (vars(owner), table) == ({}, {"a": 1})

"""The model of the time of matrix products: its arithmetic, and what it says about the courses' networks."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba.cuda", reason="the backend cuda needs numba")
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import gpu_model

from fastnn.kernels.gpu import cost, tile_shapes
from fastnn.kernels.gpu.cost import H200, Plan, Tile

TILE = Tile("example", tall=4, wide=8, depth=2, threads=64, registers=64, shared=1024, issue=400, latency=100)


def table(tf32, only=""):
    return {row.work[:2]: row for row in gpu_model.modelled(tf32, only)}


def test_the_useful_share_by_hand():
    assert cost.useful_share(Plan(TILE, 10), 4, 8, 10) == 1
    assert cost.useful_share(Plan(TILE, 10), 3, 5, 10) == 3 * 5 / 32
    assert cost.useful_share(Plan(TILE, 4), 5, 9, 7) == 5 * 9 * 7 / (4 * 32 * 8)  # 4 tiles, parts of 4 and 3 terms
    assert cost.blocks_of(Plan(TILE, 4), 5, 9, 7) == (4, 2)


def test_the_time_by_hand():
    """A block for each of 132 SMs: five strips of two warps that issue 400 instructions each on four schedulers."""
    time = cost.seconds(Plan(TILE, 10), 4, 8 * 132, 10, H200)
    assert time.compute == pytest.approx((5 * 200 + cost.ENDS) / H200.clock)
    assert time.cache == pytest.approx(132 * 12 * 10 * 4 / H200.cache)
    assert time.total == pytest.approx(time.compute + H200.launch) and time.parts == 0
    assert cost.seconds(Plan(TILE, 10), 4, 8 * 132 + 1, 10, H200).compute == pytest.approx(
        (5 * 400 + cost.ENDS) / H200.clock
    )
    in_parts = cost.seconds(Plan(TILE, 4), 4, 8, 10, H200)
    assert in_parts.parts == pytest.approx(H200.launch + 4 * 32 * 4 / H200.memory)
    assert cost.seconds(Plan(TILE, 10), 4, 8 * 132, 10, H200, overlap=2).cache == pytest.approx(time.cache * 8 / 12)


def test_blocks_at_a_time():
    assert TILE.resident == 16  # by registers: 65536 / (64 * 64)
    assert TILE._replace(registers=16).resident == 32  # by threads, and the most blocks
    assert TILE._replace(shared=100_000).resident == 2


def test_parts_do_not_depend_on_the_gpu():
    tiles = tile_shapes.FLOAT32
    for M, N, K in ((64, 576, 65536), (100, 100, 3072), (3, 96100, 225), (25, 25600, 27)):
        plans = {sms: cost.choose(tiles, M, N, K, H200._replace(sms=sms), 64) for sms in (16, 80, 132, 160)}
        assert len({plan.chunk for plan in plans.values()}) == 1
        assert all(plan.chunk % plan.tile.depth == 0 for plan in plans.values())


@pytest.mark.parametrize("tf32", [False, True])
def test_most_of_the_computed_products_are_useful(tf32):
    rows = table(tf32)
    shares = {name: row.share for name, row in rows.items()}
    assert len(shares) > 60 and min(shares.values()) >= 0.6, min(shares, key=shares.get)


@pytest.mark.parametrize(("tf32", "gain"), [(False, 1.5), (True, 1.05)])
def test_the_choice_is_faster_than_the_largest_tile_alone(tf32, gain):
    """On tensor cores by less: there the largest tile has the fewest instructions for each product."""
    chosen, alone = table(tf32), table(tf32, "128x128")
    ratios = [alone[name].seconds / row.seconds for name, row in chosen.items()]
    assert min(ratios) > 1 / cost.ERROR and np.median(ratios) > gain


def test_large_convolutions_are_near_the_roofline():
    """Of what the model says; nothing is measured. The goals are 1.3 for float32 and 2 for TF32."""
    for tf32, limit in ((False, 2.1), (True, 3.6)):
        rows = {name: row for name, row in table(tf32).items() if name[0] == "conv2d 64x64x32x32 64f3x3 p1"}
        assert len(rows) == 3 and max(row.ratio for row in rows.values()) < limit


def test_the_table_says_that_it_is_a_model():
    script = Path(gpu_model.__file__)
    out = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True).stdout
    assert out.startswith("A model, not a measurement: ")
    assert "| conv2d 64x64x32x32 64f3x3 p1, forward | 64x65536x576 | 64x128 | 1 | 100% |" in out

"""`benchmarks/gpu_first_run.py` and `gpu.py`: end to end in the simulator, and when something fails."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import fastnn
from fastnn.benchmarking import cases

torch = pytest.importorskip("torch", reason="it is compared with PyTorch")
pytest.importorskip("numba.cuda", reason="the backend cuda needs numba")

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SCRIPT = BENCHMARKS / "gpu_first_run.py"
STEPS = ["products", "training", "memcheck", "racecheck", "tests", "networks", "operations"]


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import gpu

    return gpu


def run(*arguments, **environment):
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)


def test_it_runs_end_to_end_in_the_simulator(tmp_path):
    done = run("--tiny", "--out", tmp_path / "gpu.json", NUMBA_ENABLE_CUDASIM="1")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert [name for name in found if name in STEPS[:5]] == STEPS[:5] and found["left_out"] == []
    assert "simulated" in found["backends"]["cuda"] and found["machine"]["gpu"] == found["backends"]["cuda"]
    assert {row["tf32"] for row in found["products"]} == {False, True}
    rounded = [row["largest_error"] for row in found["products"] if row["tf32"] and "1x1x1" not in row["case"]]
    assert all(1e-5 < error < 1e-3 for error in rounded), "TF32 was used"
    assert [(row["same_bits"], row["reason"]) for row in found["training"]] == [(True, None)] * 2
    assert found["tests"][0]["status"] == 0
    (network,) = found["networks"]
    assert {*network["seconds"]} == {"cuda", "torch"} and network["reason"] is None
    assert found["operations"][0]["operation"] == "conv2d" and {row["moved"] for row in found["operations"]} == {0}
    order = [done.stdout.index(f"\n{step}: ") for step in STEPS[:5]] + [done.stdout.index("\ntiny: ")]
    assert order == sorted(order)
    assert done.stdout.endswith("written; failed: nothing.\n")


@pytest.mark.skipif(any(line.name == "cuda" and line.available for line in fastnn.backends()), reason="there is a GPU")
def test_it_ends_where_cuda_is_not_offered(tmp_path):
    done = run("--out", tmp_path / "gpu.json")
    assert done.returncode == 2 and re.match(r"gpu_first_run.py: there is no .*driver", done.stderr)
    assert not (tmp_path / "gpu.json").exists()


def test_a_case_that_fails_is_a_row_and_the_next_one_is_timed(gpu, tmp_path, monkeypatch, capsys):
    def operations(case, tf32, settings):
        yield {"case": case.name, "operation": case.operation, "seconds": {"cuda": 1e-6}, "speedup": {}}
        if case.operation == "affine":
            raise RuntimeError("`step` is on the CPU,\nbut the parameters are not")

    monkeypatch.setattr(gpu, "operations", operations)
    chosen = [cases.select([name])[0] for name in ("affine", "updates", "conv2d")]
    results = gpu.Results(tmp_path / "gpu.json", machine={})
    gpu.time_all(results, [], chosen, gpu.Settings())
    found = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert [row.get("operation") for row in found["operations"]] == [
        *("conv2d", "conv2d", "affine", None, "affine", None, "updates"),
    ]
    assert found["operations"][3] == {
        "name": chosen[0].name,
        "error": "RuntimeError: `step` is on the CPU, but the parameters are not",
    }
    assert f"{chosen[0].name}: RuntimeError: `step` is on" in capsys.readouterr().out


def test_rows_are_saved_before_the_next_case_begins(gpu, tmp_path):
    results = gpu.Results(tmp_path / "gpu.json", machine={})

    def rows():
        yield {"name": "first"}
        assert json.loads((tmp_path / "gpu.json").read_text())["part"] == [{"name": "first"}]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        results.add("part", "case", rows)
    assert json.loads((tmp_path / "gpu.json").read_text())["part"] == [{"name": "first"}]


def test_no_case_begins_after_the_deadline(gpu, tmp_path):
    results = gpu.Results(tmp_path / "gpu.json", time.monotonic() - 1, machine={})
    results.add("networks", "late", lambda: pytest.fail("it began"))
    assert json.loads((tmp_path / "gpu.json").read_text())["left_out"] == ["networks: late"]


def test_networks_come_first_then_convolutions(gpu, tmp_path, monkeypatch):
    begun = []
    monkeypatch.setattr(gpu, "steps", lambda network, settings: begun.append("network") or {"name": ""})
    monkeypatch.setattr(gpu, "operations", lambda case, tf32, settings: begun.append(case.operation) or [])
    gpu.time_all(gpu.Results(tmp_path / "gpu.json"), gpu.STEPS[:1], cases.CASES, gpu.Settings())
    assert begun[0] == "network" and begun.index("conv2d") == 1
    assert "conv2d" not in begun[begun.index("affine") :]


def test_settling_takes_less_than_a_minute(gpu):
    settings = gpu.Settings()
    turns = sum(len(case.passes) * (5 if case.operation == "conv2d" else 2) for case in cases.CASES)
    assert settings.rounds <= 3 and settings.rounds * settings.settle * turns < 60


@pytest.mark.parametrize("case", [case for case in cases.CASES if case.timed.prepared], ids=lambda case: case.function)
def test_pytorchs_optimizers_have_their_step_on_the_device_of_the_parameters(gpu, case, monkeypatch):
    """Fused ones raise RuntimeError otherwise. Here, the device is one without memory."""
    import gpu_peers

    looked = []

    def step(self):
        (w,) = self.param_groups[0]["params"]
        looked.extend(value.device.type for value in self.state[w].values() if isinstance(value, torch.Tensor))

    for kind in {type(torch.optim.SGD), torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop}:
        if kind is not type:
            monkeypatch.setattr(kind, "step", step)
    monkeypatch.setattr(torch.optim.Adagrad, "step", step)
    (call,) = gpu_peers._eager(case.tiny(), case.tiny().inputs(np.float32), "meta").values()
    call()
    assert {*looked} == {"meta"}


def test_a_peer_that_fails_is_named(gpu, monkeypatch):
    import gpu_peers

    def failing(case, arrays, device):
        raise RuntimeError("no graph")

    monkeypatch.setattr(gpu_peers, "_captured", failing)
    (case,) = cases.select(["conv2d"])[:1]
    made, errors = gpu_peers.peers(case.tiny(), case.tiny().inputs(np.float32), True, "cpu")
    assert {*made} == {"torch", "torch channels_last"} and errors == {"torch graph": "RuntimeError: no graph"}
    assert SimpleNamespace(**made["torch"]).forward().shape[0] == 3

"""Benchmarks of training steps do equal work in fastnn and PyTorch; `benchmarks/run.py`. No test depends on a time."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import run  # noqa: E402
import steps  # noqa: E402
from networks import NETWORKS, STEPS, TARGETED  # noqa: E402

TINY = steps.with_batches_of(TARGETED[0], 4)


# ---- training steps ----


def test_networks_with_a_target_are_those_named():
    shapes = [[array.shape for array in network.build(0).params.values() if array.ndim > 1] for network in TARGETED]
    assert shapes[0] == [(3072, 100), (100, 10)]
    assert shapes[1] == [(3072, 200), (200, 200), (200, 200), (200, 200), (200, 10)]
    assert shapes[2] == [(32, 3, 7, 7), (8192, 500), (500, 10)]
    assert shapes[3] == [(64, 3, 3, 3), (16384, 500), (500, 10)]
    assert shapes[4] == [(16, 3, 5, 5), (32, 16, 3, 3), (64, 32, 3, 3), (1024, 10)]
    training = [network.solver_arguments() for network in TARGETED]
    assert [arguments["update_rule"] for arguments in training] == ["sgd", "adam", "adam", "adam", "nesterov"]
    assert [arguments["batch_size"] for arguments in training] == [100, 256, 50, 500, 64]
    assert all(network.build(0).reg == 0 for network in TARGETED)


def test_steps_have_distinct_names():
    names = [network.name for network in STEPS]
    assert len(set(names)) == len(names)
    assert {network.name for network in NETWORKS if not network.raw} < set(names)


def test_a_step_is_an_iteration_of_solver():
    step = steps.solver_step(TINY, steps.noise(TINY))
    step()
    step()
    solver = step.__self__
    assert solver.iteration == len(solver.loss_history) == 2
    assert solver.optim_config["learning_rate"] == steps.RATE


@pytest.mark.parametrize("network", TARGETED, ids=lambda network: network.name)
def test_a_module_takes_the_same_step(network):
    data = steps.noise(steps.with_batches_of(network, 2))
    made = [steps.solver_step(steps.with_batches_of(network, 2), data, as_module) for as_module in (False, True)]
    for step in made:
        step()
    sequential, module = (step.__self__ for step in made)
    assert module.loss_history == sequential.loss_history
    for found, expected in zip(module.model.params.values(), sequential.model.params.values(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_networks_that_differ_from_torch_are_not_timed(monkeypatch):
    torch = pytest.importorskip("torch")
    import peers

    twin = peers.twin

    def wrong(model):
        copy = twin(model)
        with torch.no_grad():
            next(copy.parameters())[0, 0] += 0.1
        return copy

    peers.check(TINY, 4)
    monkeypatch.setattr(peers, "twin", wrong)
    with pytest.raises(peers.WrongTwin, match=r"check: .* of two-layer, 3072-100-10 differs from PyTorch's by"):
        steps.peers(TINY, fused=False)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("network", [TARGETED[0], TARGETED[4]], ids=lambda network: network.name)
def test_torch_takes_the_same_step(network, fused, monkeypatch):
    """One step of plain SGD, with a penalty, from equal weights on one batch that is the whole data set."""
    torch = pytest.importorskip("torch")
    import peers

    untouched = network.build

    def build(generator):
        model = untouched(generator)
        model.reg = 0.1
        return model

    rule = {"update_rule": "sgd", "optim_config": {"learning_rate": 0.1}, "batch_size": 1, "schedule": None}
    network = dataclasses.replace(network, build=build, training={**network.training, **rule})
    generator = np.random.default_rng(0)
    data = {"X_train": np.repeat(generator.standard_normal((1, 3, 32, 32), dtype=np.float32), 3, axis=0)}
    data["y_train"] = np.full(3, 7)
    made, twin = [], peers.twin
    monkeypatch.setattr(peers, "twin", lambda model: made.append(twin(model)) or made[-1])
    step = peers.torch_step(network, 0.1, data, fused)
    model = build(np.random.default_rng(0))
    _, grads = model.loss(data["X_train"][:1], data["y_train"][:1])
    model.params = {
        name: w - np.float32(0.1) * (grads[name] if name in model.regularized else grads[name] + np.float32(0.1) * w)
        for name, w in model.params.items()
    }  # PyTorch's penalty includes biases
    step()
    expected = {name: value for name, value in model.state_dict().items() if "running" not in name}
    with torch.no_grad():
        for name, parameter in made[0].named_parameters():
            np.testing.assert_allclose(parameter.numpy(), expected[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_rules_without_torch_equivalent_raise():
    pytest.importorskip("torch")
    import peers

    other = dataclasses.replace(TINY, training={**TINY.training, "update_rule": "adagrad"})
    with pytest.raises(ValueError, match="torch_step: 'adagrad' has no PyTorch equivalent here"):
        peers.torch_step(other, 0.1, steps.noise(TINY), fused=False)


# ---- benchmarks/run.py ----


def test_parts_are_measured_in_separate_processes(tmp_path):
    pytest.importorskip("torch")
    out = tmp_path / "results" / "machine.json"
    command = [sys.executable, str(BENCHMARKS / "run.py"), "--only", "steps", "--cases", "3072-100", "--rough"]
    subprocess.run([*command, "--out", str(out)], check=True, capture_output=True)
    measured = json.loads(out.read_text())
    assert list(measured["parts"]) == ["steps default", "steps tuned"]
    (result,) = measured["parts"]["steps tuned"]["results"]
    medians = {name: timing["median"] for name, timing in result["seconds"].items()}
    assert result["network"] == TARGETED[0].name
    assert result["speedup"]["torch"] == pytest.approx(medians["torch"] / medians["fastnn"], rel=1e-3)
    assert result["speedup"]["module"] == pytest.approx(medians["module"] / medians["fastnn"], rel=1e-3)
    assert not (tmp_path / "results" / "history").exists()


def test_a_history_line_has_only_results_of_its_commit(tmp_path, monkeypatch):
    def part(commit):
        return {"machine": {"commit": commit}, "results": [{"series": "cold", "seconds": 3.0}]}

    out = tmp_path / "machine.json"
    steps_before = {"machine": {"commit": "old"}, "results": [{"network": "a", "speedup": {"torch": 2.0}}]}
    out.write_text(run.dump({"parts": {"steps default": steps_before}}))
    monkeypatch.setattr(run, "_in_new_process", lambda *_: part("of the process"))
    monkeypatch.setattr(run.machine, "commit", lambda: "new")
    monkeypatch.setattr(sys, "argv", ["run.py", "--only", "startup", "--out", str(out)])
    assert run.main() == 0
    assert list(json.loads(out.read_text())["parts"]) == ["steps default", "startup"]
    (line,) = (tmp_path / "history" / "machine.jsonl").read_text().splitlines()
    assert json.loads(line).keys() == {"commit", "date", "startup"}
    assert json.loads(line)["commit"] == "new"


@pytest.mark.parametrize("arguments", [["--rough"], ["--part", "startup"]])
def test_rough_figures_are_not_kept(arguments, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
    with pytest.raises(SystemExit):
        run.main()
    assert "need --out FILE" in capsys.readouterr().err


def test_results_that_are_not_measured_again_are_kept():
    def result(case, value):
        return {"case": case, "pass": "forward", "seconds": value}

    before = {"dtype": "float32", "results": [result("a", 1), result("b", 2)]}
    now = {"dtype": "float32", "results": [result("b", 3), result("c", 4)]}
    actual = run.merged(before, now)
    assert actual["results"] == [result("a", 1), result("b", 3), result("c", 4)]
    assert run.merged(None, now) is now


def test_a_commit_has_one_line(tmp_path):
    path = tmp_path / "history" / "machine.jsonl"
    for commit, value in (("abc", 1.0), ("def", 2.0), ("def", 3.0)):
        run.add_to_history(path, {"commit": commit, "date": "2026-01-02"}, {"startup": {"cold": value}})
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["commit"], line["startup"]["cold"]) for line in lines] == [("abc", 1.0), ("def", 3.0)]


def test_results_are_written_readably():
    value = {"parts": {"one": {"peak": 1.23456789e11, "results": [{"a": 0.000123456, "b": {"c": None}}, {"a": 1}]}}}
    text = run.dump(value)
    assert text.splitlines()[4:7] == ['   "results": [', '    {"a": 0.0001235, "b": {"c": null}},', '    {"a": 1}']
    assert json.loads(text)["parts"]["one"] == {
        "peak": 1.235e11,
        "results": [{"a": 0.0001235, "b": {"c": None}}, {"a": 1}],
    }


def test_file_names_of_machines():
    assert run.machine_name() == run.machine_name().lower()
    assert set(run.machine_name()) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert run.machine_name().endswith("-cores")

"""EECS 498/598's Solver."""

import pytest

torch = pytest.importorskip("torch", reason="the course computes on tensors of torch")

from eecs598_data import blobs, data_of  # noqa: E402

from fastnn.courses import eecs598  # noqa: E402
from fastnn.courses.eecs598 import fully_connected_networks  # noqa: E402


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch, one_backend):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def solver_of(count=60, **options):
    X, y = blobs(count)
    model = fully_connected_networks.FullyConnectedNet([10], 4, 3, weight_scale=0.1, dtype=torch.float64)
    settings = {"optim_config": {"learning_rate": 0.3}, "batch_size": 20, "num_epochs": 10, **options}
    return eecs598.Solver(model, data_of(X, y), **settings)


@pytest.mark.parametrize("rule", ["sgd", "sgd_momentum", "rmsprop", "adam"])
def test_solver_trains(rule, capsys):
    rate = {"sgd": 0.3, "sgd_momentum": 0.1}.get(rule, 0.01)
    solver = solver_of(
        update_rule=getattr(fully_connected_networks, rule),
        optim_config={"learning_rate": rate}, lr_decay=0.9, num_epochs=15, print_acc_every=5,
    )  # fmt: skip
    solver.train()
    assert solver.train_acc_history[-1] == 1.0
    assert solver.check_accuracy(solver.X_val, solver.y_val) == solver.best_val_acc == 1.0
    assert [len(history) for history in (solver.loss_history, solver.val_acc_history)] == [45, 16]
    assert solver.optim_configs["W1"]["learning_rate"] == pytest.approx(rate * 0.9**15)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("(Time ")
    assert "sec; Iteration 1 / 45) loss: 1." in lines[0]
    assert lines[1].startswith("(Epoch 0 / 15) train acc: ")
    assert sum(line.startswith("(Epoch") for line in lines) == 4
    assert sum(line.startswith("(Time") for line in lines) == 5


def test_solver_draws_permutations_of_torch():
    solver = solver_of(num_epochs=1, verbose=False)
    batches, loss = [], solver.model.loss
    solver.model.loss = lambda X, y=None: (y is not None and batches.append(X), loss(X, y))[1]
    eecs598.reset_seed(2)
    solver.train()
    eecs598.reset_seed(2)
    assert torch.equal(batches[0], solver.X_train[torch.randperm(60)[:20]])


def test_solver_is_silent_and_keeps_the_last_parameters(capsys):
    solver = solver_of(num_epochs=2, verbose=False)
    solver.train(return_best_params=False)
    assert capsys.readouterr().out == ""
    assert solver.model.params is not solver.best_params
    solver.train()
    assert solver.model.params is solver.best_params


def test_solver_estimates_on_samples():
    solver = solver_of(num_train_samples=10, verbose=False)
    assert round(10 * solver.check_accuracy(solver.X_train, solver.y_train, num_samples=10, batch_size=3), 9) % 1 == 0


def test_solver_stops_at_the_time_limit(capsys):
    solver = solver_of()
    solver.train(time_limit=0)
    assert len(solver.loss_history) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("End of training")


def test_solver_stops_when_it_diverges():
    solver = solver_of(optim_config={"learning_rate": 1e300}, num_epochs=5, verbose=False)
    with pytest.warns(RuntimeWarning, match=r"Solver.train: loss = .* with learning_rate=1e\+300"):
        solver.train()
    assert len(solver.loss_history) < 15
    assert all(torch.isfinite(w).all() for w in solver.model.params.values()) == (solver.best_params != {})


def test_solver_saves_checkpoints(tmp_path, capsys):
    solver = solver_of(num_epochs=2, checkpoint_name=tmp_path / "run", print_every=0)
    solver.train()
    names = [f"run_epoch_{epoch}.pt" for epoch in range(3)]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    saved = torch.load(tmp_path / names[-1], weights_only=True)
    assert saved["epoch"] == 2
    assert saved["loss_history"] == solver.loss_history
    assert saved["params"].keys() == solver.model.params.keys()
    assert f'Saving checkpoint to "{tmp_path / names[0]}"' in capsys.readouterr().out


def test_solver_knows_its_keywords():
    with pytest.raises(TypeError, match="learning_rate"):
        solver_of(learning_rate=1e-3)


def test_the_suggested_solver_and_settings():
    data = data_of(*blobs())
    with pytest.warns(RuntimeWarning, match="cannot be used by torch.*computing on the CPU"):
        solver = fully_connected_networks.create_solver_instance(data, torch.float64, "cuda")
    assert solver.model.params["W1"].shape == (3072, 200)
    assert fully_connected_networks.get_three_layer_network_params() > (0, 0)
    assert fully_connected_networks.get_five_layer_network_params() > (0, 0)

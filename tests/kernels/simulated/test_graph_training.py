"""Iterations replayed as CUDA graphs give the results of iterations one by one."""

import copy
import pickle

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn import rng as random
from fastnn.augment import Augment
from fastnn.kernels.dispatch import arrays
from fastnn.kernels.gpu import graph_inputs
from fastnn.schedules import Cosine
from fastnn.solver import Solver


def network(*layers, **options):
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 4, seed=0), *layers, nn.Linear(4, 3, seed=1), **options)


class Counting(nn.Module):
    """A custom layer with a counter in host memory."""

    resident = True

    def __init__(self):
        super().__init__()
        self.buffers["count"] = np.zeros(1)

    def forward(self, x):
        self.buffers["count"] = fastnn.to_numpy(self.buffers["count"]) + 1
        return x, None

    def backward(self, dout, cache, need_dx=True):
        return dout, {}


NETWORKS = {
    "affine": lambda: network(nn.ReLU(), reg=0.1),
    "batch norm": lambda: network(nn.BatchNorm1d(4), nn.ReLU()),
    "without a bias, layer norm": lambda: network(nn.Linear(4, 4, bias=False, seed=2), nn.LayerNorm(4), nn.Tanh()),
    "dropout": lambda: network(nn.Dropout(0.5, seed=0), nn.ReLU(), nn.Dropout(0.3, seed=2, fixed=True)),
    "residual": lambda: network(nn.Residual(nn.Linear(4, 4, seed=2), nn.ReLU())),
    "dense block": lambda: nn.Sequential(nn.DenseBlock(nn.Linear(6, 2, seed=0)), nn.Linear(8, 3, seed=1)),
    "convolution": lambda: nn.Sequential(
        nn.Conv2d(1, 2, (2, 1), seed=0, bias=False), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3, seed=1)
    ),
}


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((9, 6)), rng.integers(0, 3, 9)
    return {"X_train": X, "y_train": y, "X_val": X[:2], "y_val": y[:2]}


def trained(model, data, **options):
    settings = {"batch_size": 3, "num_epochs": 4, "num_train_samples": 2, "verbose": False, "seed": 1, **options}
    solver = Solver(model, data, **settings)
    solver.train()
    return solver


def one_by_one(solver):
    """A callback, which prevents graphs, since it may change anything."""


@pytest.mark.parametrize("build", NETWORKS.values(), ids=NETWORKS)
def test_replayed_iterations_have_the_same_bits(build, data):
    if "Conv2d" in repr(build()):
        data |= {name: data[name].reshape(-1, 1, 3, 2) for name in ("X_train", "X_val")}
    options = {"update_rule": "adam", "schedule": Cosine(), "sampling": "epoch"}
    repeated, single = trained(build(), data, **options), trained(build(), data, **options, callbacks=[one_by_one])
    assert repeated._graph_training.reason is None
    assert single._graph_training.reason == "callbacks may change anything"
    assert repeated.loss_history == single.loss_history
    assert repeated.val_acc_history == single.val_acc_history
    for name in ("params", "buffers"):
        for key, value in getattr(repeated.model, name).items():
            np.testing.assert_array_equal(value, getattr(single.model, name)[key], strict=True)
    assert {config["t"] for config in repeated.optim_configs.values()} == {12}


@pytest.mark.parametrize("rule", optim.RULES)
def test_each_update_rule(rule, data):
    options = {"update_rule": rule, "optim_config": {"weight_decay": 0.01}, "lr_decay": 0.5}
    repeated = trained(network(), data, **options)
    assert repeated._graph_training.reason is None
    with fastnn.use_backend("njit"):
        expected = trained(network(), data, **options).loss_history
    np.testing.assert_allclose(repeated.loss_history, expected, rtol=1e-5)


def test_augmentation_is_replayed_too(data):
    data |= {name: data[name].reshape(-1, 1, 3, 2) for name in ("X_train", "X_val")}
    transform = Augment(padding=1, flip=0.5, cutout=1)
    repeated = trained(network(), data, transform=transform)
    single = trained(network(), data, transform=transform, callbacks=[one_by_one])
    assert repeated._graph_training.reason is None
    assert repeated.loss_history == single.loss_history


@pytest.mark.parametrize("sampling", ["epoch", "with_replacement"])
def test_in_the_steady_state_nothing_is_copied(sampling, data, monkeypatch):
    moved, begin, losses = [], graph_inputs.GraphInputs.begin, graph_inputs.GraphInputs.losses

    def noted_begin(self, *arguments):
        begin(self, *arguments)
        moved.append(fastnn.transfers())

    def noted_losses(self, count):
        moved.append((count, fastnn.transfers()))
        return losses(self, count)

    monkeypatch.setattr(graph_inputs.GraphInputs, "begin", noted_begin)
    monkeypatch.setattr(graph_inputs.GraphInputs, "losses", noted_losses)
    data |= {name: data[name].reshape(-1, 1, 3, 2) for name in ("X_train", "X_val")}
    layers = nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout(0.5, seed=0)
    trained(network(*layers, reg=0.1), data, sampling=sampling, update_rule="adam", transform=Augment(flip=0.5))
    assert [count for count, _ in moved[1::2]] == [2, 3, 3, 3]
    before, (_, after) = moved[-2:]
    assert before == after


def test_all_is_back_when_training_ends(data):
    solver = trained(network(nn.BatchNorm1d(4)), data, update_rule="adam")
    held = [*solver.model.params.values(), *solver.model.buffers.values(), *solver.best_params.values(), solver.X_train]
    held += [value for config in solver.optim_configs.values() for value in config.values()]
    assert not any(map(arrays.is_on_device, held))
    assert solver.X_train is data["X_train"]
    assert type(solver.model.loss(data["X_val"])) is np.ndarray


@pytest.mark.parametrize(
    ("layers", "options", "message"),
    [
        ([Counting()], {}, "it changes '2.count' in the host's memory"),
        ([nn.BatchNorm1d(4, momentum=None)], {}, "it moves 8 bytes between host"),
        ([], {"clip_norm": 1.0}, "clip_norm reads the norm of the gradients"),
        ([], {"transform": lambda images, generator: images}, "transform is a user-defined function"),
        ([], {"update_rule": lambda w, dw, config: (w, config)}, "the update rule is a user-defined function"),
    ],
)
def test_the_reason_against_capture_is_printed_once(layers, options, message, data, capsys):
    trained(network(*layers), data, verbose=True, num_epochs=2, **options)
    said = [line for line in capsys.readouterr().out.splitlines() if "individually" in line]
    assert len(said) == 1
    assert said[0].startswith(f"(each kernel is launched individually: iterations cannot be captured, since {message}")


def test_a_loss_that_is_not_finite_is_found_in_its_iteration(capsys):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((30, 6)), rng.integers(0, 3, 30)
    order = random.generator(1).permutation(30)
    X[order[23]] = np.nan  # in the eighth iteration, which is replayed
    data = {"X_train": X, "y_train": y, "X_val": X[order[:2]], "y_val": y[order[:2]]}
    failed, printed = [], []
    for backend in ("cuda", "njit"):
        with fastnn.use_backend(backend):
            solver = Solver(network(), data, batch_size=3, num_epochs=2, num_val_samples=1, sampling="epoch", seed=1)
            solver.num_train_samples = 1
            with pytest.warns(RuntimeWarning, match=r"loss = nan in iteration 8; .*the batch contains NaN") as caught:
                solver.train()
        failed.append((str(caught[0].message), len(caught), len(solver.loss_history)))
        printed.append(capsys.readouterr().out.splitlines())
    assert failed[0] == failed[1] and failed[0][1:] == (1, 8)
    assert printed[0] == printed[1]


def test_replaced_arrays_are_noticed(data):
    solver = Solver(network(), data, batch_size=3, num_epochs=2, num_train_samples=2, verbose=False, seed=1)
    solver.train()
    solver.model.params["1.weight"] = np.zeros((6, 4))
    solver.train()
    again = trained(network(), data, num_epochs=2)
    again.model.params["1.weight"] = np.zeros((6, 4))
    again.callbacks.append(one_by_one)
    again.train()
    assert solver.loss_history == again.loss_history


def test_augmentation_dropout_and_clipping_are_those_of_the_processor(data):
    data |= {name: data[name].reshape(-1, 1, 3, 2).astype(np.float32) for name in ("X_train", "X_val")}
    history = {}
    for backend in ("cuda", "njit"):
        with fastnn.use_backend(backend):
            layers = nn.Conv2d(1, 2, 3, padding=1, seed=0), nn.ReLU(), nn.Dropout(0.3, seed=1), nn.Flatten()
            model = nn.Sequential(*layers, nn.Linear(12, 3, seed=1))
            options = {"transform": Augment(padding=1, flip=0.5), "clip_norm": 0.5, "num_epochs": 1}
            history[backend] = trained(model, data, **options).loss_history
    np.testing.assert_allclose(history["cuda"], history["njit"], rtol=1e-5)


def test_a_solver_that_captured_a_graph_can_be_copied(data):
    """Graphs stay with the original; copies capture their own."""
    solver = trained(network(), data)
    assert solver._graph_training.reason is None
    copies = [copy.deepcopy(solver), pickle.loads(pickle.dumps(solver))]
    solver.train()
    for copied in copies:
        copied.train()
        assert copied.loss_history == solver.loss_history

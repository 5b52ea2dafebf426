"""Modules that define only `forward`, on the simulated GPU."""

import numpy as np
import pytest

import fastnn
import fastnn.nn.functional as F
from fastnn import nn
from fastnn.kernels.dispatch import arrays
from fastnn.solver import Solver

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((4, 2, 4, 4)), np.array([0, 1, 2, 0])
DATA = {"X_train": X, "y_train": Y, "X_val": X, "y_val": Y}


class Net(nn.Module):
    """Layers, a Parameter, a Buffer, a fused Sequential."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1, seed=0)
        self.norm = nn.BatchNorm2d(2)
        self.scale = nn.Parameter(np.full((2, 1, 1), 0.5, np.float32))
        self.count = nn.Buffer(np.zeros(1, np.float32))
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(32, 4, seed=1), nn.ReLU(), nn.Linear(4, 3, seed=2))

    def forward(self, x):
        self.count = self.count + 1
        return self.body(F.relu(self.norm(self.conv(x)) * self.scale + x))


def on_host(loss, grads):
    return float(fastnn.to_numpy(loss)), {name: fastnn.to_numpy(value) for name, value in grads.items()}


@pytest.fixture
def expected():
    with fastnn.use_backend("njit"):
        return Net().loss(X, Y), Net().loss(X)


def test_a_model_in_host_memory(expected):
    model = Net().to_host()
    loss, grads = model.loss(X, Y)
    assert loss == pytest.approx(expected[0][0], rel=1e-6)
    for name, value in expected[0][1].items():
        np.testing.assert_allclose(grads[name], value, rtol=1e-3, atol=1e-6)
    assert not any(map(arrays.is_on_device, (*model.params.values(), *model.buffers.values(), *grads.values())))
    assert model.buffers["count"] == 1
    np.testing.assert_allclose(Net().to_host().loss(X), expected[1], rtol=1e-4, atol=1e-6)


def test_a_model_on_the_device(expected):
    model = Net().to_device()
    assert all(map(arrays.is_on_device, (one.data for one in model.parameters())))
    loss, grads = model.loss(fastnn.to_device(X.astype(np.float32)), fastnn.to_device(Y))
    assert all(map(arrays.is_on_device, grads.values()))
    loss, grads = on_host(loss, grads)
    assert loss == pytest.approx(expected[0][0], rel=1e-6)
    for name, value in expected[0][1].items():
        np.testing.assert_allclose(grads[name], value, rtol=1e-3, atol=1e-6)
    assert isinstance(model(X), np.ndarray)
    assert arrays.is_on_device(model(fastnn.to_device(X.astype(np.float32))))


@pytest.mark.parametrize("make", [Net, lambda: nn.Sequential(Net(), nn.Linear(3, 3, seed=3))])
def test_training(make):
    def train():
        model = make()
        solver = Solver(model, DATA, update_rule="adam", batch_size=2, num_epochs=3, verbose=False, seed=0)
        solver.train()
        return solver, model.loss(X)

    solver, scores = train()
    assert solver.model.resident
    assert solver._graph_training.reason == "the model has a forward of its own, which may do something else each time"
    assert not any(map(arrays.is_on_device, solver.model.params.values()))
    with fastnn.use_backend("njit"):
        expected, expected_scores = train()
    np.testing.assert_allclose(solver.loss_history, expected.loss_history, rtol=1e-4)
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-2, atol=1e-4)

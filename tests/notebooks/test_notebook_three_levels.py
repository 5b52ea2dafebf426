"""The notebook that builds networks at three levels, `benchmarks/three_levels.py`: cells, and training on images."""

import numpy as np
import pytest
from three_levels_runs import TRAININGS, images, three_levels, trained

import fastnn as torch
from fastnn import nn, optim

BACKENDS = ["njit", "vectorized"]


@pytest.fixture(params=BACKENDS)
def chosen(request):
    with torch.use_backend(request.param):
        yield request.param


@pytest.mark.usefixtures("chosen")
def test_shapes_of_the_cells():
    zeros, dtype = torch.zeros, torch.float32
    assert three_levels.flatten(torch.arange(12).view(2, 1, 3, 2)).tolist() == [[*range(6)], [*range(6, 12)]]
    x = zeros((64, 50), dtype=dtype)
    assert three_levels.two_layer_fc(x, [zeros((50, 42), dtype=dtype), zeros((42, 10))]).size() == (64, 10)
    assert three_levels.TwoLayerFC(50, 42, 10)(x).size() == (64, 10)
    x = zeros((64, 3, 32, 32), dtype=dtype)
    filters = [zeros((6, 3, 5, 5)), zeros((6,)), zeros((9, 6, 3, 3)), zeros((9,))]
    scores = three_levels.three_layer_convnet(x, [*filters, zeros((9 * 32 * 32, 10)), zeros(10)])
    assert scores.size() == (64, 10)
    assert three_levels.ThreeLayerConvNet(3, 12, 8, 10)(x).size() == (64, 10)


@pytest.mark.parametrize("name", TRAININGS)
@pytest.mark.usefixtures("chosen")
def test_training_learns(name):
    data = images(count=640, side=8)
    one_batch = {key: value[:64] if key.endswith("train") else value for key, value in data.items()}
    assert trained(name, data) < trained(name, one_batch)


def test_backends_train_to_the_same_losses():
    data = images(count=128, side=8)
    for name in TRAININGS:
        found = []
        for backend in BACKENDS:
            with torch.use_backend(backend):
                found.append(trained(name, data))
        np.testing.assert_allclose(found[0], found[1], rtol=1e-3, err_msg=name)


def test_torch_runs_the_same_cells():
    """The same code with the real torch: the loss after one step from the same weights is the same."""
    judge = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")
    functional = judge.nn.functional
    ours = three_levels.ThreeLayerConvNet(3, 4, 3, 10, size=8)
    theirs = judge.nn.Sequential(
        judge.nn.Conv2d(3, 4, 5, padding=2), judge.nn.ReLU(), judge.nn.Conv2d(4, 3, 3, padding=1), judge.nn.ReLU(),
        judge.nn.Flatten(), judge.nn.Linear(192, 10),
    )  # fmt: skip
    for value, tensor in zip(ours.state_dict().values(), theirs.parameters(), strict=True):
        tensor.data = judge.from_numpy(value)
    data = images(count=64, side=8)
    x, y = data["X_train"], data["y_train"]
    options = {"lr": 0.1, "momentum": 0.9, "nesterov": True}
    steps = [
        (nn.functional.cross_entropy, ours, optim.SGD(ours.parameters(), **options), torch.Tensor(x), torch.Tensor(y)),
        (
            functional.cross_entropy, theirs, judge.optim.SGD(theirs.parameters(), **options), judge.from_numpy(x),
            judge.from_numpy(y),
        ),
    ]  # fmt: skip
    losses = []
    for cross_entropy, model, optimizer, images_, labels in steps:
        for _ in range(4):
            loss = cross_entropy(model(images_), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)

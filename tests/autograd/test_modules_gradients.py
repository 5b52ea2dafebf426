"""Gradients of modules that define nothing but `forward`, and containers of them."""

import numpy as np
import pytest
from small_modules import DOUBLE, NAMES, Block, Net, Shared, X, Y, normal, torchs

import fastnn.nn.functional as F
from fastnn import nn
from fastnn.autograd import Tensor
from fastnn.gradient_check import eval_numerical_gradient, rel_error
from fastnn.layers import mse_loss, svm_loss

pytestmark = pytest.mark.usefixtures("one_backend")


def test_gradients_are_numeric_ones(backend):
    model = Net()
    model.reg = 0.1
    model.blocks[0].regularized = ("scale",)
    _, grads = model.loss(X, Y)
    assert list(grads) == NAMES
    for name in (
        "blocks.0.scale",
        "blocks.1.norm.bias",
        "body.0.bias",
        "heads.classes.bias",
        "blocks.0.shortcut.weight",
    ):
        value = model.params[name]
        expected = eval_numerical_gradient(lambda _: model.loss(X, Y)[0], value, verbose=False)
        assert rel_error(expected, grads[name]) < 1e-6, name


def test_the_penalty_is_that_of_the_weights():
    model = Net()
    before, _ = model.loss(X, Y)
    model.reg = 0.1
    weights = [value for name, value in model.params.items() if name.endswith("weight") and "norm" not in name]
    assert model.loss(X, Y)[0] - before == pytest.approx(0.05 * sum((w * w).sum() for w in weights))


def test_gradients_are_torchs(backend):
    torch, judge = torchs()
    model = Net()
    judge.load_state_dict({name: torch.from_numpy(value) for name, value in model.state_dict().items()})
    loss, grads = model.loss(X, Y)
    expected = torch.nn.functional.cross_entropy(judge(torch.from_numpy(X)), torch.from_numpy(Y))
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-12)
    for name, one in judge.named_parameters():
        theirs = one.grad.numpy()
        theirs = theirs.T if name == "heads.classes.weight" else theirs
        np.testing.assert_allclose(grads[name], theirs, rtol=1e-7, atol=1e-10, err_msg=name)


def test_loss_gives_the_gradients_of_backward():
    model, other = Net(), Net()
    _, grads = model.loss(X, Y)
    F.cross_entropy(other(Tensor(X)), Tensor(Y)).backward()
    for name, one in other.named_parameters():
        np.testing.assert_allclose(one.grad.data, grads[name], rtol=1e-12, atol=1e-15)
    assert all(one.grad is None for one in model.parameters())


def test_another_loss_function():
    class Named(nn.Module):
        loss_function = staticmethod(svm_loss)

        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 3, seed=0, **DOUBLE)

        def forward(self, x):
            return self.linear(x)

    x, y, model = normal(2, 4), np.array([0, 2]), Named()
    assert model.loss(x, y)[0] == svm_loss(model(x), y)[0]
    model.loss_function = mse_loss
    assert model.loss(x, np.ones((2, 3)))[0] == mse_loss(model(x), np.ones((2, 3)))[0]


def test_shared_modules_and_parameters():
    model, x, y = Shared(), normal(4, 3), Y
    assert list(model.params) == ["scale", "unused", "first.weight", "first.bias", "norm.weight", "norm.bias"]
    assert [name for name, _ in model.named_parameters()] == list(model.params)
    assert list(model.buffers) == ["norm.running_mean", "norm.running_var", "norm.num_batches_tracked"]
    assert {"second.weight", "first.weight", "tied", "scale", "same.running_var"} <= model.state_dict().keys()
    _, grads = model.loss(x, y)
    for name, value in model.params.items():
        expected = eval_numerical_gradient(lambda _: model.loss(x, y)[0], value, verbose=False)
        np.testing.assert_allclose(grads[name], expected, atol=1e-9)
    other = Shared()
    other.params["first.weight"] = np.zeros((3, 3))
    other.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(other(x), model(x))


def test_modules_with_a_forward_inside_containers(backend):
    def block(seed):
        return Block(2, 2, seed=seed)

    model = nn.Sequential(
        block(1), nn.Residual(block(3), shortcut=block(5)), nn.DenseBlock(nn.Sequential(block(7))), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(36, 3, seed=9, **DOUBLE), reg=0.1,
    )  # fmt: skip
    _, grads = model.loss(X, Y)
    assert list(grads) == list(model.params)
    assert "1.shortcut.conv.weight" in grads
    for name in ("0.scale", "1.0.scale", "1.shortcut.scale", "2.0.0.scale", "2.0.0.norm.bias", "0.shortcut.weight"):
        expected = eval_numerical_gradient(lambda _: model.loss(X, Y)[0], model.params[name], verbose=False)
        assert rel_error(expected, grads[name]) < 1e-6, name
    dx, _ = model.backward(np.ones((4, 3)), model.forward(X)[1])
    x = Tensor(X, requires_grad=True)
    model(x).sum().backward()
    np.testing.assert_allclose(x.grad.data, dx, rtol=1e-12)
    assert model.eval()(X).shape == (4, 3)
    assert [name for name, _ in model.named_parameters()] == list(model.params)

"""Automatic differentiation on device arrays."""

import numpy as np
import pytest

import fastnn
from fastnn import autograd, layers, nn
from fastnn.autograd import Tensor
from fastnn.kernels.dispatch import arrays
from fastnn.kernels.gpu import graphs, tracing

GENERATOR = np.random.default_rng(0)
X, W, LABELS = GENERATOR.normal(size=(3, 4)), GENERATOR.normal(size=(4, 2)), np.array([0, 1, 1])

FUNCTIONS = {
    "product": lambda x, w: x @ w,
    "stacks": lambda x, w: x.unsqueeze(0).transpose(1, 2) @ x.unsqueeze(0),
    "arithmetic": lambda x, w: (
        (2 - x) * x[:, :1] / (x * x + 1) - 3 / (x + 9) + 2.0 ** (x - x.T[0].unsqueeze(1)) + -(x**2)
    ),
    "elements": lambda x, w: (x.exp() + 1).log() * x.tanh() + x.sigmoid().sqrt() + x.abs() * x.relu().clamp(0.1, 0.9),
    "choices": lambda x, w: autograd.where(x > 0.1, x.maximum(0.3), x.minimum(x * 2)),
    "sums": lambda x, w: x.sum(dim=1, keepdim=True) + x.mean(dim=0) * x.var(dim=(0, 1)) + x.std(dim=1, keepdim=True),
    "extremes": lambda x, w: x.amax(dim=1) * x.max(dim=1).values + x.min() - x.min(1).values,
    "softmax": lambda x, w: x.softmax(dim=1) + x.log_softmax(dim=0) + x.logsumexp(dim=(0, 1)),
    "shapes": lambda x, w: x.reshape(2, 6).flatten().view(4, 3) + x.T.permute(1, 0).transpose(0, 1),
    "indices": lambda x, w: x[[0, 0, 2]] * x[:, 1:2] + x[Tensor(np.array([1, 1, 0])), 2].unsqueeze(1) + x[0],
    "joined": lambda x, w: autograd.cat([x, w.T]) * 2 + autograd.stack([x[0], x[1]]).sum() + x.split(2, 1)[0].sum(),
    "used twice": lambda x, w: x * x + x.clone() + x.expand(2, 3, 4),
    "a cast": lambda x, w: x.float().double(),
}


def gradients(function):
    """Return the value and gradients, and whether all of them were device arrays."""
    x, w = Tensor(X, requires_grad=True), Tensor(W, requires_grad=True)
    out = function(x, w)
    ((out + (x.sum() + w.sum()) * 0.5) * 1.5).sum().backward()
    found = [out.data, x.grad.data, w.grad.data]
    return list(map(arrays.to_numpy, found)), all(map(arrays.is_on_device, found))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_gradients_are_those_of_numpy(name):
    actual, on_device = gradients(FUNCTIONS[name])
    assert on_device
    with fastnn.use_backend("vectorized"):
        expected, _ = gradients(FUNCTIONS[name])
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def train(steps=3):
    """Train a network by hand; return the losses and the parameters."""
    x, y = Tensor(X), Tensor(LABELS)
    w, layer = autograd.tensor(W * 0.5, requires_grad=True), nn.Linear(2, 2, dtype=np.float64, seed=1)
    layer.to_device()
    parameters = {name: Tensor(array, requires_grad=True) for name, array in layer.params.items()}
    losses = []
    for _ in range(steps):
        loss = autograd.loss(layers.softmax_loss)(autograd.apply(layer, (x @ w).relu(), parameters), y)
        loss.backward()
        losses.append(loss.item())
        with autograd.no_grad():
            for parameter in (w, *parameters.values()):
                parameter -= 0.5 * parameter.grad
                parameter.grad.zero_()
    return losses, [w.detach().numpy(), *(one.detach().numpy() for one in parameters.values())]


def test_training_by_hand():
    losses, weights = train()
    with fastnn.use_backend("vectorized"):
        expected, others = train()
    np.testing.assert_allclose(losses, expected, rtol=1e-12)
    for one, other in zip(weights, others, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_a_step_copies_nothing_and_can_be_captured():
    """The same work in every step, at the same addresses, without copies: what a CUDA graph needs."""
    x, w = Tensor(X), Tensor(W, requires_grad=True)

    def step():
        ((x @ w).tanh().mean() + (w * w).sum() * 0.1).backward()
        with autograd.no_grad():
            w.__isub__(w.grad * 0.1)
            w.grad.zero_()

    step()
    first, second = tracing.trace(step), tracing.trace(step)
    assert first.reason(second) is None
    expected = arrays.to_numpy(w.data)
    with graphs.CaptureStream():
        graphs.capture(step)()
    assert not np.array_equal(arrays.to_numpy(w.data), expected)


def test_leaves_own_their_gradients():
    x, y = Tensor(X, requires_grad=True), Tensor(X, requires_grad=True)
    (x + y.T.T).sum().backward()
    x.grad.zero_()
    assert (arrays.to_numpy(y.grad.data) == 1).all()


def test_operands_in_two_memories_raise():
    x = Tensor(X, requires_grad=True)
    expected = "are in GPU memory and in host memory; expected one of them; move them with fastnn.to_device"
    for mixed in (
        lambda: x * X, lambda: x @ W, lambda: x > X, lambda: x.detach().__iadd__(X),
        lambda: x.detach().__setitem__(0, X[0]),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=expected):
            mixed()
    with fastnn.use_backend("vectorized"):
        y = Tensor(X)
        with pytest.raises(TypeError, match=expected):
            x + y
        with pytest.raises(TypeError, match=expected):
            autograd.cat([x, y])


def test_tensors_move_to_the_memory_of_the_backend():
    x = Tensor(X, requires_grad=True)
    with fastnn.use_backend("vectorized"):
        y = x.to()
        assert type(y.data) is np.ndarray
        (y * 2).sum().backward()
    assert arrays.is_on_device(x.grad.data)
    assert (arrays.to_numpy(x.grad.data) == 2).all()
    assert x.detach().numpy().tolist() == X.tolist()
    assert autograd.zeros(2).tolist() == [0, 0] and repr(autograd.ones(1)) == "Tensor([1.], dtype=float32)"


def test_device_arrays_are_not_converted_implicitly():
    with pytest.raises(TypeError, match=r"^numpy: the Tensor of shape \(3, 4\) is in GPU memory, which NumPy cannot"):
        np.asarray(Tensor(X))
    with pytest.raises(TypeError, match="is in GPU memory"):
        layers.relu_forward(Tensor(X))


def test_anomalies_are_found():
    with autograd.detect_anomaly(), pytest.raises(FloatingPointError, match=r"^log: the result contains NaN"):
        (Tensor(X, requires_grad=True) * -1 - 9).log()

"""Kernels, layers and losses as operations of the tape."""

import numpy as np
import pytest

from fastnn import autograd, layers, nn
from fastnn.autograd import Tensor

GENERATOR = np.random.default_rng(5)
IMAGES = GENERATOR.normal(size=(2, 3, 6, 6))
FILTERS, BIAS = GENERATOR.normal(size=(4, 3, 3, 3)), GENERATOR.normal(size=4)
SCORES, LABELS = GENERATOR.normal(size=(5, 3)), np.array([0, 2, 1, 1, 0])


def leaves(*values):
    return [Tensor(value.copy(), requires_grad=True) for value in values]


def test_a_kernel_is_one_node_with_the_gradients_of_its_backward(backend):
    conv = autograd.function(layers.conv_forward, layers.conv_backward)
    x, w, b = leaves(IMAGES, FILTERS, BIAS)
    conv_param = {"stride": 1, "pad": 1}
    out = conv(x, w, b, conv_param)
    expected, cache = layers.conv_forward(IMAGES, FILTERS, BIAS, conv_param)
    assert np.array_equal(out.detach().numpy(), expected)
    assert out.grad_fn.name == "conv"
    dout = GENERATOR.normal(size=out.shape)
    out.backward(dout)
    for leaf, gradient in zip((x, w, b), layers.conv_backward(dout, cache), strict=True):
        assert np.array_equal(leaf.grad.numpy(), gradient)


def test_only_what_is_needed_is_computed():
    asked = []

    def forward(x, w):
        return x * w, (x, w)

    def backward(dout, cache, need_dx=True):
        asked.append(need_dx)
        x, w = cache
        return dout * w if need_dx else None, dout * x

    times = autograd.function(forward, backward, name="times")
    w, x = leaves(np.ones(3), np.ones(3))
    times(np.ones(3), w).sum().backward()
    times(x, w).sum().backward()
    times(x, w.detach()).sum().backward()
    assert asked == [False, True, True]
    assert (w.grad.tolist(), x.grad.tolist()) == ([2, 2, 2], [2, 2, 2])


def test_functions_with_one_gradient_and_keywords():
    scaled = autograd.function(lambda x, by: (x * by, by), lambda dout, by: dout * by, name="scaled")
    (x,) = leaves(np.ones(3))
    out = scaled(x, by=Tensor(np.array(4.0)))
    assert (out.grad_fn.name, out.tolist()) == ("scaled", [4, 4, 4])
    out.sum().backward()
    assert x.grad.tolist() == [4, 4, 4]


@pytest.mark.parametrize("loss", [layers.softmax_loss, layers.svm_loss])
def test_losses_are_scalars(loss, backend):
    (scores,) = leaves(SCORES)
    value = autograd.loss(loss)(scores, Tensor(LABELS)) * 2
    expected, dscores = loss(SCORES, LABELS)
    assert value.item() == 2 * expected
    value.backward()
    np.testing.assert_allclose(scores.grad.numpy(), 2 * dscores, rtol=1e-15)


def test_losses_take_options_and_keep_float32():
    (scores,) = leaves(SCORES.astype(np.float32))
    value = autograd.loss(layers.softmax_loss)(scores, LABELS, label_smoothing=0.1)
    assert (value.dtype, value.shape, value.grad_fn.name) == (np.float32, (), "softmax_loss")
    value.backward(retain_graph=True)
    first = scores.grad.numpy().copy()
    value.backward()
    assert np.array_equal(scores.grad.numpy(), 2 * first)


def test_a_layer_passes_gradients_to_its_parameters(backend):
    layer = nn.Linear(3, 4, dtype=np.float64, seed=0)
    parameters = {name: Tensor(array, requires_grad=True) for name, array in layer.params.items()}
    (x,) = leaves(SCORES)
    out = autograd.apply(layer, x, parameters)
    expected, cache = layer.forward(SCORES)
    dx, gradients = layer.backward(np.ones((5, 4)), cache)
    out.sum().backward()
    assert np.array_equal(out.detach().numpy(), expected) and out.grad_fn.name == "Linear"
    assert np.array_equal(x.grad.numpy(), dx)
    assert {name: one.grad.tolist() for name, one in parameters.items()} == {
        name: gradient.tolist() for name, gradient in gradients.items()
    }


def test_a_network_is_a_layer_too(one_backend):
    model = nn.Sequential(
        nn.Linear(3, 4, dtype=np.float64, seed=0), nn.ReLU(), nn.Linear(4, 3, dtype=np.float64, seed=1)
    )
    parameters = {name: Tensor(array, requires_grad=True) for name, array in model.params.items()}
    cross_entropy = autograd.loss(layers.softmax_loss)
    cross_entropy(autograd.apply(model, Tensor(SCORES), parameters), LABELS).backward()
    loss, gradients = model.loss(SCORES, LABELS)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(parameters[name].grad.numpy(), gradient, rtol=1e-14)
    assert loss == cross_entropy(autograd.apply(model, SCORES), LABELS).item()


def test_a_layer_without_parameters_passes_dx_on():
    (x,) = leaves(SCORES)
    autograd.apply(nn.ReLU(), x).sum().backward()
    assert np.array_equal(x.grad.numpy(), (SCORES > 0) * 1.0)


def test_training_by_hand_reduces_the_loss(backend):
    """The course's first level: bare arrays and functions."""
    x = Tensor(SCORES)
    w1, w2 = (autograd.randn(*shape, dtype=np.float64, requires_grad=True, generator=2) for shape in ((3, 16), (16, 3)))
    cross_entropy, losses = autograd.loss(layers.softmax_loss), []
    for _ in range(30):
        loss = cross_entropy((x @ w1).clamp(min=0).mm(w2), LABELS)
        loss.backward()
        losses.append(loss.item())
        with autograd.no_grad():
            for w in (w1, w2):
                w -= 0.1 * w.grad
                w.grad.zero_()
    assert losses[-1] < 0.2 * losses[0]


def test_a_parameter_overwritten_before_backward_raises():
    layer = nn.Linear(3, 4, dtype=np.float64)
    parameters = {name: Tensor(array, requires_grad=True) for name, array in layer.params.items()}
    out = autograd.apply(layer, Tensor(SCORES), parameters)
    with autograd.no_grad():
        parameters["weight" if "weight" in parameters else next(iter(parameters))] *= 2
    with pytest.raises(RuntimeError, match="an array that Linear needs was overwritten"):
        out.sum().backward()

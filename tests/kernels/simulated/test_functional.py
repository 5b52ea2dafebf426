"""`fastnn.nn.functional` on device arrays."""

import numpy as np
import pytest

import fastnn
import fastnn.nn.functional as F
from fastnn.autograd import Tensor
from fastnn.kernels.dispatch import arrays

GENERATOR = np.random.default_rng(0)
IMAGES, FILTERS, ROWS = (GENERATOR.normal(size=shape) for shape in ((2, 2, 3, 3), (2, 2, 2, 2), (3, 4)))
LABELS = np.array([0, 3, 1])

FUNCTIONS = {
    "linear": lambda x, w: F.linear(x, w, np.ones(2)),
    "conv2d": lambda x, w: F.conv2d(x, w, padding=1, stride=2),
    "pooling": lambda x, w: F.max_pool2d(x, 2, 1) + F.avg_pool2d(x, 2, 1) + F.adaptive_avg_pool2d(x, 1),
    "activations": lambda x, w: F.gelu(F.elu(F.leaky_relu(x))) + F.sigmoid(F.tanh(F.prelu(F.relu(x), w))),
    "softmax": lambda x, w: F.softmax(x, 1) + F.log_softmax(x, 1),
    "batch_norm": lambda x, w: F.batch_norm(x, None, None, w, training=True) + F.batch_norm(x, np.ones(4), np.ones(4)),
    "layer_norm": lambda x, w: F.layer_norm(x, 4, w, w),
    "group_norm": lambda x, w: F.group_norm(x, 2, w),
    "cross_entropy": lambda x, w: F.cross_entropy(x, LABELS, label_smoothing=0.1) + F.cross_entropy(
        x, Tensor(LABELS), reduction="none", label_smoothing=0.1
    ),
    "losses": lambda x, w: F.nll_loss(x, LABELS) + F.multi_margin_loss(x, LABELS, 2) + F.mse_loss(x, ROWS * 2),
}  # fmt: skip
INPUTS = {
    "linear": (ROWS, ROWS[:2]), "conv2d": (IMAGES, FILTERS), "pooling": (IMAGES, FILTERS),
}  # fmt: skip


def gradients(name):
    """Return the value and gradients, and whether all of them were device arrays."""
    x, w = (Tensor(array, requires_grad=True) for array in INPUTS.get(name, (ROWS, ROWS[0])))
    out = FUNCTIONS[name](x, w)
    ((out * 1.5).sum() + (x.sum() + w.sum()) * 0.5).backward()
    found = [out.data, x.grad.data, w.grad.data]
    return list(map(arrays.to_numpy, found)), all(map(arrays.is_on_device, found))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_gradients_are_those_of_numpy(name):
    actual, on_device = gradients(name)
    assert on_device
    with fastnn.use_backend("vectorized"):
        expected, _ = gradients(name)
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def test_running_statistics_are_updated_where_they_are():
    mean, var, on_host = Tensor(np.zeros(4)), Tensor(np.ones(4)), np.zeros(4)
    F.batch_norm(ROWS, mean, var, training=True)
    F.batch_norm(ROWS, on_host, np.ones(4), training=True)
    assert arrays.is_on_device(mean.data) and mean._version == 1
    np.testing.assert_allclose(mean.numpy(), 0.1 * ROWS.mean(0), rtol=1e-12)
    np.testing.assert_allclose(on_host, mean.numpy(), rtol=1e-12)


def test_dropout_and_one_hot():
    fastnn.reset_seed(0)
    x = Tensor(ROWS, requires_grad=True)
    out = F.dropout(x, 0.5)
    out.sum().backward()
    assert arrays.is_on_device(out.data)
    np.testing.assert_allclose(x.grad.numpy() * ROWS, out.detach().numpy(), rtol=1e-12)
    assert F.one_hot(Tensor(LABELS)).tolist() == np.eye(4, dtype=int)[LABELS].tolist()
    assert F.flatten(IMAGES, 1).shape == (2, 18)


def test_tensors_move_to_the_memory_of_the_backend():
    x = Tensor(ROWS, requires_grad=True)
    with fastnn.use_backend("vectorized"):
        out = F.relu(x)
        assert type(out.data) is np.ndarray
        out.sum().backward()
    assert arrays.is_on_device(x.grad.data)

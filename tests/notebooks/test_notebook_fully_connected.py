"""The cells of the courses' notebooks on fully connected nets, batch and layer normalisation, and dropout."""

import numpy as np
import pytest

import fastnn
from fastnn.classifiers.fc_net import FullyConnectedNet
from fastnn.data_utils import get_shapes_data
from fastnn.gradient_check import eval_numerical_gradient, eval_numerical_gradient_array, rel_error
from fastnn.layers import (
    batchnorm_backward,
    batchnorm_backward_alt,
    batchnorm_forward,
    dropout_backward,
    dropout_forward,
    layernorm_backward,
    layernorm_forward,
)
from fastnn.solver import Solver

N, D, H1, H2, C = 2, 15, 20, 30, 10


def assert_close(numeric, analytic, error):
    """Compare by relative error, tiny elements by absolute error, since numeric gradients have errors of 1e-10."""
    large = np.abs(analytic) > 1e-4
    assert large.any()
    assert rel_error(numeric[large], analytic[large]) < error
    assert np.abs(numeric - analytic)[~large].max(initial=0) < 1e-8


_numeric = {}  # by net: the seeds give every backend the same weights and masks


def numeric_gradients(net, model, X, y):
    """Return the gradients of the net's loss by NumPy, computed once for all backends."""
    if net not in _numeric:
        loss = lambda _: model.loss(X, y)[0]  # noqa: E731
        with fastnn.use_backend("vectorized"):
            arrays = model.params.items()
            _numeric[net] = {name: eval_numerical_gradient(loss, array, verbose=False) for name, array in arrays}
    return _numeric[net]


def inputs():
    np.random.seed(231)
    return np.random.randn(N, D), np.random.randint(C, size=(N,))


@pytest.mark.parametrize(
    ("normalization", "losses"),
    [
        (None, {0: 2.300479089768492, 3.14: 7.052114776533016}),
        ("batchnorm", {0: 2.2611955101340957, 3.14: 6.996533220108303}),
    ],
)
def test_initial_loss_and_gradients(backend, normalization, losses):
    """The weights for the second reg are drawn after those for the first, from the same global state."""
    X, y = inputs()
    for reg, expected in losses.items():
        model = FullyConnectedNet(
            [H1, H2], input_dim=D, num_classes=C, reg=reg, weight_scale=5e-2, dtype=np.float64,
            normalization=normalization,
        )  # fmt: skip
        loss, grads = model.loss(X, y)
        assert loss == pytest.approx(expected, rel=1e-12)
        numeric = numeric_gradients((normalization, reg), model, X, y)
        for name in sorted(grads):
            grad_num = numeric[name]
            # through batch norm the bias before it has no effect: both gradients are rounding errors; and with two
            # images its curvature is such that the notebook prints an error of 1.10e-04 for W1
            if normalization and name in ("b1", "b2"):
                assert np.abs(grads[name]).max() < 1e-10 and np.abs(grad_num).max() < 1e-8
            else:
                assert_close(grad_num, grads[name], 1.2e-4 if normalization else 1e-5)


@pytest.mark.parametrize(("hidden_dims", "weight_scale"), [([100, 100], 1e-1), ([100] * 4, 1e-1)])
def test_fifty_images_are_overfitted(backend, hidden_dims, weight_scale):
    small_data = get_shapes_data(50, 20, 10)
    model = FullyConnectedNet(hidden_dims, weight_scale=weight_scale, dtype=np.float32, generator=0)
    epochs = 2 if backend == "naive" else 20
    solver = Solver(
        model, small_data, print_every=10, num_epochs=epochs, batch_size=25, update_rule="sgd",
        optim_config={"learning_rate": 2e-2}, seed=0, verbose=False,
    )  # fmt: skip
    solver.train()
    assert solver.loss_history[-1] < solver.loss_history[0]
    if backend != "naive":
        assert max(solver.train_acc_history) == 1.0


def test_batch_normalization_forward(backend):
    np.random.seed(231)
    X = np.random.randn(200, 50)
    a = np.maximum(0, X @ np.random.randn(50, 60)) @ np.random.randn(60, 3)
    a_norm, _ = batchnorm_forward(a, np.ones(3), np.zeros(3), {"mode": "train"})
    np.testing.assert_allclose(a_norm.mean(axis=0), 0, atol=1e-13)
    np.testing.assert_allclose(a_norm.std(axis=0), 1, atol=1e-6)
    a_norm, _ = batchnorm_forward(a, np.array([1.0, 2.0, 3.0]), np.array([11.0, 12.0, 13.0]), {"mode": "train"})
    np.testing.assert_allclose(a_norm.mean(axis=0), [11, 12, 13], atol=1e-12)
    np.testing.assert_allclose(a_norm.std(axis=0), [1, 2, 3], atol=1e-6)


def test_batch_normalization_at_test_time(backend):
    np.random.seed(231)
    W1, W2 = np.random.randn(50, 60), np.random.randn(60, 3)
    bn_param = {"mode": "train"}
    for _ in range(50):
        X = np.random.randn(200, 50)
        batchnorm_forward(np.maximum(0, X @ W1) @ W2, np.ones(3), np.zeros(3), bn_param)
    bn_param["mode"] = "test"
    X = np.random.randn(200, 50)
    a_norm, _ = batchnorm_forward(np.maximum(0, X @ W1) @ W2, np.ones(3), np.zeros(3), bn_param)
    np.testing.assert_allclose(a_norm.mean(axis=0), 0, atol=0.2)
    np.testing.assert_allclose(a_norm.std(axis=0), 1, atol=0.15)


def test_batch_normalization_backward(backend):
    np.random.seed(231)
    x, gamma, beta, dout = 5 * np.random.randn(4, 5) + 12, np.random.randn(5), np.random.randn(5), np.random.randn(4, 5)
    forward = lambda: batchnorm_forward(x, gamma, beta, {"mode": "train"})  # noqa: E731
    _, cache = forward()
    gradients = batchnorm_backward(dout, cache)
    for array, actual in zip((x, gamma, beta), gradients, strict=True):
        expected = eval_numerical_gradient_array(lambda _: forward()[0], array, dout)
        assert rel_error(expected, actual) < 1e-8
    for one, other in zip(gradients, batchnorm_backward_alt(dout, cache), strict=True):
        assert rel_error(one, other) < 1e-12


def test_layer_normalization(backend):
    np.random.seed(231)
    x = np.random.randn(4, 60)
    normalized, _ = layernorm_forward(x, np.ones(60), np.zeros(60), {"mode": "train"})
    np.testing.assert_allclose(normalized.mean(axis=1), 0, atol=1e-13)
    np.testing.assert_allclose(normalized.std(axis=1), 1, atol=1e-4)
    x, gamma, beta, dout = 5 * np.random.randn(4, 5) + 12, np.random.randn(5), np.random.randn(5), np.random.randn(4, 5)
    _, cache = layernorm_forward(x, gamma, beta, {})
    for array, actual in zip((x, gamma, beta), layernorm_backward(dout, cache), strict=True):
        expected = eval_numerical_gradient_array(lambda _: layernorm_forward(x, gamma, beta, {})[0], array, dout)
        assert rel_error(expected, actual) < 1e-8


@pytest.mark.parametrize("p", [0.25, 0.4, 0.7])
def test_dropout(backend, p):
    np.random.seed(231)
    x = np.random.randn(200, 100) + 10
    out, _ = dropout_forward(x, {"mode": "train", "p": p})
    out_test, _ = dropout_forward(x, {"mode": "test", "p": p})
    assert out.mean() == pytest.approx(x.mean(), abs=0.5)
    np.testing.assert_array_equal(out_test, x)
    assert (out == 0).mean() == pytest.approx(1 - p, abs=0.02)

    x, dout = np.random.randn(10, 10) + 10, np.random.randn(10, 10)
    dropout_param = {"mode": "train", "p": p, "seed": 123}
    _, cache = dropout_forward(x, dropout_param)
    expected = eval_numerical_gradient_array(lambda xx: dropout_forward(xx, dropout_param)[0], x, dout)
    assert rel_error(expected, dropout_backward(dout, cache)) < 1e-9


def test_fully_connected_net_with_dropout(backend):
    """Weights and masks come from one random stream, which the seed sets again and again, as in the notebook."""
    X, y = inputs()
    figures = {1: 2.3004790897684924, 0.75: 2.302371489704412, 0.5: 2.3042759220785896}
    for dropout_keep_ratio, expected in figures.items():
        model = FullyConnectedNet(
            [H1, H2], input_dim=D, num_classes=C, weight_scale=5e-2, dtype=np.float64,
            dropout_keep_ratio=dropout_keep_ratio, seed=123,
        )  # fmt: skip
        loss, grads = model.loss(X, y)
        assert loss == pytest.approx(expected, rel=1e-14)
        numeric = numeric_gradients(("dropout", dropout_keep_ratio), model, X, y)
        for name in sorted(grads):
            assert_close(numeric[name], grads[name], 1e-5)

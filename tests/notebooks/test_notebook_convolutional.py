"""The cells of the courses' notebooks on convolutional nets, spatial batch norm and group norm."""

import numpy as np
import pytest
from numeric_gradients import without_loops

from fastnn.classifiers.cnn import ThreeLayerConvNet
from fastnn.data_utils import get_shapes_data
from fastnn.fast_layers import conv_backward_fast, conv_forward_fast, max_pool_backward_fast, max_pool_forward_fast
from fastnn.gradient_check import eval_numerical_gradient, eval_numerical_gradient_array, rel_error
from fastnn.layer_utils import (
    conv_bn_relu_backward,
    conv_bn_relu_forward,
    conv_relu_backward,
    conv_relu_forward,
    conv_relu_pool_backward,
    conv_relu_pool_forward,
)
from fastnn.layers import (
    conv_backward_naive,
    conv_forward_naive,
    max_pool_backward_naive,
    max_pool_forward_naive,
    spatial_batchnorm_backward,
    spatial_batchnorm_forward,
    spatial_groupnorm_backward,
    spatial_groupnorm_forward,
)
from fastnn.solver import Solver


def check(forward, arrays, gradients, dout, error):
    """Each gradient against the numeric one; the arrays are moved in place."""
    with without_loops(lambda: forward()[0]):
        numeric = [eval_numerical_gradient_array(lambda _: forward()[0], array, dout) for array in arrays]
    for array, expected, actual in zip(arrays, numeric, gradients, strict=True):
        assert actual.shape == array.shape
        assert rel_error(expected, actual) < error


def test_convolution_backward(backend):
    np.random.seed(231)
    x, w, b = np.random.randn(4, 3, 5, 5), np.random.randn(2, 3, 3, 3), np.random.randn(2)
    dout, conv_param = np.random.randn(4, 2, 5, 5), {"stride": 1, "pad": 1}
    _, cache = conv_forward_naive(x, w, b, conv_param)
    for array, actual in zip((x, w, b), conv_backward_naive(dout, cache), strict=True):
        expected = eval_numerical_gradient_array(lambda _: conv_forward_fast(x, w, b, conv_param)[0], array, dout)
        assert rel_error(expected, actual) < 2e-8  # the notebook prints 1.16e-08 for dx


def test_max_pooling_backward(backend):
    np.random.seed(231)
    x, dout = np.random.randn(3, 2, 8, 8), np.random.randn(3, 2, 4, 4)
    pool_param = {"pool_height": 2, "pool_width": 2, "stride": 2}
    _, cache = max_pool_forward_naive(x, pool_param)
    expected = eval_numerical_gradient_array(lambda x: max_pool_forward_naive(x, pool_param)[0], x, dout)
    assert rel_error(expected, max_pool_backward_naive(dout, cache)) < 1e-11


FEW = 20  # images, which the naive loops take too


@pytest.fixture(scope="module")
def strided():
    """The convolution that the notebook times, and what the naive loops make of a few of its images."""
    np.random.seed(231)
    x, w, b = np.random.randn(100, 3, 31, 31), np.random.randn(25, 3, 3, 3), np.random.randn(25)
    dout, conv_param = np.random.randn(100, 25, 16, 16), {"stride": 2, "pad": 1}
    dout[FEW:] = 0  # so that the gradients of the filters are those of the few images
    out, cache = conv_forward_naive(x[:FEW], w, b, conv_param)
    return (x, w, b, conv_param), dout, out, conv_backward_naive(dout[:FEW], cache)


def test_fast_convolution(backend, strided):
    (x, w, b, conv_param), dout, out_naive, (dx_naive, *gradients_naive) = strided
    if backend == "naive":
        x, dout = x[:FEW], dout[:FEW]
    out_fast, cache = conv_forward_fast(x, w, b, conv_param)
    assert out_fast.shape == (len(x), 25, 16, 16)
    assert np.abs(out_naive - out_fast[:FEW]).max() < 5e-11
    dx_fast, *gradients_fast = conv_backward_fast(dout, cache)
    assert np.abs(dx_naive - dx_fast[:FEW]).max() < 2e-11
    assert not dx_fast[FEW:].any()
    for naive, fast in zip(gradients_naive, gradients_fast, strict=True):
        assert np.abs(naive - fast).max() < 2e-11


def test_fast_pooling(backend):
    np.random.seed(231)
    x, dout = np.random.randn(10, 3, 32, 32), np.random.randn(10, 3, 16, 16)
    pool_param = {"pool_height": 2, "pool_width": 2, "stride": 2}
    out_naive, cache_naive = max_pool_forward_naive(x, pool_param)
    out_fast, cache_fast = max_pool_forward_fast(x, pool_param)
    np.testing.assert_array_equal(out_naive, out_fast)
    np.testing.assert_array_equal(max_pool_backward_naive(dout, cache_naive), max_pool_backward_fast(dout, cache_fast))


def test_sandwich_layers(backend):
    np.random.seed(231)
    x, w, b = np.random.randn(2, 3, 8, 8), np.random.randn(3, 3, 3, 3), np.random.randn(3)
    conv_param = {"stride": 1, "pad": 1}
    pool_param = {"pool_height": 2, "pool_width": 2, "stride": 2}
    forward = lambda: conv_relu_pool_forward(x, w, b, conv_param, pool_param)  # noqa: E731
    dout = np.random.randn(2, 3, 4, 4)
    check(forward, (x, w, b), conv_relu_pool_backward(dout, forward()[1]), dout, 1e-7)
    forward = lambda: conv_relu_forward(x, w, b, conv_param)  # noqa: E731
    dout = np.random.randn(2, 3, 8, 8)
    check(forward, (x, w, b), conv_relu_backward(dout, forward()[1]), dout, 1e-7)
    gamma, beta = np.random.randn(3), np.random.randn(3)
    forward = lambda: conv_bn_relu_forward(x, w, b, gamma, beta, conv_param, {"mode": "train"})  # noqa: E731
    dx, dw, db, dgamma, dbeta = conv_bn_relu_backward(dout, forward()[1])
    check(forward, (x, w, gamma, beta), (dx, dw, dgamma, dbeta), dout, 1e-6)
    assert np.abs(db).max() < 1e-10  # batch norm removes the bias


def test_three_layer_net_initial_loss(backend):
    model = ThreeLayerConvNet()
    N = 3 if backend == "naive" else 50
    X, y = np.random.default_rng(231).standard_normal((N, 3, 32, 32)), np.arange(N) % 10
    assert model.loss(X, y)[0] == pytest.approx(2.302586, abs=1e-4)
    model.reg = 0.5
    assert model.loss(X, y)[0] == pytest.approx(2.508, abs=5e-3)


@pytest.mark.parametrize("use_batchnorm", [False, True])
def test_three_layer_net_gradients(backend, use_batchnorm):
    np.random.seed(231)
    X, y = np.random.randn(2, 3, 8, 8), np.random.randint(10, size=2)
    model = ThreeLayerConvNet(
        num_filters=3, filter_size=3, input_dim=(3, 8, 8), hidden_dim=7, dtype=np.float64, weight_scale=1e-1,
        use_batchnorm=use_batchnorm,
    )  # fmt: skip
    _, grads = model.loss(X, y)
    for name in sorted(grads):
        if use_batchnorm and name in ("b1", "b2"):
            assert np.abs(grads[name]).max() < 1e-10  # batch norm removes the bias
            continue
        loss = lambda _=None: model.loss(X, y)[0]  # noqa: E731
        with without_loops(loss):
            expected = eval_numerical_gradient(loss, model.params[name], verbose=False, h=1e-6)
        if not use_batchnorm:  # with it, tiny elements are rounding
            assert rel_error(expected, grads[name]) < 1e-2, name  # as the notebook asks
        assert np.linalg.norm(expected - grads[name]) < 1e-6 * max(1e-3, np.linalg.norm(expected)), name


def test_three_layer_net_overfits_few_images(backend):
    few, epochs = (20, 1) if backend == "naive" else (50, 30)
    data = get_shapes_data(few, 20, 10)
    model = ThreeLayerConvNet(num_filters=4, filter_size=3, hidden_dim=50, weight_scale=5e-2, seed=0)
    solver = Solver(
        model, data, num_epochs=epochs, batch_size=10, update_rule="adam", optim_config={"learning_rate": 2e-3},
        verbose=False, seed=0,
    )  # fmt: skip
    solver.train()
    assert solver.loss_history[-1] < solver.loss_history[0]
    assert backend == "naive" or max(solver.train_acc_history) > 0.9


def test_spatial_batchnorm(backend):
    np.random.seed(231)
    N, C, H, W = 2, 3, 4, 5
    x = 4 * np.random.randn(N, C, H, W) + 10
    out, _ = spatial_batchnorm_forward(x, np.ones(C), np.zeros(C), {"mode": "train"})
    np.testing.assert_allclose(out.mean(axis=(0, 2, 3)), 0, atol=1e-12)
    np.testing.assert_allclose(out.std(axis=(0, 2, 3)), 1, atol=1e-5)
    gamma, beta, dout = np.array([3.0, 4, 5]), np.array([6.0, 7, 8]), np.random.randn(N, C, H, W)
    forward = lambda: spatial_batchnorm_forward(x, gamma, beta, {"mode": "train"})  # noqa: E731
    out, cache = forward()
    np.testing.assert_allclose(out.mean(axis=(0, 2, 3)), beta)
    check(forward, (x, gamma, beta), spatial_batchnorm_backward(dout, cache), dout, 1e-6)


def test_spatial_groupnorm(backend):
    np.random.seed(231)
    N, C, H, W, G = 2, 6, 4, 5, 2
    x = 4 * np.random.randn(N, C, H, W) + 10
    out, _ = spatial_groupnorm_forward(x, np.ones((1, C, 1, 1)), np.zeros((1, C, 1, 1)), G, {"mode": "train"})
    groups = out.reshape(N * G, -1)
    np.testing.assert_allclose(groups.mean(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(groups.std(axis=1), 1, atol=1e-5)
    x, gamma, beta = 5 * np.random.randn(N, C, H, W) + 12, np.random.randn(1, C, 1, 1), np.random.randn(1, C, 1, 1)
    dout = np.random.randn(N, C, H, W)
    forward = lambda: spatial_groupnorm_forward(x, gamma, beta, G, {})  # noqa: E731
    check(forward, (x, gamma, beta), spatial_groupnorm_backward(dout, forward()[1]), dout, 1e-6)

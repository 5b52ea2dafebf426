"""The cells of the courses' notebooks on the two-layer net, with Solver and in functional style."""

import numpy as np
import pytest
from numeric_gradients import without_loops

import fastnn
from fastnn.classifiers.fc_net import TwoLayerNet
from fastnn.classifiers.two_layer_net import nn_forward_backward, nn_forward_pass, nn_predict, nn_train
from fastnn.data_utils import get_toy_data
from fastnn.gradient_check import compute_numeric_gradient, eval_numerical_gradient, rel_error
from fastnn.layer_utils import affine_relu_backward, affine_relu_forward
from fastnn.layers import softmax_loss, svm_loss
from fastnn.solver import Solver


def test_sandwich_layer(backend):
    from fastnn.gradient_check import eval_numerical_gradient_array

    np.random.seed(231)
    x, w, b = np.random.randn(2, 3, 4), np.random.randn(12, 10), np.random.randn(10)
    dout = np.random.randn(2, 10)
    _, cache = affine_relu_forward(x, w, b)
    dx, dw, db = affine_relu_backward(dout, cache)
    assert rel_error(eval_numerical_gradient_array(lambda x: affine_relu_forward(x, w, b)[0], x, dout), dx) < 1e-8
    assert rel_error(eval_numerical_gradient_array(lambda w: affine_relu_forward(x, w, b)[0], w, dout), dw) < 1e-8
    assert rel_error(eval_numerical_gradient_array(lambda b: affine_relu_forward(x, w, b)[0], b, dout), db) < 1e-8


def test_loss_layers(backend):
    np.random.seed(231)
    num_classes, num_inputs = 10, 50
    x = 0.001 * np.random.randn(num_inputs, num_classes)
    y = np.random.randint(num_classes, size=num_inputs)
    dx_num = eval_numerical_gradient(lambda x: svm_loss(x, y)[0], x, verbose=False)
    loss, dx = svm_loss(x, y)
    assert loss == pytest.approx(8.999602749096233, rel=1e-13)
    assert rel_error(dx_num, dx) < 1e-8  # rounding of f: eps * loss / (h * 0.02)
    dx_num = eval_numerical_gradient(lambda x: softmax_loss(x, y)[0], x, verbose=False)
    loss, dx = softmax_loss(x, y)
    assert loss == pytest.approx(2.302545844500738, rel=1e-13)
    assert rel_error(dx_num, dx) < 3e-8


def test_two_layer_net(backend):
    np.random.seed(231)
    N, D, H, C = 3, 5, 50, 7
    X = np.random.randn(N, D)
    y = np.random.randint(C, size=N)
    model = TwoLayerNet(input_dim=D, hidden_dim=H, num_classes=C, weight_scale=1e-3)
    assert abs(model.params["W1"].std() - 1e-3) < 1e-4
    assert np.all(model.params["b1"] == 0)

    model.params["W1"] = np.linspace(-0.7, 0.3, num=D * H).reshape(D, H)
    model.params["b1"] = np.linspace(-0.1, 0.9, num=H)
    model.params["W2"] = np.linspace(-0.3, 0.4, num=H * C).reshape(H, C)
    model.params["b2"] = np.linspace(-0.9, 0.1, num=C)
    X = np.linspace(-5.5, 4.5, num=N * D).reshape(D, N).T
    scores = model.loss(X)
    correct_scores = np.asarray(
        [
            [11.53165108, 12.2917344, 13.05181771, 13.81190102, 14.57198434, 15.33206765, 16.09215096],
            [12.05769098, 12.74614105, 13.43459113, 14.1230412, 14.81149128, 15.49994135, 16.18839143],
            [12.58373087, 13.20054771, 13.81736455, 14.43418138, 15.05099822, 15.66781506, 16.2846319],
        ]
    )
    assert np.abs(scores - correct_scores).sum() < 1e-6

    y = np.asarray([0, 5, 1])
    assert abs(model.loss(X, y)[0] - 3.4702243556) < 1e-10
    model.reg = 1.0
    assert abs(model.loss(X, y)[0] - 26.5948426952) < 1e-10
    for reg in (0.0, 0.7):
        model.reg = reg
        _, grads = model.loss(X, y)
        for name in sorted(grads):
            loss = lambda _=None: model.loss(X, y)[0]  # noqa: E731
            with without_loops(loss):
                grad_num = eval_numerical_gradient(loss, model.params[name], verbose=False)
            assert rel_error(grad_num, grads[name]) < 1e-6, name


def test_solver(backend):
    generator = np.random.default_rng(0)
    templates, data = generator.standard_normal((10, 3, 32, 32)), {}
    for part, count in (("train", 100 if backend == "naive" else 600), ("val", 50)):
        y = generator.integers(0, 10, count)
        data[f"X_{part}"], data[f"y_{part}"] = 0.5 * templates[y] + generator.standard_normal((count, 3, 32, 32)), y
    model = TwoLayerNet(hidden_dim=10 if backend == "naive" else 50, weight_scale=1e-2, reg=1e-3, seed=0)
    solver = Solver(
        model, data, update_rule="sgd", optim_config={"learning_rate": 2e-2}, lr_decay=0.95, num_epochs=4,
        batch_size=50, print_every=0, verbose=False, seed=0,
    )  # fmt: skip
    solver.train()
    assert len(solver.val_acc_history) == 5
    assert solver.loss_history[-1] < solver.loss_history[0]
    assert backend == "naive" or solver.best_val_acc > 0.5
    np.testing.assert_array_equal(model.params["W1"], solver.best_params["W1"])


def test_functional_net_on_toy_data(backend):
    toy_X, toy_y, params = get_toy_data()
    scores, hidden = nn_forward_pass(params, toy_X)
    expected = np.maximum(toy_X @ params["W1"] + params["b1"], 0)
    np.testing.assert_allclose(hidden, expected, rtol=1e-12)
    np.testing.assert_allclose(scores, expected @ params["W2"] + params["b2"], rtol=1e-10)
    _, grads = nn_forward_backward(params, toy_X, toy_y, reg=0.05)
    for name, grad in grads.items():
        loss_of = lambda _: nn_forward_backward(params, toy_X, toy_y, reg=0.05)[0]  # noqa: E731
        assert rel_error(compute_numeric_gradient(loss_of, params[name], h=1e-5), grad) < 1e-6, name


def test_functional_training_on_toy_data(backend):
    fastnn.reset_seed(0)
    toy_X, toy_y, params = get_toy_data()
    stats = nn_train(
        params, nn_forward_backward, nn_predict, toy_X, toy_y, toy_X, toy_y, learning_rate=1e-1, reg=1e-6,
        num_iters=100, verbose=False,
    )  # fmt: skip
    assert len(stats["loss_history"]) == 100
    assert stats["loss_history"][-1] < 0.05
    assert np.mean(nn_predict(params, nn_forward_backward, toy_X) == toy_y) == 1.0

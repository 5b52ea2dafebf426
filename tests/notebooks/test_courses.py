"""The courses' notebooks in short: their imports and calls, in a Jupyter kernel with `%load_ext fastnn.courses`."""

import re

import numpy as np
import pytest
from small_notebooks import outputs_of

SETUP = """
import numpy as np
import matplotlib.pyplot as plt
%matplotlib inline
%load_ext autoreload
%autoreload 2
def rel_error(x, y):
    return np.max(np.abs(x - y) / np.maximum(1e-8, np.abs(x) + np.abs(y)))
"""
GAUSSIAN_DATA = """
rng = np.random.RandomState(0)
means = rng.randn(10, 3, 32, 32)
def draw(count):
    y = np.arange(count) % 10
    return 3 * means[y] + rng.randn(count, 3, 32, 32), y
data = dict(zip(["X_train", "y_train", "X_val", "y_val"], (*draw(200), *draw(100))))
"""


@pytest.fixture(autouse=True)
def _one_backend(monkeypatch):
    monkeypatch.setenv("FASTNN_BACKEND", "vectorized")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def numbers(text):
    """Return the numbers of a printed text."""
    return [float(number) for number in re.findall(r"-?\d+\.?\d*(?:e[-+]?\d+)?", text)]


def test_cs231n(tmp_path):
    printed = outputs_of(
        tmp_path,
        "from cs231n.classifiers.cnn import *\n"
        "from cs231n.classifiers.fc_net import *\n"
        "from cs231n.data_utils import get_CIFAR10_data\n"
        "from cs231n.gradient_check import eval_numerical_gradient, eval_numerical_gradient_array\n"
        "from cs231n.layers import *\nfrom cs231n.fast_layers import *\nfrom cs231n.solver import Solver\n"
        "from cs231n.layer_utils import affine_relu_forward, affine_relu_backward\n"
        "from cs231n.vis_utils import visualize_grid" + SETUP + GAUSSIAN_DATA,
        # assignment 1
        "from cs231n.classifiers import KNearestNeighbor, LinearSVM, Softmax\n"
        "X, y = data['X_train'].reshape(200, -1), data['y_train']\n"
        "knn = KNearestNeighbor()\nknn.train(X, y)\n"
        "dists = knn.compute_distances_two_loops(X[:20])\n"
        "print(rel_error(dists + 1, knn.compute_distances_no_loops(X[:20]) + 1))\n"
        "print(np.mean(knn.predict_labels(dists, k=1) == y[:20]))",
        "np.random.seed(0)\nsvm = LinearSVM()\n"
        "history = svm.train(X, y, learning_rate=1e-3, reg=1e-3, num_iters=100, verbose=True)\n"
        "print(np.mean(svm.predict(X) == y))",
        "from cs231n.classifiers.softmax import softmax_loss_naive, softmax_loss_vectorized\n"
        "W = 1e-4 * np.random.randn(3072, 10)\n"
        "print(rel_error(softmax_loss_naive(W, X, y, 0.1)[1], softmax_loss_vectorized(W, X, y, 0.1)[1]))",
        "from cs231n.features import color_histogram_hsv, hog_feature, extract_features\n"
        "pictures = 128 + 20 * data['X_train'][:3].transpose(0, 2, 3, 1)\n"
        "functions = [hog_feature, lambda one: color_histogram_hsv(one, nbin=10)]\n"
        "print(extract_features(pictures.clip(0, 255), functions).shape)",
        # assignment 2
        "x, w, b = np.random.randn(3, 4, 5), np.random.randn(20, 6), np.random.randn(6)\n"
        "dout = np.random.randn(3, 6)\nout, cache = affine_relu_forward(x, w, b)\n"
        "dx, dw, db = affine_relu_backward(dout, cache)\n"
        "print(rel_error(dx, eval_numerical_gradient_array(lambda x: affine_relu_forward(x, w, b)[0], x, dout)))",
        "np.random.seed(231)\nx = np.random.randn(500, 500) + 10\n"
        "out, _ = dropout_forward(x, {'mode': 'train', 'p': 0.75})\nprint(out.mean(), (out == 0).mean())",
        "model = FullyConnectedNet([20], num_classes=10, normalization='batchnorm', dropout_keep_ratio=0.9, seed=1)\n"
        "solver = Solver(model, data, num_epochs=3, batch_size=50, update_rule='adam', print_every=2)\n"
        "solver.train()\nprint(solver.best_val_acc)\nplt.plot(solver.loss_history, 'o')\nplt.show()",
        "x, w, b = np.random.randn(2, 3, 8, 8), np.random.randn(4, 3, 3, 3), np.random.randn(4)\n"
        "param = {'stride': 1, 'pad': 1}\n"
        "print(rel_error(conv_forward_naive(x, w, b, param)[0], conv_forward_fast(x, w, b, param)[0]))",
        "model = ThreeLayerConvNet(num_filters=4, filter_size=3, hidden_dim=8, dtype=np.float64)\n"
        "loss, grads = model.loss(data['X_train'][:5], data['y_train'][:5])\nprint(loss)\n"
        "plt.imshow(visualize_grid(model.params['W1'].transpose(0, 2, 3, 1)).astype('uint8'))",
    )
    knn, svm, softmax, features, gradient, dropout, solver, conv, net = printed[1:]
    assert numbers(knn)[0] < 1e-6 and numbers(knn)[1] == 1
    assert svm.startswith("iteration 0 / 100: loss ") and numbers(svm)[-1] == 1
    assert numbers(softmax)[0] < 1e-6
    assert features == "(3, 154)\n"
    assert numbers(gradient)[0] < 1e-6
    mean, dropped = numbers(dropout)
    assert abs(mean - 10) < 0.1 and abs(dropped - 0.25) < 0.01  # p is the probability of keeping
    assert solver.startswith("(Iteration 1 / 12) loss: ") and "(Epoch 3 / 3) train acc: " in solver
    assert numbers(conv)[0] < 1e-6
    assert abs(numbers(net)[0] - np.log(10)) < 0.1


def test_cs231n_of_2017(tmp_path):
    printed = outputs_of(
        tmp_path,
        "from __future__ import print_function\n"
        "from cs231n.classifiers.fc_net import *\nfrom cs231n.layers import *\n"
        "from cs231n.gradient_check import eval_numerical_gradient\nfrom cs231n.solver import Solver" + SETUP,
        "np.random.seed(231)\nx = np.random.randn(500, 500) + 10\n"
        "out, _ = dropout_forward(x, {'mode': 'train', 'p': 0.75})\nprint(out.mean(), (out == 0).mean())",
        "np.random.seed(231)\nX, y = np.random.randn(2, 15), np.array([3, 5])\n"
        "for dropout in [0, 0.25]:\n"
        "    model = FullyConnectedNet([20, 30], input_dim=15, num_classes=10, weight_scale=5e-2, dtype=np.float64,\n"
        "                              dropout=dropout, use_batchnorm=True, seed=123)\n"
        "    loss, grads = model.loss(X, y)\n"
        "    slope = eval_numerical_gradient(lambda _: model.loss(X, y)[0], model.params['W3'], verbose=False)\n"
        "    print(np.abs(slope - grads['W3']).max())",
        "from cs231n.classifiers.neural_net import TwoLayerNet\n"
        "net = TwoLayerNet(4, 10, 3, std=1e-1)\n"
        "loss, grads = net.loss(np.random.randn(5, 4), y=np.array([0, 1, 2, 2, 1]), reg=0.05)\nprint(sorted(grads))",
        first="import fastnn.courses\nfastnn.courses.install('cs231n', year=2017)",
    )
    mean, dropped = numbers(printed[1])
    assert abs(mean - 10) < 0.2 and abs(dropped - 0.75) < 0.01  # p is the probability of dropping
    assert max(numbers(printed[2])) < 1e-5
    assert printed[3] == "['W1', 'W2', 'b1', 'b2']\n"


def test_nndl(tmp_path):
    printed = outputs_of(
        tmp_path,
        "from nndl import KNN, Softmax\nfrom nndl.fc_net import *\n"
        "from nndl.layers import *\nfrom nndl.conv_layers import *\nfrom nndl.cnn import *\n"
        "from nndl.conv_layer_utils import conv_relu_forward, conv_relu_backward\n"
        "from utils.gradient_check import eval_numerical_gradient\nfrom utils.solver import Solver\n"
        "from utils.data_utils import get_CIFAR10_data" + SETUP + GAUSSIAN_DATA,
        "from nndl.layer_tests import *\n"
        "affine_forward_test(); affine_backward_test(); relu_forward_test(); relu_backward_test(); affine_relu_test()\n"
        "fc_net_test()",
        "X, y = data['X_train'].reshape(200, -1), data['y_train']\nknn = KNN()\nknn.train(X=X, y=y)\n"
        "dists = knn.compute_L2_distances_vectorized(X=X[:20])\n"
        "print(np.abs(dists - knn.compute_distances(X=X[:20])).max())\n"
        "print(np.mean(knn.predict_labels(dists, k=1) == y[:20]))",
        "np.random.seed(0)\nsoftmax = Softmax(dims=[10, 3072])\nX /= 100\n"
        "loss, grad = softmax.loss_and_grad(X, y)\nprint(loss, rel_error(grad, softmax.fast_loss_and_grad(X, y)[1]))",
        "from nndl.neural_net import TwoLayerNet\nnp.random.seed(0)\nnet = TwoLayerNet(4, 10, 3, std=1e-1)\n"
        "X, y = np.random.randn(5, 4), np.array([0, 1, 2, 2, 1])\nloss, grads = net.loss(X, y, reg=0.05)\n"
        "print(net.params['W1'].shape)\n"
        "print(rel_error(eval_numerical_gradient(lambda _: net.loss(X, y, reg=0.05)[0], net.params['W1'],"
        " verbose=False), grads['W1']))",
        "from nndl.optim import sgd_nesterov_momentum, rmsprop, adam\n"
        "w = np.ones((2, 3))\n"
        "_, config = adam(w, w, config={'learning_rate': 1e-2, 'v': 0 * w, 'a': 0 * w, 't': 1})\n"
        "print(config['a'][0, 0] > 0, rmsprop(w, w, config={'a': 0 * w})[1]['a'].shape)\n"
        "config = {'learning_rate': 0.1, 'velocity': w.copy()}\n"
        "print(sgd_nesterov_momentum(w, w, config)[1]['velocity'][0, 0])",
        "for rule in ['sgd_nesterov_momentum', 'adam']:\n"
        "    model = FullyConnectedNet(hidden_dims=[20], dropout=0, use_batchnorm=True)\n"
        "    solver = Solver(model, data, num_epochs=2, batch_size=50, update_rule=rule,\n"
        "                    optim_config={'learning_rate': 1e-2}, verbose=False)\n"
        "    solver.train()\n    print(solver.val_acc_history[-1])",
    )
    tests, knn, softmax, net, rules, solver = printed[1:]
    assert len(numbers(tests)) > 10
    assert numbers(knn)[0] < 1e-5 and numbers(knn)[1] == 1
    assert abs(numbers(softmax)[0] - np.log(10)) < 0.1 and numbers(softmax)[1] < 1e-6
    assert numbers(net)[:2] == [10, 4] and numbers(net)[2] < 1e-6  # one row for each hidden unit
    assert rules == "True (2, 3)\n0.8\n"
    assert min(numbers(solver)) > 0.5


def test_cs182(tmp_path):
    printed = outputs_of(
        tmp_path,
        "from deeplearning.classifiers.fc_net import *\nfrom deeplearning.data_utils import get_CIFAR10_data\n"
        "from deeplearning.gradient_check import eval_numerical_gradient, eval_numerical_gradient_array\n"
        "from deeplearning.solver import Solver\nfrom deeplearning.layers import *\n"
        "from deeplearning.optim import sgd_momentum, rmsprop, adam" + SETUP + GAUSSIAN_DATA,
        "for start in ['random', 'xavier', 'he']:\n"
        "    model = FullyConnectedNet([20, 20], weight_scale=1e-2, initialization=start, use_batchnorm=True,\n"
        "                              dropout=0.1)\n"
        "    print(model.params['W1'].std())",
        "solver = Solver(model, data, num_epochs=2, batch_size=50, update_rule='sgd_momentum', print_every=10,\n"
        "                optim_config={'learning_rate': 1e-2}, log_acc_iteration=True)\n"
        "solver.train()\nsolver.record_histories_as_npz('histories.npz')\n"
        "print(len(np.load('histories.npz')['train_losses']), solver.log_acc_iteration_history)\n"
        "print(solver.best_train_acc, solver.best_val_acc)",
    )
    assert numbers(printed[1]) == pytest.approx([0.01, (1 / 3072) ** 0.5, (2 / 3072) ** 0.5], rel=0.05)
    assert printed[2].splitlines()[-2] == "8 [0, 3, 7]"
    assert min(numbers(printed[2].splitlines()[-1])) > 0.3


def test_eecs598(tmp_path):
    pytest.importorskip("torch", reason="the course computes on torch tensors")
    printed = outputs_of(
        tmp_path,
        "import torch\nimport eecs598\nfrom eecs598 import reset_seed, Solver\nimport statistics, math, random" + SETUP,
        "from knn import KnnClassifier, compute_distances_no_loops, compute_distances_two_loops, predict_labels\n"
        "reset_seed(0)\nx, y = torch.randn(30, 3, 4, 4), torch.arange(30) % 3\n"
        "print((compute_distances_two_loops(x, x[:5]) - compute_distances_no_loops(x, x[:5])).abs().max().item())\n"
        "print(KnnClassifier(x, y).check_accuracy(x, y, k=1, quiet=True))",
        "from eecs598.grad import grad_check_sparse, rel_error\n"
        "from linear_classifier import svm_loss_naive, svm_loss_vectorized, train_linear_classifier, LinearSVM\n"
        "W, X = 1e-4 * torch.randn(48, 3, dtype=torch.float64), x.reshape(30, -1).double()\n"
        "loss, grad = svm_loss_naive(W, X, y, 0.005)\n"
        "print(float(loss), rel_error(grad, svm_loss_vectorized(W, X, y, 0.005)[1]))\n"
        "W, history = train_linear_classifier(svm_loss_vectorized, None, X, y, 1e-2, 0, num_iters=50)\n"
        "print(W.dtype, history[-1] < history[0])",
        "from two_layer_net import nn_forward_pass, nn_forward_backward, TwoLayerNet\n"
        "from eecs598.a2_helpers import get_toy_data\n"
        "toy_X, toy_y, params = get_toy_data(dtype=torch.float64, device='cpu')\n"
        "loss, grads = nn_forward_backward(params, toy_X, toy_y, reg=0.05)\nprint(float(loss))",
        "from fully_connected_networks import Linear, Linear_ReLU, FullyConnectedNet, adam\n"
        "x, w, b = (torch.randn(*shape, dtype=torch.float64) for shape in [(4, 2, 3), (6, 5), (5,)])\n"
        "out, cache = Linear_ReLU.forward(x, w, b)\ndout = torch.randn_like(out)\n"
        "dx, dw, db = Linear_ReLU.backward(dout, cache)\n"
        "slope = eecs598.grad.compute_numeric_gradient(lambda w: Linear_ReLU.forward(x, w, b)[0], w, dout)\n"
        "print(eecs598.grad.rel_error(slope, dw))",
        "from convolutional_networks import Conv, FastConv, MaxPool, FastMaxPool, DeepConvNet\n"
        "x, w, b = (torch.randn(*shape, dtype=torch.float64) for shape in [(2, 3, 6, 6), (4, 3, 3, 3), (4,)])\n"
        "param = {'stride': 1, 'pad': 1}\n"
        "print(eecs598.grad.rel_error(Conv.forward(x, w, b, param)[0], FastConv.forward(x, w, b, param)[0]))",
        "data = {'X_train': torch.randn(40, 3, 8, 8), 'y_train': torch.arange(40) % 4}\n"
        "data.update(X_val=data['X_train'], y_val=data['y_train'])\n"
        "model = DeepConvNet(input_dims=(3, 8, 8), num_classes=4, num_filters=[4, 8], max_pools=[0, 1],\n"
        "                    batchnorm=True, weight_scale='kaiming', device='cpu')\n"
        "solver = Solver(model, data, num_epochs=4, batch_size=10, update_rule=adam, print_every=10,\n"
        "                optim_config={'learning_rate': 1e-2}, device='cpu')\n"
        "solver.train()\nprint(solver.check_accuracy(data['X_train'], data['y_train']))",
    )
    knn, svm, net, layers, conv, solver = printed[1:]
    assert numbers(knn)[0] < 1e-3 and numbers(knn)[1] == 100
    assert abs(numbers(svm)[0] - 2) < 0.1 and numbers(svm)[1] < 1e-6
    assert svm.endswith("torch.float64 True\n")
    assert np.isfinite(numbers(net)[0])
    assert numbers(layers)[0] < 1e-6 and numbers(conv)[0] < 1e-6
    assert "(Time " in solver and numbers(solver)[-1] > 0.5


def test_ite4052(tmp_path):
    pytest.importorskip("torch", reason="the course computes on torch tensors")
    printed = outputs_of(
        tmp_path,
        "import torch\nimport ite4052\nimport statistics, random, time, math" + SETUP,
        "from linear_classifier import hello_linear_classifier, softmax_loss_naive, softmax_loss_vectorized\n"
        "hello_linear_classifier()\nite4052.reset_seed(0)\n"
        "W, X, y = 1e-4 * torch.randn(12, 10).double(), torch.randn(30, 12).double(), torch.arange(30) % 10\n"
        "loss, grad = softmax_loss_naive(W, X, y, 0.0)\nprint(float(loss))\n"
        "ite4052.grad.grad_check_sparse(lambda w: softmax_loss_vectorized(w, X, y, 0.0)[0], W, grad, 3)",
        "from ite4052.a3_helpers import get_toy_data\nfrom two_layer_net import nn_forward_pass, TwoLayerNet\n"
        "X, y, params = get_toy_data(dtype=torch.float64, device='cpu')\nscores, hidden = nn_forward_pass(params, X)\n"
        "print(scores.shape, hidden.shape)",
    )
    lines = printed[1].splitlines()
    assert abs(numbers(lines[1])[0] - np.log(10)) < 0.01
    assert len(lines) == 5 and all(numbers(line)[-1] < 1e-4 for line in lines[2:])
    assert printed[2].startswith("torch.Size([")


def test_dl(tmp_path):
    printed = outputs_of(
        tmp_path,
        "from dl.layers import *\nfrom dl.layer_utils import *\nfrom dl.solver import Solver\n"
        "from dl.classifiers.fc_net import *\nfrom dl.data_utils import get_CIFAR10_data\n"
        "from dl.gradient_check import eval_numerical_gradient_array" + SETUP + GAUSSIAN_DATA,
        "x, dout = np.random.randn(4, 5, 6), np.random.randn(4, 5, 6)\n_, cache = relu_forward(x)\n"
        "print(rel_error(relu_backward(dout, cache),"
        " eval_numerical_gradient_array(lambda x: relu_forward(x)[0], x, dout)))",
        "solver = Solver(FullyConnectedNet([20]), data, num_epochs=2, batch_size=50,\n"
        "                optim_config={'learning_rate': 1e-2})\n"
        "solver.train()\nprint(solver.best_val_acc)",
    )
    assert numbers(printed[1])[0] < 1e-6
    assert numbers(printed[2])[-1] > 0.3

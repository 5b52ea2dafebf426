"""Training on the simulated GPU gives the same losses as on the CPU, for networks of all kinds of layers."""

import numpy as np
import pytest
import sharded_runs

import fastnn
from fastnn.classifiers import (
    FullyConnectedNet,
    LinearSVM,
    Softmax,
    SparseAutoencoder,
    ThreeLayerConvNet,
    linear_classifier,
    two_layer_net,
)
from fastnn.kernels import use_backend
from fastnn.kernels.dispatch import arrays
from fastnn.solver import Solver

NETWORKS = {
    "three-layer convnet": lambda: ThreeLayerConvNet((3, 4, 4), 2, 3, hidden_dim=5, weight_scale=0.1, reg=0.1, seed=0),
    "with batch norm": lambda: ThreeLayerConvNet((3, 4, 4), 2, 3, 5, weight_scale=0.1, use_batchnorm=True, seed=0),
    "fully connected, batch norm and dropout": lambda: FullyConnectedNet(
        [5, 4], input_dim=48, normalization="batchnorm", dropout_keep_ratio=0.7, reg=0.1, seed=0
    ),
    "fully connected, layer norm": lambda: FullyConnectedNet([5], input_dim=48, normalization="layernorm", seed=0),
}


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("rule", ["sgd_momentum", "adam"])
def test_three_steps_have_the_losses_of_the_processor(network, rule):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((12, 3, 4, 4)).astype(np.float32), rng.integers(0, 10, 12)
    data = {"X_train": X, "y_train": y, "X_val": X[:4], "y_val": y[:4]}
    losses = {}
    for backend in ("cuda", "njit"):
        with use_backend(backend):
            np.random.seed(0)
            solver = Solver(network(), data, update_rule=rule, batch_size=4, num_epochs=1, verbose=False, seed=1)
            solver.train()
        losses[backend] = solver.loss_history
    assert len(losses["cuda"]) == 3
    np.testing.assert_allclose(losses["cuda"], losses["njit"], rtol=1e-5)


def test_shards_on_the_gpu_have_the_losses_of_the_processor():
    losses = {}
    for backend in ("cuda", "vectorized"):
        with use_backend(backend):
            solver = sharded_runs.make(shards=2, batch_size=4, num_epochs=1, num_train_samples=4)
            solver.num_epochs, solver.iterations_per_epoch = 1, 2
            solver.train()
        losses[backend] = solver.loss_history
    assert len(losses["cuda"]) == 2
    np.testing.assert_allclose(losses["cuda"], losses["vectorized"], rtol=1e-5)


def linear(kind):
    def train(X, y):
        classifier = kind(seed=0)
        history = classifier.train(X, y, learning_rate=0.01, reg=0.01, num_iters=5, batch_size=12)
        return history, {"W": classifier.W}

    return train


def by_function(X, y):
    loss = linear_classifier.svm_loss_vectorized
    W, history = linear_classifier.train_linear_classifier(loss, None, X, y, 0.01, 0.01, 5, 12, seed=0)
    return history, {"W": W}


def two_layers(X, y):
    net = two_layer_net.TwoLayerNet(X.shape[1], 2, 3, std=0.1, seed=0)
    held = dict(net.params)
    stats = net.train(X, y, X, y, num_iters=5, batch_size=12, reg=0.1)
    assert all(net.params[name] is value for name, value in held.items()), "updated in place"
    return stats["loss_history"] + stats["val_acc_history"], net.params


def autoencoder(X, y):
    model = SparseAutoencoder(X.shape[1], 2, 0.1, 0.1, 1e-3, dtype=np.float32, seed=0)
    return model.train(X, 5, 12, seed=0) + model.fit_lbfgs(X, 2), model.params


OWN_LOOPS = {"softmax": linear(Softmax), "SVM": linear(LinearSVM), "SVM, by function": by_function}
OWN_LOOPS |= {"two-layer net": two_layers, "autoencoder": autoencoder}


@pytest.mark.parametrize("train", OWN_LOOPS.values(), ids=OWN_LOOPS)
def test_classifiers_with_a_loop_of_their_own_move_their_data_once(train):
    rng = np.random.default_rng(0)
    X, y = rng.uniform(size=(12, 96)).astype(np.float32), rng.integers(0, 3, 12)
    with use_backend("njit"):
        expected, expected_params = train(X, y)
    before = fastnn.transfers()
    history, params = train(X, y)
    moved = fastnn.transfers().to_device - before.to_device
    np.testing.assert_allclose(history, expected, rtol=1e-5)
    for name, value in params.items():
        np.testing.assert_allclose(value, expected_params[name], rtol=1e-4, atol=1e-6)
    copies = {two_layers: 2, autoencoder: 3}.get(train, 1)  # training and validation data, in float32 and float64
    times = 12 if train is autoencoder else 1  # SciPy works on the parameters in float64
    assert moved < copies * X.nbytes + times * sum(value.nbytes for value in params.values()) + 4000


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interruption_leaves_arrays_of_numpy(error, monkeypatch):
    def broken_off(*_):
        raise error

    monkeypatch.setattr(linear_classifier, "check_loss", broken_off)
    monkeypatch.setattr(two_layer_net, "check_loss", broken_off)
    X, y = np.ones((4, 5), np.float32), np.arange(4) % 2
    classifier, net = Softmax(seed=0), two_layer_net.TwoLayerNet(5, 2, 2, seed=0)
    for train in (lambda: classifier.train(X, y), lambda: net.train(X, y, X, y)):
        with pytest.raises(error):
            train()
    assert not any(map(arrays.is_on_device, (classifier.W, *net.params.values())))


def test_a_classifier_with_a_custom_loss_computes_with_numpy():
    class Squares(Softmax):
        def loss(self, X, y, reg):
            assert type(X) is type(self.W) is np.ndarray
            return float(np.sum(self.W**2)), 2 * self.W

    X, y = np.ones((4, 5), np.float32), np.arange(4) % 2
    history = Squares(seed=0).train(X, y, learning_rate=0.1, num_iters=3)
    assert history[0] > history[1] > history[2]

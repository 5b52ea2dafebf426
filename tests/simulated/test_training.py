"""Training on the simulated GPU: a network of every kind of layer has the losses that it has on the processor."""

import numpy as np
import pytest

from fastnn.classifiers import FullyConnectedNet, Softmax, ThreeLayerConvNet
from fastnn.kernels import use_backend
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


def test_linear_classifiers():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((12, 6)).astype(np.float32), rng.integers(0, 3, 12)
    history = {}
    for backend in ("cuda", "njit"):
        with use_backend(backend):
            np.random.seed(0)
            history[backend] = Softmax().train(X, y, learning_rate=0.1, reg=0.01, num_iters=3, batch_size=4)
    np.testing.assert_allclose(history["cuda"], history["njit"], rtol=1e-5)

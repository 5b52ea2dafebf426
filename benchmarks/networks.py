"""The courses' networks for CIFAR-10: their layers, training settings and target accuracies.

`NETWORKS` are trained by `benchmarks/accuracy.py`; the training steps of `STEPS` are timed: `TARGETED`, which have a
target time, and all of `NETWORKS` that differ in work. Images are (N, 3, 32, 32): the pixels minus the training set's
mean image, divided by 64 unless `raw`.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from fastnn import classifiers, nn
from fastnn.augment import Augment
from fastnn.classifiers import FullyConnectedNet, ThreeLayerConvNet, TwoLayerNet
from fastnn.layers import softmax_loss, svm_loss
from fastnn.schedules import OneCycle

FLIPS = Augment(flip=0.5)
FLIPS_AND_CROPS = Augment(padding=4, flip=0.5)
FLIPS_AND_SMALL_CROPS = Augment(padding=2, flip=0.5)  # for networks too small to need more
SMALL = functools.partial(nn.init.normal, std=1e-3)


@dataclasses.dataclass(frozen=True)
class Network:
    """A network and its training.

    goals: target accuracies on validation and test images; 0: none
    build: function of a generator that returns the model
    training: keyword arguments of Solver, which override those of `solver_arguments`
    raw: pixels of 0 to 255 minus their mean, not divided
    """

    name: str
    goals: tuple[float, float]
    build: Callable[[Any], nn.Sequential]
    training: dict[str, Any]
    raw: bool = False

    def solver_arguments(self) -> dict[str, Any]:
        """Keyword arguments of Solver: by default permuted epochs and a one-cycle schedule."""
        return {"sampling": "epoch", "schedule": OneCycle(), "num_train_samples": 1000, **self.training}


def linear(generator: Any, loss: Callable, reg: float) -> nn.Sequential:
    """One affine layer."""
    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 10, init=SMALL, seed=generator), loss=loss, reg=reg)


def two_layer(generator: Any) -> nn.Sequential:
    return TwoLayerNet(hidden_dim=256, weight_scale=2e-2, reg=1e-3, dtype="float32", seed=generator)


def five_layer(generator: Any) -> nn.Sequential:
    return FullyConnectedNet(
        [256] * 4,
        normalization="batchnorm",
        dropout_keep_ratio=0.9,
        reg=1e-4,
        weight_scale=5e-2,
        generator=generator,
    )


def three_layer_as_in_the_notebook(generator: Any) -> nn.Sequential:
    return ThreeLayerConvNet(weight_scale=1e-3, hidden_dim=500, reg=1e-3, seed=generator)


def three_layer(generator: Any) -> nn.Sequential:
    return ThreeLayerConvNet(num_filters=64, filter_size=5, hidden_dim=256, weight_scale=2e-2, reg=5e-4, seed=generator)


def convolution(inputs: int, filters: int, size: int, generator: Any) -> tuple[nn.Module, ...]:
    """Convolution that keeps the image's size, batch norm, ReLU."""
    layer = nn.Conv2d(inputs, filters, size, padding=size // 2, bias=False, init="kaiming_normal", seed=generator)
    return layer, nn.BatchNorm2d(filters), nn.ReLU()


def three_convolutions(generator: Any) -> nn.Sequential:
    """(conv - batch norm - ReLU - pool) x 3 and an affine layer."""
    layers: list[nn.Module] = []
    for inputs, filters, size in ((3, 16, 5), (16, 32, 3), (32, 64, 3)):
        layers += [*convolution(inputs, filters, size, generator), nn.MaxPool2d(2)]
    affine = nn.Linear(64 * 4 * 4, 10, init="kaiming_normal", seed=generator)
    return nn.Sequential(*layers, nn.Flatten(), affine, reg=5e-4)


def three_convolutions_without_penalty(generator: Any) -> nn.Sequential:
    model = three_convolutions(generator)
    model.reg = 0.0
    return model


def residual(generator: Any) -> nn.Sequential:
    return classifiers.ResNet(reg=5e-4, label_smoothing=0.1, seed=generator)


def nesterov(learning_rate: float) -> dict[str, Any]:
    return {"update_rule": "nesterov", "optim_config": {"learning_rate": learning_rate}}


AS_IN_THE_NOTEBOOK: dict[str, Any] = {
    "update_rule": "adam",
    "optim_config": {"learning_rate": 1e-3},
    "batch_size": 50,
    "num_epochs": 1,
    "sampling": "with_replacement",
    "schedule": None,
}

NETWORKS: tuple[Network, ...] = (
    Network(
        "softmax", (0.42, 0.405), functools.partial(linear, loss=softmax_loss, reg=1e-2),
        {**nesterov(1e-2), "batch_size": 256, "num_epochs": 10, "transform": FLIPS},
    ),
    Network(
        "linear SVM", (0.40, 0.395), functools.partial(linear, loss=svm_loss, reg=3e-2),
        {**nesterov(3e-4), "batch_size": 256, "num_epochs": 10, "transform": FLIPS},
    ),
    Network(
        "two-layer, 256 hidden", (0.56, 0.565), two_layer,
        {**nesterov(5e-2), "batch_size": 128, "num_epochs": 15, "transform": FLIPS},
    ),
    Network(
        "five-layer, 256 wide, batch norm, dropout", (0.575, 0.575), five_layer,
        {**nesterov(5e-2), "batch_size": 128, "num_epochs": 15, "transform": FLIPS},
    ),
    Network(
        "three-layer convnet, the notebook's epoch", (0.49, 0.0), three_layer_as_in_the_notebook, AS_IN_THE_NOTEBOOK
    ),
    Network(  # on such pixels Adam's steps are too large for the filters: accuracies vary by 0.1 between seeds
        "the same, pixels undivided as there", (0.0, 0.0), three_layer_as_in_the_notebook, AS_IN_THE_NOTEBOOK, raw=True
    ),
    Network(
        "three-layer convnet, 64 filters 5x5, 256 hidden", (0.70, 0.715), three_layer,
        {**nesterov(2e-2), "batch_size": 100, "num_epochs": 10, "transform": FLIPS_AND_CROPS},
    ),
    Network(
        "(conv-bn-relu-pool) x 3, affine", (0.775, 0.785), three_convolutions,
        {**nesterov(5e-2), "batch_size": 64, "num_epochs": 10, "transform": FLIPS_AND_SMALL_CROPS},
    ),
    Network(
        "residual, 8 convolutions", (0.84, 0.0), residual,
        {**nesterov(1e-1), "batch_size": 128, "num_epochs": 10, "transform": FLIPS_AND_CROPS},
    ),
)  # fmt: skip


def adam(learning_rate: float) -> dict[str, Any]:
    return {"update_rule": "adam", "optim_config": {"learning_rate": learning_rate}}


def as_in_the_course(training: dict[str, Any], batch_size: int) -> dict[str, Any]:
    """Add the course's sampling with replacement and constant learning rate to training settings."""
    return {**training, "batch_size": batch_size, "sampling": "with_replacement", "schedule": None}


TARGETED: tuple[Network, ...] = (
    Network(
        "two-layer, 3072-100-10", (0.0, 0.0), lambda generator: TwoLayerNet(dtype="float32", seed=generator),
        as_in_the_course({"update_rule": "sgd", "optim_config": {"learning_rate": 1e-3}}, 100),
    ),
    Network(
        "five-layer, 200 wide", (0.0, 0.0), lambda generator: FullyConnectedNet([200] * 4, generator=generator),
        as_in_the_course(adam(1e-3), 256),
    ),
    Network(
        "conv 32 7x7 - pool - 500 - 10", (0.0, 0.0),
        lambda generator: ThreeLayerConvNet(hidden_dim=500, seed=generator),
        as_in_the_course(adam(1e-3), 50),
    ),
    Network(
        "conv 64 3x3 - pool - 500 - 10", (0.0, 0.0),
        lambda generator: ThreeLayerConvNet(num_filters=64, filter_size=3, hidden_dim=500, seed=generator),
        as_in_the_course(adam(1e-3), 500),
    ),
    Network(
        "(conv-bn-relu-pool) x 3, no penalty", (0.0, 0.0), three_convolutions_without_penalty,
        as_in_the_course(nesterov(5e-2), 64),
    ),
)  # fmt: skip

STEPS: tuple[Network, ...] = TARGETED + tuple(network for network in NETWORKS if not network.raw)

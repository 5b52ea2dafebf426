"""What to call once so that every kernel of layers, classifiers and Solver is compiled, and kept where it can be.

A kernel is compiled for each combination of the types of its arguments: dtypes, numbers of axes, layouts. Nobody knows
these better than the layers themselves; so they are called, on a few numbers each. What is rare is left out: pooling
windows of 255 places and more, whose index has another dtype.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastnn import arguments, layer_utils, layers, optim
from fastnn.augment import Augment
from fastnn.classifiers import LinearSVM, Softmax
from fastnn.classifiers.cnn import ThreeLayerConvNet
from fastnn.classifiers.fc_net import FullyConnectedNet, TwoLayerNet
from fastnn.kernels import calls
from fastnn.solver import Solver


@calls.checked
def steps(dtype: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Pairs of a name and a function that calls some operations on the active backend; dtype: float32 or float64."""
    dtype = arguments.dtype("steps", dtype)
    images, rows = np.ones((2, 4, 6, 6), dtype), np.ones((64, 4), dtype)
    filters, matrix, ones = np.ones((4, 4, 3, 3), dtype), np.ones((4, 4), dtype), np.ones(4, dtype)
    convolution, pooling = {"stride": 1, "pad": 1}, {"pool_height": 2, "pool_width": 2, "stride": 2}
    modes = {"mode": "train"}, {"mode": "test"}
    pad = {**pooling, "pad": 1}
    labels = np.zeros(len(rows), np.int64)
    groups: dict[str, dict[str, list[tuple]]] = {
        "convolution": {"conv": [(images, filters, ones, convolution)]},
        "pooling": {
            "max_pool": [(images, pooling), (images, pad)],
            "avg_pool": [(images, pooling)],
            "global_avg_pool": [(images,)],
        },
        "affine": {"affine": [(rows, matrix, ones)]},
        "activations": {
            **{name: [(rows,)] for name in ("relu", "leaky_relu", "elu", "sigmoid", "tanh", "gelu")},
            "prelu": [(rows, ones)],
            "maxout": [(rows, 2)],
        },
        "normalisation": {
            "batchnorm": [(rows, ones, ones, dict(mode)) for mode in modes],
            "spatial_batchnorm": [(images, ones, ones, dict(mode)) for mode in modes],
            "layernorm": [(rows, ones, ones, {})],
            "spatial_groupnorm": [(images, *[ones.reshape(1, 4, 1, 1)] * 2, 2, {})],
        },
        "dropout": {"dropout": [(rows, {"mode": "train", "p": 0.5, "seed": 0})]},
        "affine and what follows": {
            "affine_relu": [(rows, matrix, ones)],
            "affine_bn_relu": [(rows, matrix, *[ones] * 3, dict(mode)) for mode in modes],
            "affine_ln_relu": [(rows, matrix, *[ones] * 3, {})],
        },
        "convolution and what follows": {
            "conv_relu": [(images, filters, ones, convolution)],
            "conv_relu_pool": [(images, filters, ones, convolution, pooling)],
            "conv_bn_relu": [(images, filters, *[ones] * 3, convolution, dict(mode)) for mode in modes],
            "conv_bn_relu_pool": [(images, filters, *[ones] * 3, convolution, dict(mode), pooling) for mode in modes],
        },
    }
    for name, layer_calls in groups.items():
        yield name, functools.partial(_run_layers, layer_calls)
    yield "losses", functools.partial(_run_losses, rows, labels)
    yield "augmentation", lambda: Augment(padding=1, flip=0.5, cutout=2)(images, 0)
    yield "updates", functools.partial(_run_updates, rows, labels)
    yield "networks", functools.partial(_run_networks, images, labels[: len(images)])


def _run_layers(calls: dict[str, list[tuple]]) -> None:
    for name, arguments_of_all in calls.items():
        for given in arguments_of_all:
            out, cache = getattr(layer_utils, f"{name}_forward")(*given)
            getattr(layer_utils, f"{name}_backward")(out, cache)
            if name == "batchnorm":
                layers.batchnorm_backward_alt(out, cache)


def _run_losses(scores: np.ndarray, labels: np.ndarray) -> None:
    layers.softmax_loss(scores, labels)
    layers.svm_loss(scores, labels)
    layers.mse_loss(scores, scores)
    for classifier in (LinearSVM(), Softmax()):
        classifier.W = np.ones((scores.shape[1], 4), scores.dtype)
        classifier.loss(scores, labels, 0.1)


def _run_updates(x: np.ndarray, y: np.ndarray) -> None:
    for rule in optim.RULES:
        model = TwoLayerNet(x.shape[1], 4, 4, reg=0.1, dtype=x.dtype, seed=0)
        _train(model, x, y, rule)
        optim.RULES[rule](x, x)
    optim.clip_by_norm({"x": x}, 1.0)


def _run_networks(x: np.ndarray, y: np.ndarray) -> None:
    for batchnorm in (False, True):
        options: dict[str, Any] = {"num_filters": 4, "filter_size": 3, "hidden_dim": 4, "dtype": x.dtype, "seed": 0}
        _train(ThreeLayerConvNet(x.shape[1:], reg=0.1, use_batchnorm=batchnorm, **options), x, y, "adam")
    for kind in (None, "batchnorm", "layernorm"):
        _train(FullyConnectedNet([4], x[0].size, 10, 0.5, kind, 0.1, dtype=x.dtype, generator=0), x, y, "sgd")


def _train(model: Any, x: np.ndarray, y: np.ndarray, rule: str) -> None:
    data = {"X_train": x, "y_train": y, "X_val": x, "y_val": y}
    Solver(model, data, update_rule=rule, batch_size=len(x), num_epochs=1, verbose=False, seed=0).train()

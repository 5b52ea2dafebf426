"""Calls that compile every kernel and fill the cache on disk.

A kernel is compiled for each combination of the types of its arguments: dtypes, numbers of axes, layouts. The warm-up
calls, on small arrays, the benchmark cases and the first cases of the comparison with the naive loops, then trains
small models. Rare types are left out: pooling windows of 255 and more elements, whose index has another dtype.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastnn import arguments, optim
from fastnn.augment import Augment
from fastnn.benchmarking import cases as benchmarks
from fastnn.classifiers import LinearSVM, Softmax
from fastnn.classifiers.cnn import ThreeLayerConvNet
from fastnn.classifiers.fc_net import FullyConnectedNet, TwoLayerNet
from fastnn.data_utils.rows import rows as rows_of
from fastnn.kernels import OPERATIONS
from fastnn.kernels.dispatch import signatures
from fastnn.solver import Solver
from fastnn.testing.conformance import cases
from fastnn.testing.conformance.specs import FUNCTIONS

_CASES = 8  # of each function: edge cases such as empty batches and other layouts


@signatures.checked
def steps(dtype: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Pairs of a name and a function that calls some operations on the active backend.

    dtype: float32 or float64
    """
    dtype = arguments.dtype("steps", dtype)
    for operation in OPERATIONS:
        yield operation, functools.partial(_run_operation, operation, dtype)
    images, rows = np.ones((2, 4, 6, 6), dtype), np.ones((64, 4), dtype)
    labels = np.zeros(len(rows), np.int64)
    yield "classifiers", functools.partial(_run_classifiers, rows, labels)
    yield "update rules", functools.partial(_run_updates, rows, labels)
    yield "batches", functools.partial(rows_of, np.ones((2, 1 << 16), dtype), np.zeros(2, np.int64))
    yield "networks", functools.partial(_run_networks, images, labels[: len(images)])


def _run_operation(operation: str, dtype: np.dtype) -> None:
    for case in benchmarks.select([operation]):
        tiny = case.tiny()
        for call in tiny.calls(tiny.inputs(dtype)).values():
            call()
    for function in FUNCTIONS.values():
        if function.operation == operation:
            for checked in cases.drawn(function, dtype.name, {}, 0, _CASES):
                cases.outcome(function, function.public, checked.fresh())
    if operation == "augment":
        Augment(padding=1, flip=0.5, cutout=2)(np.ones((2, 3, 6, 6), np.uint8), 0)


def _run_classifiers(scores: np.ndarray, labels: np.ndarray) -> None:
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

"""Assignment 2: linear classifiers. Losses have the penalty reg * sum(W * W)."""

import math
import os
from collections.abc import Callable, Mapping
from typing import Any

import torch

from fastnn.classifiers import linear_classifier
from fastnn.classifiers.linear_classifier import (
    predict_linear_classifier,
    softmax_loss_vectorized,
    svm_loss_vectorized,
)
from fastnn.output.streams import say

from . import divergence
from .adapters import on_the_host
from .random_state import reset_seed

__all__ = [
    "LinearClassifier",
    "LinearSVM",
    "Softmax",
    "hello_linear_classifier",
    "predict_linear_classifier",
    "sample_batch",
    "softmax_get_search_params",
    "softmax_loss_naive",
    "softmax_loss_vectorized",
    "svm_get_search_params",
    "svm_loss_naive",
    "svm_loss_vectorized",
    "test_one_param_set",
    "train_linear_classifier",
]


softmax_loss_naive = on_the_host(linear_classifier.softmax_loss_naive)
svm_loss_naive = on_the_host(linear_classifier.svm_loss_naive)


def hello_linear_classifier() -> None:
    """Print a line, to show that the module can be imported."""
    print("Hello from linear_classifier.py!")


def sample_batch(
    X: torch.Tensor, y: torch.Tensor, num_train: int, batch_size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw a batch from the first `num_train` images, with replacement, from torch's random state."""
    indices = torch.randint(num_train, (batch_size,))
    return X[indices], y[indices]


def train_linear_classifier(
    loss_func: Callable,
    W: torch.Tensor | None,
    X: torch.Tensor,
    y: torch.Tensor,
    learning_rate: float = 1e-3,
    reg: float = 1e-5,
    num_iters: int = 100,
    batch_size: int = 200,
    verbose: bool = False,
) -> tuple[torch.Tensor, list[float]]:
    """Train weights W (D, K) in place by stochastic gradient descent.

    loss_func: function (W, X, y, reg) -> (loss, dW), such as `svm_loss_vectorized`
    W: initial weights; None: 1e-6 times standard normal numbers, with K the largest label plus 1
    verbose: print the loss of every 100th iteration
    Returns the weights and the loss of each iteration. If a loss is not finite, training stops with a RuntimeWarning,
    and the weights are those of the lowest loss of every 100th iteration.
    """
    if W is None:
        W = 1e-6 * torch.randn(X.shape[1], int(y.max()) + 1, dtype=X.dtype, device=X.device)
    losses: list[float] = []
    best, lowest = W.clone(), math.inf
    for iteration in range(num_iters):
        loss, dW = loss_func(W, *sample_batch(X, y, len(X), batch_size), reg)
        losses.append(float(loss))
        if divergence.stopped("train_linear_classifier", losses[-1], iteration, learning_rate):
            W.copy_(best)
            break
        if iteration % 100 == 0 and losses[-1] < lowest:
            best, lowest = W.clone(), losses[-1]
        W.add_(dW, alpha=-learning_rate)
        if verbose and iteration % 100 == 0:
            say(f"iteration {iteration} / {num_iters}: loss {losses[-1]:f}")
    return W, losses


class LinearClassifier:
    """Base class of LinearSVM and Softmax, which define `loss(W, X, y, reg)`; creating one resets the seeds to 0.

    W: the weights (D, K); None before training
    """

    loss: Callable

    def __init__(self) -> None:
        reset_seed(0)
        self.W: torch.Tensor | None = None

    def train(self, X_train: torch.Tensor, y_train: torch.Tensor, *settings: Any, **keywords: Any) -> list[float]:
        """Train W, starting from its current value. Returns the losses.

        settings, keywords: what follows y in `train_linear_classifier`: learning_rate, reg, num_iters, batch_size,
            verbose
        """
        self.W, losses = train_linear_classifier(self.loss, self.W, X_train, y_train, *settings, **keywords)
        return losses

    def predict(self, X: torch.Tensor) -> torch.Tensor:
        """Return the class with the highest score for each image: X (N, D) -> labels (N,) int64."""
        return predict_linear_classifier(self.W, X)

    def save(self, path: str | os.PathLike) -> None:
        """Write W to a file, with `torch.save`."""
        torch.save({"W": self.W}, path)
        say(f"Saved in {os.fspath(path)}")

    def load(self, path: str | os.PathLike) -> None:
        """Read the W that `save` wrote, to the CPU, without executing anything in the file."""
        self.W = torch.load(path, map_location="cpu", weights_only=True)["W"]


class LinearSVM(LinearClassifier):
    """A linear classifier with the multiclass hinge loss."""

    loss = staticmethod(svm_loss_vectorized)


class Softmax(LinearClassifier):
    """A linear classifier with the cross-entropy of the softmax of its scores."""

    loss = staticmethod(softmax_loss_vectorized)


def test_one_param_set(
    cls: LinearClassifier,
    data_dict: Mapping[str, torch.Tensor],
    lr: float,
    reg: float,
    num_iters: int = 2000,  # noqa: PT028
) -> tuple[LinearClassifier, float, float]:
    """Train a classifier. Returns it and its accuracies on X_train and X_val, in percent."""
    cls.train(data_dict["X_train"], data_dict["y_train"], lr, reg, num_iters)
    train_acc, val_acc = (
        100.0 * (cls.predict(data_dict[f"X_{part}"]) == data_dict[f"y_{part}"]).double().mean().item()
        for part in ("train", "val")
    )
    return cls, train_acc, val_acc


test_one_param_set.__test__ = False  # type: ignore[attr-defined]  # pytest: not a test


def svm_get_search_params() -> tuple[list[float], list[float]]:
    """Return learning rates and penalties to try for the SVM."""
    return [1e-3, 3e-3, 1e-2], [1e-3, 1e-2]


def softmax_get_search_params() -> tuple[list[float], list[float]]:
    """Return learning rates and penalties to try for the softmax classifier."""
    return [1e-2, 2e-2, 5e-2], [1e-4, 1e-3]

"""The classes of ECE C147/C247, UCLA: weights have one row for each output, and methods have other names."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.classifiers import linear_svm, softmax, two_layer_net
from fastnn.classifiers.k_nearest_neighbor import KNearestNeighbor
from fastnn.classifiers.linear_classifier import train_linear_classifier
from fastnn.gradient_check import grad_check_sparse
from fastnn.kernels import to_numpy
from fastnn.output.streams import say

__all__ = ["KNN", "SVM", "Softmax", "TwoLayerNet"]


class KNN(KNearestNeighbor):
    """k nearest neighbours."""

    def compute_distances(self, X: np.ndarray, norm: Callable | None = None) -> np.ndarray:
        """The distances of X (N, D) to the training images (M, D): norm(difference) for each pair, (N, M).

        norm: a function of a vector; None: the Euclidean norm
        """
        if norm is None:
            return self.compute_distances_two_loops(X)
        return np.array([[norm(image - other) for other in self._trained("KNN.compute_distances")] for image in X])

    def compute_L2_distances_vectorized(self, X: np.ndarray) -> np.ndarray:
        """The Euclidean distances of X (N, D) to the training images (M, D): (N, M)."""
        return self.compute_distances_no_loops(X)


class _Linear:
    """A linear classifier without a penalty; its weights W are (K, D)."""

    _naive: Callable
    _vectorized: Callable

    def __init__(self, dims: Any = (10, 3073)) -> None:
        self.init_weights(dims)

    def init_weights(self, dims: Any) -> None:
        """Draw weights of shape `dims`, (K, D), from NumPy's global state."""
        self.W = np.random.normal(size=dims) * 0.0001

    def loss(self, X: np.ndarray, y: np.ndarray) -> float:
        """The loss of X (N, D) with labels y (N,), by loops."""
        return type(self)._naive(np.ascontiguousarray(self.W.T), X, y, 0.0)[0]

    def loss_and_grad(self, X: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
        """The loss and its gradient (K, D), by loops."""
        loss, dW = type(self)._naive(np.ascontiguousarray(self.W.T), X, y, 0.0)
        return loss, dW.T

    def fast_loss_and_grad(self, X: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
        """The loss and its gradient (K, D)."""
        loss, dW = type(self)._vectorized(np.ascontiguousarray(self.W.T), X, y, 0.0)
        return loss, dW.T

    def grad_check_sparse(
        self, X: np.ndarray, y: np.ndarray, your_grad: np.ndarray, num_checks: int = 10, h: float = 1e-5
    ) -> None:
        """Compare a gradient (K, D) with the slope of the loss at random positions, and print both."""
        grad_check_sparse(lambda _: self.fast_loss_and_grad(X, y)[0], self.W, your_grad, num_checks, h)

    def train(
        self,
        X: np.ndarray,
        y: np.ndarray,
        learning_rate: float = 1e-3,
        num_iters: int = 100,
        batch_size: int = 200,
        verbose: bool = False,
    ) -> list[float]:
        """Train from new weights by gradient descent; return the loss of each iteration."""
        self.init_weights((int(np.max(y)) + 1, X.shape[1]))
        loss_func = type(self)._vectorized
        W, history = train_linear_classifier(
            _printing(loss_func, num_iters) if verbose else loss_func,
            np.ascontiguousarray(self.W.T), X, y, learning_rate, 0.0, num_iters, batch_size,
        )  # fmt: skip
        self.W = np.ascontiguousarray(W.T)
        return history

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The class with the highest score for each image of X (N, D)."""
        return np.argmax(X.dot(self.W.T), axis=1)


class SVM(_Linear):
    """A linear classifier with the multiclass hinge loss."""

    _naive, _vectorized = linear_svm.svm_loss_naive, linear_svm.svm_loss_vectorized


class Softmax(_Linear):
    """A linear classifier with the softmax loss."""

    _naive, _vectorized = softmax.softmax_loss_naive, softmax.softmax_loss_vectorized


class TwoLayerNet:
    """affine - ReLU - affine - softmax in float64; W1 is (H, D), W2 (K, H).

    The penalty is 0.5 * reg * (sum(W1 * W1) + sum(W2 * W2)).
    """

    def __init__(self, input_size: int, hidden_size: int, output_size: int, std: float = 1e-4) -> None:
        self.params = {
            "W1": std * np.random.randn(hidden_size, input_size),
            "b1": np.zeros(hidden_size),
            "W2": std * np.random.randn(output_size, hidden_size),
            "b2": np.zeros(output_size),
        }

    def loss(self, X: np.ndarray, y: Any = None, reg: float = 0.0) -> Any:
        """Return the scores (N, K), or (loss, gradients) if labels y are given."""
        found = two_layer_net.nn_forward_backward(_transposed(self.params), X, y, 0.5 * reg)
        return found if y is None else (found[0], _transposed(found[1]))

    def train(
        self,
        X: np.ndarray,
        y: np.ndarray,
        X_val: np.ndarray,
        y_val: np.ndarray,
        learning_rate: float = 1e-3,
        learning_rate_decay: float = 0.95,
        reg: float = 1e-5,
        num_iters: int = 100,
        batch_size: int = 200,
        verbose: bool = False,
    ) -> dict[str, list[float]]:
        """Train by gradient descent; return loss_history, train_acc_history and val_acc_history."""
        params, loss_func = _transposed(self.params), two_layer_net.nn_forward_backward
        try:
            return two_layer_net.nn_train(
                params, _printing(loss_func, num_iters) if verbose else loss_func, two_layer_net.nn_predict,
                X, y, X_val, y_val, learning_rate, learning_rate_decay, 0.5 * reg, num_iters, batch_size,
            )  # fmt: skip
        finally:
            self.params = _transposed(params)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The class with the highest score for each image of X (N, D)."""
        return np.argmax(self.loss(X), axis=1)


def _printing(loss_func: Callable, num_iters: int) -> Callable:
    """Return loss_func, which also prints every 100th loss of a training, with all digits as in the course."""
    iterations = itertools.count()

    def called(*arguments: Any, **keywords: Any) -> Any:
        found = loss_func(*arguments, **keywords)
        if isinstance(found, tuple) and (iteration := next(iterations)) % 100 == 0:
            say(f"iteration {iteration} / {num_iters}: loss {float(to_numpy(found[0]))}")
        return found

    return called


def _transposed(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.ascontiguousarray(value.T) if value.ndim == 2 else value for name, value in arrays.items()}

"""A two-layer net with softmax loss, as functions and as a class: scores = max(0, X @ W1 + b1) @ W2 + b2.

`params` is a dict of W1 (D, H), b1 (H,), W2 (H, K), b2 (K,). Images X (N, D) or (N, d1, ...) of any real dtype are
flattened to rows and converted to the dtype of W1. The penalty is reg * (sum(W1*W1) + sum(W2*W2)), without the factor
1/2 of `fc_net`.
"""

import contextlib
import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn import arguments, optim, rng
from fastnn.devices import is_ours, params_on_device, place
from fastnn.kernels import l2
from fastnn.kernels.dispatch import arrays, signatures, validation
from fastnn.layer_utils import affine_relu_backward, affine_relu_forward
from fastnn.layers import affine_backward, affine_forward, softmax_loss
from fastnn.nn import weights_io
from fastnn.nn.named_arrays import all_fitting
from fastnn.output.streams import say
from fastnn.training import evaluation, nonfinite, sampling
from fastnn.training.sampling import labelled, rows

from .linear_classifier import check_loss, sample_batch

__all__ = ["TwoLayerNet", "nn_forward_backward", "nn_forward_pass", "nn_predict", "nn_train"]

_NAMES = ("W1", "b1", "W2", "b2")


@signatures.checked
def nn_forward_pass(params: dict[str, np.ndarray], X: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores (N, K) and the hidden activations (N, H) after the ReLU.

    params: W1 (D, H), b1 (H,), W2 (H, K), b2 (K,)
    X (N, D): images, also (N, d1, ...)
    """
    scores, hidden, _ = _forward("nn_forward_pass", params, X)
    return scores, hidden


@signatures.checked
def nn_forward_backward(params: dict[str, np.ndarray], X: Any, y: Any = None, reg: float = 0.0) -> Any:
    """Return the scores (N, K) if y is None, else the loss with its penalty and a dict of its gradients.

    params: W1 (D, H), b1 (H,), W2 (H, K), b2 (K,)
    X (N, D): images, also (N, d1, ...)
    y (N,): labels, integers from 0 to K - 1
    reg: strength of the penalty, at least 0
    """
    function = "nn_forward_backward"
    scores, hidden, cache = _forward(function, params, X)
    if y is None:
        return scores
    reg = validation.number(function, "reg", reg, minimum=0)
    loss, dscores = softmax_loss(scores, y)
    dhidden, dW2, db2 = affine_backward(dscores, (hidden, params["W2"], params["b2"]))
    _, dW1, db1 = affine_relu_backward(dhidden, cache, need_dx=False)
    if reg:
        loss = loss + l2.weight_penalty([params["W1"], params["W2"]], [dW1, dW2], 2 * reg)
    return loss, {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2}


@signatures.checked
def nn_train(
    params: dict[str, np.ndarray],
    loss_func: Callable,
    pred_func: Callable,
    X: Any,
    y: Any,
    X_val: Any,
    y_val: Any,
    learning_rate: float = 1e-3,
    learning_rate_decay: float = 0.95,
    reg: float = 5e-6,
    num_iters: int = 100,
    batch_size: int = 200,
    verbose: bool = False,
    *,
    seed: Any = None,
    on_nonfinite: str = "warn",
) -> dict[str, list[float]]:
    """Train `params` in place by stochastic gradient descent on batches drawn with replacement.

    params: W1 (D, H), b1 (H,), W2 (H, K), b2 (K,)
    loss_func: function (params, X, y, reg) -> (loss, grads), such as `nn_forward_backward`
    pred_func: function (params, loss_func, X) -> labels, such as `nn_predict`
    X, y, X_val, y_val: images and labels for training and validation
    learning_rate: step of gradient descent, at least 0
    learning_rate_decay: factor for the learning rate after each epoch of max(N // batch_size, 1) iterations
    reg: strength of the penalty, at least 0
    num_iters, batch_size: number of iterations, and of images in each
    verbose: print the loss of every 100th iteration
    seed: source of random numbers for the batches (see `fastnn.rng`)
    on_nonfinite: what happens if a loss, or a score in an evaluation, is not finite. "warn": training ends with a
        RuntimeWarning, and with the parameters of the best val_acc, or those it began with, whose accuracies are
        appended if there are none; loss_history ends with that loss, or with NaN if it was finite. "raise":
        FloatingPointError
    Returns a dict with loss_history, the loss of each iteration, train_acc_history (of the batch) and val_acc_history.
    As in the course, accuracies are computed and the rate decays after the first iteration of each epoch.
    Raises ValueError for invalid arguments.
    """
    function, generator = "nn_train", rng.generator(seed)
    W1, _, W2, _ = _weights(function, params)
    arguments.function(function, "loss_func", loss_func)
    arguments.function(function, "pred_func", pred_func)
    X, y = labelled(function, X=X, y=y)
    X_val, y_val = labelled(function, X_val=X_val, y_val=y_val)
    for name, images, labels in (("", X, y), ("_val", X_val, y_val)):
        _check_images(function, f"X{name}", images, W1)
        validation.labels(function, f"y{name}", labels, len(images), W2.shape[1])
    count, verbose = len(X), validation.flag(function, "verbose", verbose)
    reg = validation.number(function, "reg", reg, minimum=0)
    learning_rate = validation.number(function, "learning_rate", learning_rate, minimum=0)
    learning_rate_decay = validation.number(function, "learning_rate_decay", learning_rate_decay, above=0)
    num_iters = validation.integer(function, "num_iters", num_iters, minimum=0)
    batch_size = arguments.length(function, "batch_size", batch_size)
    iterations_per_epoch, raises = max(count // batch_size, 1), nonfinite.raises(function, on_nonfinite)
    stats: dict[str, list[float]] = {"loss_history": [], "train_acc_history": [], "val_acc_history": []}
    with contextlib.ExitStack() as stack:
        if is_ours(loss_func) and is_ours(pred_func):
            stack.enter_context(params_on_device(params))
            X, y, X_val = place(X), place(y), place(X_val)

        def evaluate() -> None:
            accuracies = [
                float(np.mean(pred_func(params, loss_func, X_part) == np.asarray(arrays.to_numpy(y_part))))
                for X_part, y_part in ((images, labels), (X_val, y_val))
            ]
            for history, accuracy in zip(histories, accuracies, strict=True):
                history.append(accuracy)

        losses, *histories = stats.values()
        best, best_acc, message = _copies(params), -1.0, ""
        try:
            for iteration in range(num_iters):
                images, labels = sample_batch(X, y, count, batch_size, seed=generator)
                loss, grads = loss_func(params, images, y=labels, reg=reg)
                losses.append(float(arrays.to_numpy(loss)))
                check_loss(function, losses[-1], iteration, learning_rate)
                with np.errstate(over="ignore", invalid="ignore"):  # the next loss is checked
                    optim.update(optim.sgd, params, grads, {name: {"learning_rate": learning_rate} for name in params})
                if verbose and iteration % 100 == 0:
                    say(f"iteration {iteration} / {num_iters}: loss {losses[-1]:f}")
                if iteration % iterations_per_epoch == 0:
                    evaluate()
                    if stats["val_acc_history"][-1] > best_acc:
                        best, best_acc = _copies(params), stats["val_acc_history"][-1]
                    learning_rate *= learning_rate_decay
        except FloatingPointError as error:
            if raises:
                raise
            message = str(error)
            if not losses or math.isfinite(losses[-1]):
                losses.append(math.nan)
                message += f" (after iteration {iteration} with learning_rate={learning_rate:g})"
            params.update({name: arrays.overwrite(params[name], value) for name, value in best.items()})
            if not stats["val_acc_history"]:
                try:
                    evaluate()
                except FloatingPointError:
                    for history in histories:
                        history.append(math.nan)
    if message:
        nonfinite.warn(message)
    return stats


@signatures.checked
def nn_predict(params: dict[str, np.ndarray], loss_func: Callable, X: Any) -> np.ndarray:
    """Return the class with the highest score for each image: labels (N,) int64.

    params: W1 (D, H), b1 (H,), W2 (H, K), b2 (K,)
    loss_func: function (params, X) -> scores (N, K), such as `nn_forward_backward`
    X (N, D): images, also (N, d1, ...)
    Raises FloatingPointError if the highest score of an image is NaN or infinite.
    """
    function = "nn_predict"
    W1 = _weights(function, params)[0]
    arguments.function(function, "loss_func", loss_func)
    X = sampling.array_or_file(function, "X", X)
    X = arguments.real(function, "X", X) if not hasattr(X, "dtype") else X
    _check_images(function, "X", X, W1)
    predicted = np.empty(len(X), np.int64)
    for start in range(0, len(X), evaluation.BLOCK):
        block = slice(start, min(start + evaluation.BLOCK, len(X)))
        images = rows(X, block)
        with np.errstate(over="ignore", invalid="ignore"):  # the scores are checked below
            scores = loss_func(params, images)
        predicted[block] = evaluation.predicted(function, scores, images, range(len(X))[block])
    return predicted


class TwoLayerNet:
    """Affine - ReLU - affine - softmax with its own training loop; `params` contains W1, b1, W2, b2.

    input_size, hidden_size, output_size: D, H, K
    dtype: of the parameters; a dtype of torch makes them tensors
    std: standard deviation of the initial weights; biases are initially 0
    seed: source of random numbers for weights and batches (see `fastnn.rng`)
    """

    _become_tensors = ("params",)  # see `fastnn.kernels.dispatch.tensors`

    @signatures.checked
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        dtype: Any = np.float32,
        std: float = 1e-4,
        *,
        seed: Any = None,
    ) -> None:
        D, H, K = (
            validation.integer("TwoLayerNet", name, size, minimum=1)
            for name, size in (("input_size", input_size), ("hidden_size", hidden_size), ("output_size", output_size))
        )
        validation.fits("TwoLayerNet", "hidden_size", hidden_size, H * max(D, K))
        std = validation.number("TwoLayerNet", "std", std, minimum=0)
        dtype = arguments.dtype("TwoLayerNet", dtype)
        self._generator = rng.generator(seed)
        self.params: dict[str, np.ndarray] = {}
        self.params["W1"] = (std * self._generator.standard_normal((D, H))).astype(dtype)
        self.params["b1"] = np.zeros(H, dtype)
        self.params["W2"] = (std * self._generator.standard_normal((H, K))).astype(dtype)
        self.params["b2"] = np.zeros(K, dtype)

    @signatures.checked
    def loss(self, X: Any, y: Any = None, reg: float = 0.0) -> Any:
        """`nn_forward_backward` with these parameters: returns scores, or (loss, grads)."""
        return nn_forward_backward(self.params, X, y, reg)

    @signatures.checked
    def train(
        self,
        X: Any,
        y: Any,
        X_val: Any,
        y_val: Any,
        learning_rate: float = 1e-3,
        learning_rate_decay: float = 0.95,
        reg: float = 5e-6,
        num_iters: int = 100,
        batch_size: int = 200,
        verbose: bool = False,
        *,
        on_nonfinite: str = "warn",
    ) -> dict[str, list[float]]:
        """Train by `nn_train` with these parameters. Returns loss_history, train_acc_history, val_acc_history."""
        return nn_train(
            self.params, nn_forward_backward, nn_predict, X, y, X_val, y_val,
            learning_rate, learning_rate_decay, reg, num_iters, batch_size, verbose, seed=self._generator,
            on_nonfinite=on_nonfinite,
        )  # fmt: skip

    @signatures.checked
    def predict(self, X: Any) -> np.ndarray:
        """Return the class with the highest score for each image X (N, D): labels (N,) int64."""
        return nn_predict(self.params, nn_forward_backward, X)

    @signatures.checked
    def save(self, name: str | os.PathLike) -> None:
        """Write the parameters to a file, as data only, and print its name.

        name: path that ends in .h5 or .hdf5 for HDF5, in .safetensors for safetensors, else npz
        """
        weights_io.save(name, self.params)
        say(f"Saved in {os.fspath(name)}")

    @signatures.checked
    def load(self, name: str | os.PathLike) -> None:
        """Read the parameters that `save` wrote, without executing anything in the file.

        name: path, as of `save`
        Raises ValueError if names or shapes differ from those of this net, or the file has another format.
        """
        self.params = _loaded(self.params, weights_io.load(name)[0])


@signatures.checked
def _loaded(params: dict[str, np.ndarray], values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Copies of the values for these parameters; tensors for tensors."""
    return all_fitting("TwoLayerNet.load", "params", params, values)


def _copies(params: dict[str, Any]) -> dict[str, Any]:
    return {name: arrays.copy(value) for name, value in zip(_NAMES, _weights("nn_train", params), strict=True)}


def _forward(function: str, params: dict[str, np.ndarray], X: Any) -> tuple[np.ndarray, np.ndarray, Any]:
    """Return scores, hidden activations, and the cache of the first layer."""
    W1, b1, W2, b2 = _weights(function, params)
    X = arguments.real(function, "X", X, W1.dtype)
    _check_images(function, "X", X, W1)
    hidden, cache = affine_relu_forward(X, W1, b1)
    return affine_forward(hidden, W2, b2)[0], hidden, cache


def _check_images(function: str, name: str, X: Any, W1: np.ndarray) -> None:
    """Check that X is (N, D) or (N, d1, ...), with as many numbers in an image as W1 has rows."""
    if not X.shape or math.prod(X.shape[1:]) != len(W1):
        raise ValueError(
            f"{function}: {name}.shape = {X.shape} does not fit W1.shape = {W1.shape}; expected (N, {len(W1)}); pass "
            f"images of the size that the net was made for"
        )


def _weights(function: str, params: Any) -> tuple[np.ndarray, ...]:
    """Check that W1, b1, W2, b2 are arrays of consistent shapes, and return them."""
    given = validation.keys(function, "params", params, required=_NAMES)
    patterns = {"W1": "D H", "b1": "H", "W2": "H K", "b2": "K"}
    return validation.floats(function, **{name: (given[name], pattern) for name, pattern in patterns.items()})

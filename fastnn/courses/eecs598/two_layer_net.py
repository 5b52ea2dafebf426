"""Assignment 2: a two-layer net as functions of a dict W1 (D, H), b1 (H,), W2 (H, K), b2 (K,), and as a class."""

import itertools
import os
from collections.abc import Callable, Mapping
from typing import Any

import torch

from fastnn.classifiers.two_layer_net import nn_forward_backward, nn_forward_pass
from fastnn.output.streams import say

from . import divergence
from .devices import usable
from .linear_classifier import sample_batch
from .random_state import reset_seed

__all__ = [
    "TwoLayerNet",
    "find_best_net",
    "hello_two_layer_net",
    "nn_forward_backward",
    "nn_forward_pass",
    "nn_get_search_params",
    "nn_predict",
    "nn_train",
]

Params = dict[str, torch.Tensor]


def hello_two_layer_net() -> None:
    """Print a line, to show that the module can be imported."""
    print("Hello from two_layer_net.py!")


def nn_train(
    params: Params,
    loss_func: Callable,
    pred_func: Callable,
    X: torch.Tensor,
    y: torch.Tensor,
    X_val: torch.Tensor,
    y_val: torch.Tensor,
    learning_rate: float = 1e-3,
    learning_rate_decay: float = 0.95,
    reg: float = 5e-6,
    num_iters: int = 100,
    batch_size: int = 200,
    verbose: bool = False,
) -> dict[str, list[float]]:
    """Train `params` in place by stochastic gradient descent on batches drawn with replacement.

    loss_func: function (params, X, y, reg) -> (loss, grads), such as `nn_forward_backward`
    pred_func: function (params, loss_func, X) -> labels, such as `nn_predict`
    learning_rate_decay: factor for the learning rate after each epoch of max(N // batch_size, 1) iterations
    verbose: print the loss of every 100th iteration
    Returns loss_history, the loss of each iteration, train_acc_history (of the batch) and val_acc_history: fractions,
    after the first iteration of each epoch. If a loss is not finite, training stops with a RuntimeWarning, and `params`
    are those of the best val_acc_history.
    """
    stats: dict[str, list[float]] = {"loss_history": [], "train_acc_history": [], "val_acc_history": []}
    epoch = max(len(X) // batch_size, 1)
    best, best_acc = _copies(params), -1.0
    for iteration in range(num_iters):
        images, labels = sample_batch(X, y, len(X), batch_size)
        loss, grads = loss_func(params, images, y=labels, reg=reg)
        stats["loss_history"].append(float(loss))
        if divergence.stopped("nn_train", stats["loss_history"][-1], iteration, learning_rate):
            for name, param in params.items():
                param.copy_(best[name])
            break
        for name, param in params.items():
            param.add_(grads[name], alpha=-learning_rate)
        if verbose and iteration % 100 == 0:
            say(f"iteration {iteration} / {num_iters}: loss {stats['loss_history'][-1]:f}")
        if iteration % epoch == 0:
            for part, inputs, targets in (("train", images, labels), ("val", X_val, y_val)):
                correct = pred_func(params, loss_func, inputs) == targets
                stats[f"{part}_acc_history"].append(correct.double().mean().item())
            if stats["val_acc_history"][-1] > best_acc:
                best, best_acc = _copies(params), stats["val_acc_history"][-1]
            learning_rate *= learning_rate_decay
    return stats


def _copies(params: Params) -> Params:
    return {name: param.clone() for name, param in params.items()}


def nn_predict(params: Params, loss_func: Callable, X: torch.Tensor) -> torch.Tensor:
    """Return the class with the highest score for each image: labels (N,) int64.

    loss_func: function (params, X) -> scores (N, K), such as `nn_forward_backward`
    """
    return loss_func(params, X).argmax(dim=1)


class TwoLayerNet:
    """affine - ReLU - affine - softmax with its own training loop; creating one resets the seeds to 0.

    input_size, hidden_size, output_size: D, H, K; dtype, device: of the parameters
    std: standard deviation of the initial weights; biases are initially 0
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        dtype: torch.dtype = torch.float32,
        device: Any = "cuda",
        std: float = 1e-4,
    ) -> None:
        reset_seed(0)
        there: Any = {"dtype": dtype, "device": usable("TwoLayerNet", device)}
        self.params: Params = {}
        for layer, inputs, outputs in ((1, input_size, hidden_size), (2, hidden_size, output_size)):
            self.params[f"W{layer}"] = std * torch.randn(inputs, outputs, **there)
            self.params[f"b{layer}"] = torch.zeros(outputs, **there)

    def loss(self, X: torch.Tensor, y: torch.Tensor | None = None, reg: float = 0.0) -> Any:
        """Call `nn_forward_backward` with these parameters: returns scores, or (loss, grads)."""
        return nn_forward_backward(self.params, X, y, reg)

    def train(
        self,
        X: torch.Tensor,
        y: torch.Tensor,
        X_val: torch.Tensor,
        y_val: torch.Tensor,
        *settings: Any,
        **keywords: Any,
    ) -> dict[str, list[float]]:
        """Call `nn_train` with these parameters. Returns loss_history, train_acc_history, val_acc_history.

        settings, keywords: what follows y_val in `nn_train`: learning_rate, learning_rate_decay, reg, num_iters,
            batch_size, verbose
        """
        return nn_train(self.params, nn_forward_backward, nn_predict, X, y, X_val, y_val, *settings, **keywords)

    def predict(self, X: torch.Tensor) -> torch.Tensor:
        """Return the class with the highest score for each image: labels (N,) int64."""
        return nn_predict(self.params, nn_forward_backward, X)

    def save(self, path: str | os.PathLike) -> None:
        """Write the parameters to a file, with `torch.save`."""
        torch.save(self.params, path)
        say(f"Saved in {os.fspath(path)}")

    def load(self, path: str | os.PathLike) -> None:
        """Read the parameters that `save` wrote, to the CPU, without executing anything in the file."""
        params = torch.load(path, map_location="cpu", weights_only=True)
        if set(params) != set(self.params):
            raise ValueError(
                f"TwoLayerNet.load: {os.fspath(path)} contains {sorted(params)}; expected {sorted(self.params)}; pass "
                f"a file that TwoLayerNet.save wrote"
            )
        self.params = params


def nn_get_search_params() -> tuple[list[float], list[int], list[float], list[float]]:
    """Return learning rates, hidden sizes, penalties and decays of the learning rate to try."""
    return [1.0], [128], [1e-5, 1e-4], [0.95]


def find_best_net(
    data_dict: Mapping[str, torch.Tensor], get_param_set_fn: Callable
) -> tuple[TwoLayerNet, dict[str, list[float]], float]:
    """Train a net with each combination of settings. Returns the best net, its histories and validation accuracy.

    get_param_set_fn: function that returns lists of settings, such as `nn_get_search_params`
    """
    X, y, X_val, y_val = (data_dict[name] for name in ("X_train", "y_train", "X_val", "y_val"))
    best: Any = (None, None, -1.0)
    for learning_rate, hidden_size, reg, decay in itertools.product(*get_param_set_fn()):
        net = TwoLayerNet(X.shape[1], hidden_size, int(y.max()) + 1, X.dtype, X.device)
        stats = net.train(X, y, X_val, y_val, learning_rate, decay, reg, num_iters=2000, batch_size=500)
        accuracy = (net.predict(X_val) == y_val).double().mean().item()
        if accuracy > best[2]:
            best = (net, stats, accuracy)
    return best

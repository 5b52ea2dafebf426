"""The course's training loop, on torch tensors."""

import os
import time
from collections.abc import Callable
from typing import Any

import torch

from fastnn import optim
from fastnn.output.streams import say

from . import divergence
from .devices import usable

__all__ = ["Solver"]


class Solver:
    """Train a model on data with an update rule; the model ends with the parameters best on the validation images.

    model: any object with
        params: dict of tensors
        loss(X) -> scores (N, K); loss(X, y) -> (loss, dict of gradients with the keys of params)
    data: dict of X_train, y_train, X_val, y_val
    update_rule: function (w, dw, config) -> (next_w, config)
    optim_config: hyperparameters of the rule
    lr_decay: factor for the learning rate after each epoch
    batch_size: number of images in a batch, the first of a permutation that is drawn for each batch
    num_epochs: passes over the training images
    num_train_samples, num_val_samples: number of images drawn to estimate the accuracies; None: all
    device: on which batches are computed
    checkpoint_name: if given, <checkpoint_name>_epoch_<epoch>.pt is written at the end of each epoch, for `torch.load`:
        a dict of params, epoch and histories
    print_every, print_acc_every: iterations between two printed losses, epochs between two printed accuracies
    verbose: False prints nothing

    Attributes: epoch, loss_history, train_acc_history, val_acc_history, best_val_acc, best_params, optim_configs;
    stopped: why training stopped early, None if it did not.
    Raises TypeError for unknown keywords.
    """

    def __init__(
        self,
        model: Any,
        data: dict[str, torch.Tensor],
        *,
        update_rule: Callable = optim.sgd,
        optim_config: dict[str, Any] | None = None,
        lr_decay: float = 1.0,
        batch_size: int = 100,
        num_epochs: int = 10,
        num_train_samples: int | None = 1000,
        num_val_samples: int | None = None,
        device: Any = "cpu",
        checkpoint_name: str | os.PathLike | None = None,
        print_every: int = 10,
        print_acc_every: int = 1,
        verbose: bool = True,
    ) -> None:
        self.model, self.update_rule, self.lr_decay = model, update_rule, lr_decay
        self.X_train, self.y_train, self.X_val, self.y_val = (
            data[name] for name in ("X_train", "y_train", "X_val", "y_val")
        )
        self.optim_config = {"learning_rate": 1e-2, **(optim_config or {})}
        self.batch_size, self.num_epochs = batch_size, num_epochs
        self.num_train_samples, self.num_val_samples = num_train_samples, num_val_samples
        self.device = usable("Solver", device)
        self.checkpoint_name, self.verbose = checkpoint_name, verbose
        self.print_every, self.print_acc_every = print_every, print_acc_every
        self.epoch, self.best_val_acc = 0, -1.0
        self.stopped: str | None = None
        self.best_params: dict[str, torch.Tensor] = {}
        self.loss_history: list[float] = []
        self.train_acc_history: list[float] = []
        self.val_acc_history: list[float] = []
        self.optim_configs = {name: dict(self.optim_config) for name in model.params}

    def train(self, time_limit: float | None = None, return_best_params: bool = True) -> None:
        """Train for num_epochs epochs.

        time_limit: seconds; training stops before an iteration that would exceed them, if it took as long as the last
        return_best_params: False leaves the last parameters in the model, not the best
        If a loss is not finite, training stops with a RuntimeWarning; the best parameters are put back all the same.
        """
        epoch_length = max(len(self.X_train) // self.batch_size, 1)
        end, start = self.num_epochs * epoch_length, time.perf_counter()
        previous = start
        for iteration in range(end):
            now = time.perf_counter()
            if time_limit is not None and iteration and 2 * now - previous - start > time_limit:
                self._print_loss(now - start, iteration, end)
                self._say("End of training; next iteration will exceed the time limit.")
                break
            previous = now
            if not self._step(iteration):
                break
            if self.print_every > 0 and iteration % self.print_every == 0:
                self._print_loss(time.perf_counter() - start, iteration + 1, end)
            ended = (iteration + 1) % epoch_length == 0
            if ended:
                self.epoch += 1
                for config in self.optim_configs.values():
                    config["learning_rate"] *= self.lr_decay
            if ended or iteration in (0, end - 1):
                self._evaluate()
        if return_best_params and self.best_params:
            self.model.params = self.best_params

    def check_accuracy(
        self, X: torch.Tensor, y: torch.Tensor, num_samples: int | None = None, batch_size: int = 100
    ) -> float:
        """Return the fraction of images whose highest score is that of their label.

        num_samples: number of images to draw, if there are more; None: all
        batch_size: images in one call of the model
        """
        if num_samples is not None and len(X) > num_samples:
            chosen = torch.randperm(len(X), device=X.device)[:num_samples]
            X, y = X[chosen], y[chosen]
        scores = [self.model.loss(images.to(self.device)) for images in X.split(batch_size)]
        return (torch.cat(scores).argmax(dim=1) == y.to(self.device)).double().mean().item()

    def _step(self, iteration: int) -> bool:
        """Do one iteration; returns False if training has to stop because the loss is not finite."""
        batch = torch.randperm(len(self.X_train))[: self.batch_size]
        X, y = (tensor[batch].to(self.device) for tensor in (self.X_train, self.y_train))
        loss, grads = self.model.loss(X, y)
        self.loss_history.append(float(loss))
        rate = next(iter(self.optim_configs.values()))["learning_rate"]
        self.stopped = divergence.stopped("Solver.train", self.loss_history[-1], iteration, rate) or None
        if self.stopped:
            return False
        for name, w in self.model.params.items():
            updated = self.update_rule(w, grads[name], self.optim_configs[name])
            self.model.params[name], self.optim_configs[name] = updated
        return True

    def _evaluate(self) -> None:
        train_acc = self.check_accuracy(self.X_train, self.y_train, self.num_train_samples)
        val_acc = self.check_accuracy(self.X_val, self.y_val, self.num_val_samples)
        self.train_acc_history.append(train_acc)
        self.val_acc_history.append(val_acc)
        if self.checkpoint_name is not None:
            self._save_checkpoint(f"{os.fspath(self.checkpoint_name)}_epoch_{self.epoch}.pt")
        if self.epoch % self.print_acc_every == 0:
            self._say(f"(Epoch {self.epoch} / {self.num_epochs}) train acc: {train_acc:f}; val_acc: {val_acc:f}")
        if val_acc > self.best_val_acc:
            self.best_val_acc = val_acc
            self.best_params = {name: w.clone() for name, w in self.model.params.items()}

    def _save_checkpoint(self, path: str) -> None:
        self._say(f'Saving checkpoint to "{path}"')
        names = ("epoch", "loss_history", "train_acc_history", "val_acc_history")
        torch.save({"params": self.model.params, **{name: getattr(self, name) for name in names}}, path)

    def _print_loss(self, seconds: float, iteration: int, end: int) -> None:
        self._say(f"(Time {seconds:.2f} sec; Iteration {iteration} / {end}) loss: {self.loss_history[-1]:f}")

    def _say(self, text: str) -> None:
        if self.verbose:
            say(text)

"""The training loop of the course, that can be interrupted at any instant and goes on as if it had not been.

How an interruption is survived. Work is done in units: one iteration, one evaluation. A unit first only reads: it draws
a batch and computes; what was broken off there is undone by putting the generator back. Then it writes: parameters,
optimiser state and histories, in place, between `_writing = True` and `_writing = False`. What was broken off there
cannot be told apart, so everything goes back to the last snapshot, a copy made before every `_SNAPSHOT_EVERY`-th
iteration. From either point training repeats exactly, to the last bit.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from fastnn.kernels import checks

from . import arguments, optim, random
from .sampling import Sampler, part, rows

__all__ = ["Solver"]

_SNAPSHOT_EVERY = 200  # iterations; a copy of everything costs about as much as an iteration
_NUMBERS = ("iteration", "epoch", "evaluated", "run_from", "finished", "best_val_acc")
_TREES = ("params", "best_params", "optim_configs", "generator", "order")
_HISTORIES = ("loss_history", "train_acc_history", "val_acc_history")


class Solver:
    """Train a model on data with an update rule; the best parameters are in the model at the end.

        solver = Solver(model, data, update_rule="adam", optim_config={"learning_rate": 1e-3}, num_epochs=2)
        solver.train()

    model: an object with `params` (dict of arrays), `loss(X)` -> scores and `loss(X, y)` -> (loss, dict of gradients)
    data: dict with X_train, y_train, X_val, y_val; arrays, or data sets such as h5py's, of which only batches are read
    update_rule: name of a rule in `fastnn.optim`, applied in place, or a function (w, dw, config) -> (next_w, config)
    optim_config: hyperparameters of the rule
    lr_decay: factor for the learning rate after each epoch
    batch_size, num_epochs: images in an iteration; passes over the training set in one call of `train`
    num_train_samples, num_val_samples: images drawn to check the accuracy on; None: all
    checkpoint_name: after each epoch, `state()` is saved as `<checkpoint_name>_epoch_<epoch>.h5` (`fastnn.checkpoint`)
    print_every: iterations between two printed losses; 0: never. verbose: False prints nothing at all
    seed: where batches and samples are drawn from (see `fastnn.random`)
    sampling: "with_replacement" draws each batch anew from all images; "epoch" goes through a permutation of them
    clip_norm: largest norm of all gradients together (see `optim.clip_by_norm`); None: any
    callbacks: functions called with the solver after each iteration

    Attributes: epoch, iteration (both count what is done), loss_history, train_acc_history, val_acc_history,
    best_val_acc, best_params, optim_configs. Raises TypeError for unknown keywords, ValueError for values out of range.
    """

    def __init__(
        self,
        model: Any,
        data: dict[str, Any],
        *,
        update_rule: str | Callable = "sgd",
        optim_config: dict[str, Any] | None = None,
        lr_decay: float = 1.0,
        batch_size: int = 100,
        num_epochs: int = 10,
        num_train_samples: int | None = 1000,
        num_val_samples: int | None = None,
        checkpoint_name: str | None = None,
        print_every: int = 10,
        verbose: bool = True,
        seed: Any = None,
        sampling: str = "with_replacement",
        clip_norm: float | None = None,
        callbacks: Iterable[Callable] = (),
        **unknown: Any,
    ) -> None:
        arguments.known(Solver, unknown)
        self.model = model
        self.X_train, self.y_train = part("Solver", data, "train")
        self.X_val, self.y_val = part("Solver", data, "val")
        self.update_rule = optim.find("Solver", update_rule)
        self.optim_config = optim.checked_config("Solver", self.update_rule, optim_config)
        self.lr_decay = checks.number("Solver", "lr_decay", lr_decay, above=0)
        self.sampler = Sampler("Solver", len(self.X_train), batch_size, sampling)
        self.num_epochs = checks.integer("Solver", "num_epochs", num_epochs, minimum=1)
        self.num_train_samples = arguments.count_or_none("Solver", "num_train_samples", num_train_samples)
        self.num_val_samples = arguments.count_or_none("Solver", "num_val_samples", num_val_samples)
        self.checkpoint_name = checkpoint_name
        self.print_every = checks.integer("Solver", "print_every", print_every, minimum=0)
        self.verbose = verbose
        self.clip_norm = None if clip_norm is None else checks.number("Solver", "clip_norm", clip_norm, above=0)
        self.callbacks = arguments.callbacks("Solver", "callbacks", callbacks)

        self.iterations_per_epoch = self.sampler.batches
        self.epoch = 0
        self.iteration = 0
        self.evaluated = 0  # the iteration after which accuracies were last checked
        self.run_from = 0  # the iteration at which the call of train began that is under way or was broken off
        self.finished = True  # there is no such call
        self.loss_history: list[float] = []
        self.train_acc_history: list[float] = []
        self.val_acc_history: list[float] = []
        self.best_val_acc = 0.0
        self.best_params: dict[str, np.ndarray] = {}
        self.optim_configs: dict[str, dict] = {name: dict(self.optim_config) for name in model.params}

        self._generator = random.generator(seed)
        self._reading_from: dict | None = None  # state of the generator at the beginning of a unit under way
        self._writing = False
        self._snapshot: dict | None = None

    def train(self) -> None:
        """Train to the end of num_epochs epochs; called once more, for as many again.

        After an interruption, or on a state saved before the end, goes on to that end. Whatever stops it (Ctrl-C, an
        error in the model) passes through, and leaves model and solver as they were between two iterations.
        Raises FloatingPointError where the loss is not finite; the best parameters are then in the model.
        """
        self._recover()
        self._snapshot = self.state()
        if self.finished:
            self.run_from = self.iteration
            self.finished = False
        length = self.num_epochs * self.iterations_per_epoch
        try:
            while self.iteration < self.run_from + length or self._evaluation_is_due():
                if not self._evaluation_is_due():
                    self._iterate()
                    self._print_loss(length)
                if self._evaluation_is_due():
                    self._evaluate()
                for callback in self.callbacks:
                    callback(self)
            self._put_back_best(finished=True)
            self._snapshot = None
        except BaseException:
            self._recover()
            raise

    def check_accuracy(self, X: Any, y: Any, num_samples: int | None = None, batch_size: int = 100) -> float:
        """The fraction of images whose highest score is that of their label.

        X, y: images and labels, as in data; num_samples: draw so many of them, where there are more
        batch_size: images in one call of the model
        """
        count = len(X)
        chosen = None
        if num_samples is not None and count > num_samples:
            chosen = self._generator.choice(count, num_samples)
            count = num_samples
        correct = 0
        for start in range(0, count, batch_size):
            batch = slice(start, min(start + batch_size, count))
            images, labels = (rows(array, batch if chosen is None else chosen[batch]) for array in (X, y))
            correct += int(np.sum(np.argmax(self.model.loss(images), axis=1) == labels))
        return correct / count

    def state(self) -> dict[str, Any]:
        """Everything that is needed to go on exactly from here, as a nested dict of numbers, strings, lists and arrays.

        `load_state` of a solver made with the same arguments takes it. Between iterations (in callbacks, and after an
        interruption) it is the state of that moment. Arrays are copies.
        """
        if self._writing and self._snapshot is not None:
            return self._snapshot
        return {
            **self._fingerprint(),
            **{name: getattr(self, name) for name in _NUMBERS},
            **{name: list(getattr(self, name)) for name in _HISTORIES},
            "params": _copied(self.model.params),
            "best_params": _copied(self.best_params),
            "optim_configs": {name: _copied(config) for name, config in self.optim_configs.items()},
            "generator": self._reading_from or random.get_state(self._generator),
            "order": self.sampler.order.copy(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned; lr_decay, num_epochs and what is printed or called may differ from then.

        Raises ValueError where the state lacks something or belongs to another model, data set, batch size, sampling,
        update rule or kind of seed; the solver then stays as it was.
        """
        checks.keys(
            "Solver.load_state", "state", state, required=[*self._fingerprint(), *_NUMBERS, *_HISTORIES, *_TREES]
        )
        for name, expected in self._fingerprint().items():
            if state[name] != expected:
                raise ValueError(
                    f"Solver.load_state: {name}={state[name]!r} in the state; expected {expected!r} as in this solver, "
                    f"else training could not go on exactly; make the solver with the arguments of the saved one"
                )
        given = {name: np.shape(value) for name, value in state["params"].items()}
        expected_shapes = {name: value.shape for name, value in self.model.params.items()}
        if given != expected_shapes:
            raise ValueError(
                f"Solver.load_state: params have the shapes {given}; expected {expected_shapes} as in the model; "
                f"make the model with the arguments of the saved one"
            )
        self._recover()
        self._snapshot = self.state()
        random.set_state(self._generator, state["generator"])
        self._restore(state)
        self._snapshot = None

    def _iterate(self) -> None:
        """One iteration: a batch, its loss and gradients, one update of every parameter."""
        if self._snapshot is None or self.iteration >= self._snapshot["iteration"] + _SNAPSHOT_EVERY:
            self._snapshot = self.state()
        self._reading_from = random.get_state(self._generator)
        places = self.sampler.draw(self.iteration, self._generator)
        images, labels = rows(self.X_train, places), rows(self.y_train, places)
        loss, grads = self.model.loss(images, labels)
        self._check_finite("loss", loss, images)
        if self.clip_norm is not None:
            grads, norm = optim.clip_by_norm(grads, self.clip_norm)
            self._check_finite("norm of the gradients", norm, images)
        checks.keys("Solver", "gradients", grads, required=self.optim_configs, optional=grads)

        in_place = self.update_rule in optim.RULES.values()
        self._writing = True
        for name, config in self.optim_configs.items():
            w = self.model.params[name]
            if in_place and w.flags.carray:
                self.update_rule(w, grads[name], config, out=w)
            else:
                self.model.params[name], self.optim_configs[name] = self.update_rule(w, grads[name], config)
        self.loss_history.append(float(loss))
        self.iteration += 1
        self._reading_from = None
        self._writing = False

    def _evaluation_is_due(self) -> bool:
        """Accuracies are checked after the first iteration of a call of `train` and at the end of each epoch."""
        first, ends_epoch = self.iteration == self.run_from + 1, self.iteration % self.iterations_per_epoch == 0
        return self.evaluated != self.iteration and (first or ends_epoch)

    def _evaluate(self) -> None:
        """Check both accuracies; keep the best parameters; end the epoch where it ends."""
        self._reading_from = random.get_state(self._generator)
        train_acc = self.check_accuracy(self.X_train, self.y_train, self.num_train_samples)
        val_acc = self.check_accuracy(self.X_val, self.y_val, self.num_val_samples)
        is_best = val_acc > self.best_val_acc or not self.best_params
        best_params = _copied(self.model.params) if is_best else self.best_params
        ends_epoch = self.iteration % self.iterations_per_epoch == 0

        self._writing = True
        if ends_epoch:
            self.epoch += 1
            self._decay()
        self.train_acc_history.append(train_acc)
        self.val_acc_history.append(val_acc)
        self.best_val_acc, self.best_params = max(val_acc, self.best_val_acc), best_params
        self.evaluated = self.iteration
        self._reading_from = None
        self._writing = False

        if self.verbose:
            print(f"(Epoch {self.epoch} / {self.num_epochs}) train acc: {train_acc:f}; val_acc: {val_acc:f}")
        if ends_epoch and self.checkpoint_name is not None:
            from fastnn import checkpoint

            checkpoint.save(f"{self.checkpoint_name}_epoch_{self.epoch}.h5", self.state())

    def _decay(self) -> None:
        for config in self.optim_configs.values():
            if "learning_rate" in config:
                config["learning_rate"] *= self.lr_decay

    def _print_loss(self, length: int) -> None:
        number = self.iteration - self.run_from
        if self.verbose and self.print_every and (number - 1) % self.print_every == 0:
            print(f"(Iteration {number} / {length}) loss: {self.loss_history[-1]:f}")

    def _check_finite(self, what: str, value: float, images: np.ndarray) -> None:
        """Raise FloatingPointError, with the best parameters in the model, unless the value is finite."""
        if math.isfinite(value):
            return
        rate = next(iter(self.optim_configs.values()), {}).get("learning_rate")
        params = [name for name, w in self.model.params.items() if not np.isfinite(w).all()]
        if not np.isfinite(np.asarray(images, np.float64)).all():
            cause = "the batch contains NaN or infinity: check the data"
        elif params:
            cause = f"the parameters {params} are not finite any more: lower learning_rate={rate}"
        else:
            cause = f"the scores grew too large: lower learning_rate={rate}, or check the data"
        self._put_back_best(finished=False)
        raise FloatingPointError(
            f"Solver: {what} = {value} in iteration {self.iteration + 1}; expected a finite number; {cause}"
        )

    def _put_back_best(self, finished: bool) -> None:
        self._writing = True
        for name, best in self.best_params.items():
            self.model.params[name] = best.copy()
        self.finished = finished
        self._writing = False

    def _recover(self) -> None:
        """Undo a unit that was broken off; may itself be broken off and called again."""
        if self._writing and self._snapshot is not None:
            self._restore(self._snapshot)
        elif self._reading_from is not None:
            random.set_state(self._generator, self._reading_from)
            self._reading_from = None

    def _restore(self, state: dict[str, Any]) -> None:
        self._writing = True
        for name, value in state["params"].items():
            self.model.params[name] = np.array(value, dtype=self.model.params[name].dtype)
        self.optim_configs = {name: _copied(config) for name, config in state["optim_configs"].items()}
        self.best_params = _copied(state["best_params"])
        for name in _NUMBERS:
            setattr(self, name, type(getattr(self, name))(state[name]))
        for name in _HISTORIES:
            setattr(self, name, [float(value) for value in state[name]])
        self.sampler.order = np.array(state["order"])
        random.set_state(self._generator, state["generator"])
        self._reading_from = None
        self._writing = False

    def _fingerprint(self) -> dict[str, Any]:
        """What a solver must share with the one whose state it loads."""
        return {
            "version": 1,
            "update_rule": getattr(self.update_rule, "__name__", type(self.update_rule).__name__),
            "sampling": self.sampler.method,
            "batch_size": self.sampler.batch_size,
            "num_train": self.sampler.count,
        }


def _copied(values: Any) -> dict[str, Any]:
    """A dict with copies of its arrays."""
    return {name: np.array(value) if isinstance(value, np.ndarray) else value for name, value in values.items()}

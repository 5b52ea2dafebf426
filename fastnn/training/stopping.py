"""How a Solver stops before its last iteration: early, or at a number that is not finite."""

import math
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from fastnn import optim

from . import nonfinite
from .state import Resumable, copied, in_host_memory
from .summary import Summary


class Stopping(Resumable, Summary):
    """Base class of Solver: decides whether and how training stops before its last iteration."""

    on_nonfinite: str
    early_stopping: int | None
    X_train: Any
    y_train: Any
    X_val: Any
    y_val: Any
    num_train_samples: int | None
    num_val_samples: int | None
    check_accuracy: Callable[..., float]

    def _is_stopped_early(self) -> bool:
        """Whether this call has had `early_stopping` epochs in a row without a better validation accuracy."""
        history = self.val_acc_history
        if self.early_stopping is None or not history:
            return False
        since_best = len(history) - 1 - history.index(max(history))
        epochs = self.last_evaluation // self.iterations_per_epoch - self.start_iteration // self.iterations_per_epoch
        return min(since_best, epochs) >= self.early_stopping

    def _check_finite(self, what: str, value: float, images: np.ndarray, labels: np.ndarray, grads: Any) -> None:
        """If the value is not finite, put the best parameters into the model and end training (see `_give_up`)."""
        if math.isfinite(value):
            return
        failed, rate = self.iteration + 1, self._rate()
        self._recover()
        self._reading_from = self._origin()
        cause = nonfinite.cause(self.model, images, rate)
        explanation = [nonfinite.location(self.model, images, labels, grads), cause]
        if self._parallel is not None:
            explanation = self._parallel.first_cause(explanation)
        message = f"Solver: {what} = {value} in iteration {failed}; expected a finite number"
        self._give_up(value if what == "loss" else math.nan, message, *explanation)

    def _give_up(self, value: float, *parts: str | None) -> NoReturn:
        """Save the state before the failure, put the best parameters into the model, and raise.

        value: for the end of loss_history; parts: of the message
        Raises FloatingPointError, or nonfinite.Stopped if training is to stop with a warning.
        """
        self._recover()
        saved = self._save_before_failure()
        self._put_back(self.best_params, self.best_buffers, finished=False)
        message = "; ".join(filter(None, (*parts, saved)))
        if nonfinite.raises("Solver", self.on_nonfinite):
            raise FloatingPointError(message) from None
        raise nonfinite.Stopped(message, value) from None

    def _add_to_histories(self, **values: float) -> None:
        """Show values of a training that has stopped at the end of histories, until it goes on."""
        for name, value in values.items():
            self._lengths[name] = len(getattr(self, name))
            getattr(self, name).append(value)

    def _forget_stop(self) -> None:
        for name, length in self._lengths.items():
            del getattr(self, name)[length:]
        self._lengths, self.stopped = {}, None

    def _stop(self, stop: nonfinite.Stopped) -> None:
        """End a call of `train` that met a number which is not finite; the best parameters are in the model."""
        message, value = stop.args
        self._add_to_histories(loss_history=value)
        if not self.val_acc_history:  # no evaluation yet, so the snapshot is from the beginning
            begun = self._snapshot or {}
            self._put_back(begun["params"], begun["buffers"], finished=False)
            self._reading_from = self._origin()
            try:
                train_acc = self.check_accuracy(self.X_train, self.y_train, self.num_train_samples)
                val_acc = self.check_accuracy(self.X_val, self.y_val, self.num_val_samples)
                self.best_val_acc, self.best_params = val_acc, copied(self.model.params)
                self.best_buffers = copied(self._buffers)
            except FloatingPointError:
                train_acc = val_acc = math.nan
            finally:
                self._recover()
            self._add_to_histories(train_acc_history=train_acc, val_acc_history=val_acc)
        self.stopped = message

    def _rate(self) -> float | None:
        """The current learning rate, if known."""
        config: dict = next(iter(self.optim_configs.values()), {})
        return config.get("learning_rate", optim.usual_rate(self.update_rule))

    def _save_before_failure(self) -> str:
        """If the Solver saves checkpoints, save the last finite state; return a phrase that names the file."""
        finite = (
            state
            for state in (self.state(), in_host_memory(self._snapshot))
            if state and not nonfinite.not_finite(state["params"])
        )
        state = next(finite, None)
        if self.checkpoint_name is None or state is None:
            return ""
        name = str(self.checkpoint_name).removesuffix(".h5")
        if self.checkpoint_every is None:
            name += f"_iteration_{state['iteration']}"
        if self.comm.rank == 0:
            self.save(f"{name}.h5", solver=state)
        return f"the state after iteration {state['iteration']} is in {name}.h5, for Solver.resume"

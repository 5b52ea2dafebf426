"""Learning-rate schedules: functions of the training position that return a factor for the learning rate.

    Solver(model, data, optim_config={"learning_rate": 0.1}, schedule=Warmup(1, then=Cosine()))

The rate in an iteration is learning_rate * lr_decay**epoch * schedule(position). Any function from a `Position` to a
non-negative number is a schedule; those here have no state, so that a resumed run needs only its position. A schedule
spans one call of `Solver.train`; the next call restarts it.
"""

import dataclasses
import math
import typing
from collections.abc import Callable
from typing import Any

from fastnn import arguments
from fastnn.kernels.dispatch import signatures, validation

__all__ = ["Cosine", "Exponential", "OneCycle", "Plateau", "Position", "Step", "Warmup"]


@typing.dataclass_transform(frozen_default=True)
def _schedule(cls: type) -> Any:
    """A frozen dataclass whose constructor raises a clear error for unknown arguments."""
    made: Any = dataclasses.dataclass(frozen=True)(cls)
    made.__init__ = signatures.checked(made.__init__)
    return made


def _keep(schedule: Any, **checked: Any) -> None:
    """Set the fields of a frozen dataclass to their checked values."""
    for name, value in checked.items():
        object.__setattr__(schedule, name, value)


@_schedule
class Position:
    """The position of training before an iteration.

    iteration: index of the iteration in this call of `train`, from 0
    total: number of iterations in this call
    iterations_per_epoch: number of iterations in an epoch
    val_acc_history: validation accuracies so far, of all calls
    """

    iteration: int
    total: int
    iterations_per_epoch: int
    val_acc_history: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        history = arguments.listed("Position", "val_acc_history", self.val_acc_history, "accuracies")
        _keep(
            self,
            iteration=validation.integer("Position", "iteration", self.iteration, minimum=0),
            total=validation.integer("Position", "total", self.total, minimum=1),
            iterations_per_epoch=validation.integer("Position", "iterations_per_epoch", self.iterations_per_epoch, 1),
            val_acc_history=tuple(validation.number("Position", "val_acc_history", accuracy) for accuracy in history),
        )


Schedule = Callable[[Position], float]


class _Factor:
    """Base class of the schedules: a factor as a function of a Position."""

    @signatures.checked
    def __call__(self, position: Position) -> float:
        if not isinstance(position, Position):
            raise TypeError(
                f"{type(self).__name__}: position={validation.brief(position)} is not a Position; expected the "
                f"position of training; pass a fastnn.schedules.Position"
            )
        return self._factor(position)

    def _factor(self, position: Position) -> float:
        raise NotImplementedError


@_schedule
class Step(_Factor):
    """Multiply the rate by `factor` every `every` epochs: factor ** (epochs // every).

    every: number of epochs, at least 1
    factor: a positive number
    """

    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        _keep(
            self,
            every=validation.integer("Step", "every", self.every, minimum=1),
            factor=validation.number("Step", "factor", self.factor, above=0),
        )

    def _factor(self, position: Position) -> float:
        return self.factor ** (position.iteration // (self.every * position.iterations_per_epoch))


@_schedule
class Exponential(_Factor):
    """Decay the rate in every iteration: factor ** epochs, with fractions of an epoch; `lr_decay` without steps.

    factor: a positive number
    """

    factor: float

    def __post_init__(self) -> None:
        _keep(
            self,
            factor=validation.number("Exponential", "factor", self.factor, above=0),
        )

    def _factor(self, position: Position) -> float:
        return self.factor ** (position.iteration / position.iterations_per_epoch)


@_schedule
class Cosine(_Factor):
    """Anneal from 1 to `final` along half a cosine: final + (1 - final) * (1 + cos(pi * done)) / 2.

    final: factor at the end, at least 0
    done: the fraction of this call's iterations that are done
    Source: Loshchilov & Hutter, SGDR: stochastic gradient descent with warm restarts (2017), equation 5.
    """

    final: float = 0.0

    def __post_init__(self) -> None:
        _keep(
            self,
            final=validation.number("Cosine", "final", self.final, minimum=0),
        )

    def _factor(self, position: Position) -> float:
        return _cosine(1.0, self.final, position.iteration / position.total)


@_schedule
class Warmup(_Factor):
    """Increase linearly from 0 to 1 over `length` epochs, then follow another schedule, or stay at 1.

    length: in epochs; with n iterations in them (rounded, at least 1) the factors are 1/n, 2/n, ..., 1
    then: schedule for the remaining iterations; None: 1
    Source: Goyal et al., Accurate, large minibatch SGD (2017), section 2.2.
    """

    length: float
    then: Schedule | None = None

    def __post_init__(self) -> None:
        _keep(
            self,
            length=validation.number("Warmup", "length", self.length, above=0),
        )
        if self.then is not None and not callable(self.then):
            raise TypeError(
                f"Warmup: then={self.then!r} is not a schedule; expected a function of a Position, or None; "
                f"pass one such as Cosine()"
            )

    def _factor(self, position: Position) -> float:
        length = max(round(self.length * position.iterations_per_epoch), 1)
        if position.iteration < length:
            return (position.iteration + 1) / length
        if self.then is None:
            return 1.0
        iteration, total = position.iteration - length, position.total - length
        return self.then(dataclasses.replace(position, iteration=iteration, total=total))


@_schedule
class OneCycle(_Factor):
    """Increase from `start` to 1, then decrease to `final` in the last iteration; learning_rate is the peak.

    start, final: factors of the first and of the last iteration
    peak_at: the fraction of this call's iterations after which the peak is reached
    anneal: "cosine" (half a period each way) or "linear"
    The momentum is not changed.
    Source: Smith & Topin, Super-convergence (2018), section 4; the cosine as in PyTorch and fastai.
    """

    peak_at: float = 0.3
    start: float = 1 / 25
    final: float = 1e-4
    anneal: str = "cosine"

    def __post_init__(self) -> None:
        _keep(
            self,
            peak_at=validation.number("OneCycle", "peak_at", self.peak_at, minimum=0, maximum=1),
            start=validation.number("OneCycle", "start", self.start, minimum=0),
            final=validation.number("OneCycle", "final", self.final, minimum=0),
            anneal=validation.choice("OneCycle", "anneal", self.anneal, _ANNEAL),
        )

    def _factor(self, position: Position) -> float:
        interpolate = _ANNEAL[self.anneal]
        here, last = position.iteration, position.total - 1
        peak = max(self.peak_at * position.total - 1, 0)
        if here < peak:
            return interpolate(self.start, 1.0, here / peak)
        return interpolate(1.0, self.final, (here - peak) / (last - peak) if last > peak else 0.0)


@_schedule
class Plateau(_Factor):
    """Multiply by `factor` after more than `patience` validation accuracies in a row that were no improvement.

    factor: of the rate, below 1
    patience: number of validation accuracies
    threshold: an accuracy counts as an improvement if it exceeds the best one by more than this
    minimum: lower bound of the product of the factors
    Accuracies are computed after each epoch, and after the first iteration of each call of `train`.
    """

    factor: float = 0.1
    patience: int = 10
    threshold: float = 0.0
    minimum: float = 0.0

    def __post_init__(self) -> None:
        _keep(
            self,
            factor=validation.number("Plateau", "factor", self.factor, above=0, below=1),
            patience=validation.integer("Plateau", "patience", self.patience, minimum=0),
            threshold=validation.number("Plateau", "threshold", self.threshold, minimum=0),
            minimum=validation.number("Plateau", "minimum", self.minimum, minimum=0, maximum=1),
        )

    def _factor(self, position: Position) -> float:
        result, best, worse = 1.0, -math.inf, 0
        for accuracy in position.val_acc_history:
            if accuracy > best + self.threshold:
                best, worse = accuracy, 0
            else:
                worse += 1
            if worse > self.patience:
                result, worse = max(result * self.factor, self.minimum), 0
        return result


def _cosine(start: float, end: float, fraction: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2


def _linear(start: float, end: float, fraction: float) -> float:
    return start + (end - start) * fraction


_ANNEAL = {"cosine": _cosine, "linear": _linear}

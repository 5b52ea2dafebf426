"""Numeric slopes of f along one element of x, from one step, or from several steps with an error estimate."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastnn import arguments
from fastnn.kernels.dispatch import validation

_SINGLE = float(np.finfo(np.float32).eps)
_RATIO, _LADDER = 8.0, range(-3, 5)  # from 1/512 of the usual step; float32 inside float64 needs 800 times it
_FINER = range(-6, 5)
_LONGEST = 8 * _SINGLE ** (1 / 3)  # relative to max(|x|, 1): farther away, f may behave differently


class Slope(NamedTuple):
    """The slopes over one step, the error due to rounding of f(x), and whether f(x) changed."""

    step: float
    central: float
    right: float
    left: float
    noise: float
    moved: bool


class Estimate(NamedTuple):
    """An estimate of the derivative, its likely error, and the step with the smallest error.

    bend: the difference of the right and left slopes at that step
    """

    value: float
    error: float
    step: float
    bend: float


class Slopes:
    """Slopes of f at x; each element of x is changed in place and restored, also if f raises.

    f(x): a number, or an array if dout is given: then sum(f(x) * dout) is differentiated
    epsilon: the machine epsilon of the coarsest dtype involved
    rounding: the machine epsilon of the dtype of f(x)
    Raises TypeError or ValueError if f returns something else, is not finite, changes x, or is not repeatable.
    """

    def __init__(self, function: str, f: Callable, x: np.ndarray, dout: Any, *dtypes: np.dtype) -> None:
        self.f, self.x, self.function = f, x, function
        self.dout = None if dout is None else arguments.real(function, "dout", dout)
        before = x.copy()
        self.value = self._value()
        self.rounding = _spacing(self.dtype)
        self.epsilon = max(self.rounding, *map(_spacing, (x.dtype, *dtypes)))
        if not np.array_equal(x, before):
            x[...] = before
            raise ValueError(
                f"{function}: f changed x, of shape {x.shape}; expected f only to read it; let f work on a copy of x"
            )
        self._check_repeats()
        if self._reads_single(before):
            self.epsilon = self.rounding = max(self.epsilon, _SINGLE)

    def usual_step(self, index: tuple[int, ...]) -> float:
        """The default step, epsilon**(1/3) * max(|x|, 1), which balances truncation and rounding errors.

        Source: Dennis & Schnabel, Numerical methods for unconstrained optimization (1983), section 5.4.
        """
        return self.epsilon ** (1 / 3) * max(abs(float(self.x[index])), 1.0)

    def at(self, index: tuple[int, ...], step: float) -> Slope | None:
        """The slopes over one step to the right and left; None if x does not change or f is not finite."""
        x, before = self.x, self.x[index]
        try:
            with np.errstate(all="ignore"):  # a step outside the domain of f is skipped
                x[index] = before + step
                right, above = float(x[index]) - float(before), self._value()
                x[index] = before - step
                left, below = float(before) - float(x[index]), self._value()
        finally:
            x[index] = before
        moves = 0 < right < math.inf and 0 < left < math.inf
        if not (moves and np.isfinite(above).all() and np.isfinite(below).all()):
            return None
        moved = (above != self.value) | (below != self.value)
        size = float(np.linalg.norm(self._weighted(self.value)[moved if moved.any() else ...]))
        return Slope(
            step,
            float(self._weighted(above - below).sum()) / (right + left),
            float(self._weighted(above - self.value).sum()) / right,
            float(self._weighted(self.value - below).sum()) / left,
            self.rounding * size / step,
            bool(moved.any()),
        )

    def ladder(self, index: tuple[int, ...], finer: bool = False) -> tuple[Estimate, Estimate, Estimate]:
        """Estimate the central, right and left slopes, each from the step with the smallest error.

        finer: also try shorter steps, which cross fewer kinks, but have larger rounding errors
        """
        base, longest = self.usual_step(index), _LONGEST * max(abs(float(self.x[index])), 1.0)
        steps = [base * _RATIO**k for k in (_FINER if finer else _LADDER) if base * _RATIO**k <= longest]
        rungs = self._with_resolution([slope for step in steps if (slope := self.at(index, step)) is not None])
        return _best(rungs, "central"), _best(rungs, "right"), _best(rungs, "left")

    def _with_resolution(self, rungs: list[Slope]) -> list[Slope]:
        """Increase the noise of steps that did not change f(x), which may be shorter than its resolution.

        The resolution is bounded by the smallest change seen, and by the spacing of float32.
        """
        changes = [max(abs(rung.right), abs(rung.left)) * rung.step for rung in rungs if rung.moved]
        if not changes:
            return rungs
        least = min(*changes, _SINGLE * float(np.linalg.norm(self._weighted(self.value))))
        return [rung if rung.moved else rung._replace(noise=max(rung.noise, least / rung.step)) for rung in rungs]

    def _weighted(self, values: np.ndarray) -> np.ndarray:
        return values if self.dout is None else values * self.dout

    def _value(self) -> np.ndarray:
        result = validation.array(self.function, "f(x)", self.f(self.x))
        if result.dtype.kind not in "fiub" or (self.dout is None and result.size != 1):
            raise (TypeError if result.dtype.kind not in "fiub" else ValueError)(
                f"{self.function}: f(x) is {result.dtype} of shape {result.shape}; expected a real number, or an array "
                f"if dout is given; return the loss, or pass dout, its gradient with respect to f(x)"
            )
        if self.dout is not None:
            validation.shape(self.function, "dout", self.dout, result.shape)
        self.dtype = result.dtype
        return np.array(result, dtype=np.float64)  # a copy, since f may reuse its result array

    def _reads_single(self, before: np.ndarray) -> bool:
        """Whether f rounds a float64 x to float32 before it computes, as a model with float32 parameters does."""
        if self.x.dtype != np.float64 or not (np.abs(before) < np.finfo(np.float32).max).all():
            return False
        rounded = before.astype(np.float32)
        try:
            self.x[...] = rounded
            return not np.array_equal(rounded, before) and np.array_equal(self._value(), self.value)
        finally:
            self.x[...] = before

    def _check_repeats(self) -> None:
        if not np.isfinite(self.value).all():
            raise ValueError(
                f"{self.function}: f(x)={self.value} is not finite; expected a finite number; choose another x"
            )
        difference = float(np.abs(self._value() - self.value).max(initial=0.0))
        if difference > 100 * self.epsilon * float(np.abs(self.value).max(initial=0.0)):
            raise ValueError(
                f"{self.function}: f(x) differs by {difference:.3g} between two calls with the same x; expected the "
                f"same result; draw dropout and noise from a fixed seed inside f"
            )


def _best(rungs: list[Slope], side: str) -> Estimate:
    """Choose the step with the smallest error: short steps suffer from rounding, long ones from curvature and kinks.

    The error of a central slope is estimated by the largest of half the difference of the right and left slopes, the
    difference from the closer neighbour on the ladder, and the noise of f(x) at the shortest step, relative to its own.
    """
    values, estimates = [getattr(rung, side) for rung in rungs], []
    for k, rung in enumerate(rungs):
        spread = (
            min(abs(values[k] - values[n]) for n in (k - 1, k + 1) if 0 <= n < len(rungs)) if rungs[1:] else math.inf
        )
        bend = abs(rung.right - rung.left)
        jitter = abs(rungs[0].right - rungs[0].left) * rungs[0].step / rung.step
        error = max(spread, jitter, 2 * rung.noise, bend / 2 if side == "central" else 0.0)
        estimates.append(Estimate(values[k], error, rung.step, bend))
    return min(estimates, key=lambda estimate: estimate.error, default=Estimate(math.nan, math.inf, math.nan, math.nan))


def _spacing(dtype: np.dtype) -> float:
    return float(np.finfo(dtype if dtype.kind == "f" else np.float64).eps)

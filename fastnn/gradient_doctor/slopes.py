"""How steep f is along one element of x: measured with one step, or with several, which also tell how sure that is."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastnn.kernels import checks

_RATIO, _LADDER = 8.0, range(-3, 5)  # steps from 1/512 to 4096 times the usual one: float32 inside float64 needs 800


class Slope(NamedTuple):
    """What one step tells; `noise` is the error of `central` that the rounding of f may cause."""

    step: float
    central: float
    right: float
    left: float
    noise: float


class Estimate(NamedTuple):
    """The limit of the slopes as the step shrinks, its likely error, and the step that told it best."""

    value: float
    error: float
    step: float


class Slopes:
    """f around x, where each element of x is moved in place and put back, also where f raises.

    f(x): a number, or an array where dout is given: then what is differentiated is sum(f(x) * dout)
    epsilon: the relative spacing of numbers in the coarsest of the dtypes involved
    Raises TypeError or ValueError where f returns something else, is not finite, changes x or itself from call to call.
    """

    def __init__(self, function: str, f: Callable, x: np.ndarray, dout: Any, *dtypes: np.dtype) -> None:
        self.f, self.x, self.function = f, x, function
        self.dout = None if dout is None else checks.array(function, "dout", dout)
        before = x.copy()
        self.value = self._value()
        dtypes = (x.dtype, self.dtype, *dtypes)
        self.epsilon = max(float(np.finfo(dtype).eps) for dtype in dtypes if dtype.kind == "f")
        if not np.array_equal(x, before):
            x[...] = before
            raise ValueError(
                f"{function}: f changed x, of shape {x.shape}; expected f only to read it; let f work on a copy of x"
            )
        self._check_repeats()

    def usual_step(self, index: tuple[int, ...]) -> float:
        """epsilon**(1/3) * max(|x|, 1), which balances truncation and rounding.

        Source: Dennis & Schnabel, Numerical methods for unconstrained optimization (1983), section 5.4.
        """
        return self.epsilon ** (1 / 3) * max(abs(float(self.x[index])), 1.0)

    def at(self, index: tuple[int, ...], step: float) -> Slope | None:
        """The slopes over one step to the right and to the left; None where x does not move, or f is not finite."""
        x, before = self.x, self.x[index]
        try:
            with np.errstate(all="ignore"):  # where a step leaves the domain of f, it is passed over
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
        rounding = self.epsilon * float(np.linalg.norm(self._weighed(self.value)[moved if moved.any() else ...]))
        return Slope(
            step,
            float(self._weighed(above - below).sum()) / (right + left),
            float(self._weighed(above - self.value).sum()) / right,
            float(self._weighed(self.value - below).sum()) / left,
            rounding / step,
        )

    def ladder(self, index: tuple[int, ...]) -> tuple[Estimate, Estimate, Estimate]:
        """Central, right and left slope, each from the steps whose neighbours agree best."""
        base = self.usual_step(index)
        rungs = [slope for k in _LADDER if (slope := self.at(index, base * _RATIO**k)) is not None]
        return _best(rungs, "central"), _best(rungs, "right"), _best(rungs, "left")

    def _weighed(self, values: np.ndarray) -> np.ndarray:
        return values if self.dout is None else values * self.dout

    def _value(self) -> np.ndarray:
        result = checks.array(self.function, "f(x)", self.f(self.x))
        if result.dtype.kind not in "fiub" or (self.dout is None and result.size != 1):
            raise (TypeError if result.dtype.kind not in "fiub" else ValueError)(
                f"{self.function}: f(x) is {result.dtype} of shape {result.shape}; expected a real number, or an array "
                f"where dout is given; return the loss, or pass dout, its gradient with respect to f(x)"
            )
        if self.dout is not None:
            checks.shape(self.function, "dout", self.dout, result.shape)
        self.dtype = result.dtype
        return np.array(result, dtype=np.float64)  # a copy: f may write the next result over this one

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
    """A small step suffers from rounding, a large one from curvature: the best differs least from both neighbours."""
    values, noise = [getattr(rung, side) for rung in rungs], [2 * rung.noise for rung in rungs]
    inner = range(1, len(rungs) - 1)
    if not inner:
        return Estimate(math.nan, math.inf, math.nan)
    error, k = min((max(abs(values[k] - values[k - 1]), abs(values[k + 1] - values[k]), noise[k]), k) for k in inner)
    return Estimate(values[k], error, rungs[k].step)

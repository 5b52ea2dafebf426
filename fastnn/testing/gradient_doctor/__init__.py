"""The gradient doctor: tests an analytic gradient and names the likely cause of an error."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn import arguments, rng
from fastnn.autograd import Tensor
from fastnn.kernels.dispatch import signatures, validation

from . import causes, tensors
from .diagnosis import UNTESTED, VERDICTS, Diagnosis
from .slopes import Estimate, Slope, Slopes

__all__ = ["Diagnosis", "diagnose"]

_VISIBLE = 0.05  # times the largest derivative: a larger measurement error decides nothing


@signatures.quiet
@signatures.checked
def diagnose(
    f: Callable,
    x: Any,
    analytic: Any = None,
    h: float | None = None,
    *,
    dout: Any = None,
    num_checks: int | None = None,
    seed: Any = None,
) -> Diagnosis:
    """Test each element of an analytic gradient of f at x, and name the likely cause of errors.

    f may also be a function of Tensors, and x a Tensor; then the gradient that `backward` computes is tested.

    f: function of x that returns the loss as a number; or an array, if dout is given
    x: finite array of floats of any layout; each element is changed in place and restored, also if f raises
    analytic: the gradient to test, in the shape of x (any other shape is diagnosed as an error); may be left out if x
        is a Tensor
    h: the step; None chooses epsilon**(1/3) * max(|x|, 1) for each element, with epsilon of the coarsest dtype among x,
        f(x) and analytic: 6e-6 in float64, 5e-3 in float32 if |x| is at most 1
    dout: gradient of a loss with respect to f(x), in its shape
    num_checks: number of elements to draw; None tests all
    seed: source of random numbers for drawing them (see `fastnn.rng`)
    Returns a Diagnosis with an array of verdicts:
        "ok": analytic and numeric derivative agree to a relative epsilon**(1/3), or to the rounding of f
        "kink": f is not smooth within the step, and the analytic value is between the left and right slopes
        "precision": the step does not fit the dtype, or the rounding of f is too coarse to decide
        "wrong": they differ by more than the error of the numeric derivative
    and a cause: "factor", "sign", "transpose", "flip", "penalty", "sum", "offset", "place", "zero", "unread",
        "not finite", "shape" or None.
    If one step does not show agreement, the slopes over up to eight steps and the noise of f(x) decide; an element is
    "wrong" only if three shorter steps do not explain the difference either. f is called 2 times per correct element,
    and up to 40 times per wrong one. If f rounds a float64 x to float32, as a model with float32 parameters does, this
    is detected, and epsilon is that of float32.
    Raises TypeError or ValueError if x is empty or not finite, if f returns no number, is not finite or repeatable, or
    changes x, and for h, num_checks and seed out of range.
    """
    function = "diagnose"
    arguments.function(function, "f", f)
    if isinstance(x, Tensor):
        f, x, analytic, dout = tensors.as_arrays(function, f, x, analytic, dout)
    arguments.movable(function, "x", x)
    validation.not_empty(function, "x", x)
    if not np.isfinite(x).all():
        raise ValueError(f"{function}: x contains NaN or infinity; expected finite numbers; test at another point")
    given = validation.array(function, "analytic", analytic)
    if given.dtype.kind not in "fiub":
        raise TypeError(f"{function}: analytic is {given.dtype}; expected real numbers; pass the gradient of f at x")
    if h is not None:
        h = validation.number(function, "h", h, above=0)
    indices = _drawn(function, x.shape, num_checks, seed)
    slopes = Slopes(function, f, x, dout, given.dtype)
    gradient = given.astype(np.float64)
    first = {index: slopes.at(index, h or slopes.usual_step(index)) for index in indices}
    fits = gradient.shape == x.shape
    expected = gradient if fits else np.full(x.shape, np.nan)
    sizes = [abs(float(expected[index])) for index in indices] + [
        abs(slope.central) for slope in first.values() if slope
    ]
    scale = max((size for size in sizes if math.isfinite(size)), default=0.0)
    verdicts = np.full(x.shape, UNTESTED, dtype=f"<U{max(map(len, (*VERDICTS, UNTESTED)))}")
    numeric, error = np.full(x.shape, np.nan), np.full(x.shape, np.nan)
    for index, slope in first.items():
        value = float(expected[index])
        verdicts[index], numeric[index], error[index] = _judge(slopes, index, value, slope, scale, h is not None)
    errors = np.abs(expected - numeric) / np.maximum(1e-8, np.abs(expected) + np.abs(numeric))
    errors = np.where(~np.isfinite(expected) & (verdicts != UNTESTED), np.inf, errors)
    cause, explanation = None, ""
    if (verdicts == "wrong").any():
        measured = np.where((verdicts == "wrong") | (verdicts == "ok"), numeric, np.nan)
        slack = 4 * slopes.epsilon ** (1 / 3)
        case = causes.Case(x, expected, measured, error, verdicts == "wrong", slack, len(indices) < x.size)
        cause, explanation = causes.find(case) if fits else causes.of_shape(case, gradient)
    elif (verdicts == "precision").any():
        explanation = _advice(h, slopes, indices[0])
    return Diagnosis(verdicts, numeric, gradient, errors, cause, explanation)


def _drawn(function: str, shape: tuple[int, ...], num_checks: Any, seed: Any) -> list[tuple[int, ...]]:
    """The indices to test: all, or `num_checks` different ones."""
    size = math.prod(shape)
    generator = rng.generator(seed)
    if num_checks is None:
        return list(np.ndindex(shape))
    count = min(validation.integer(function, "num_checks", num_checks, minimum=1), size)
    positions = generator.choice(size, count, replace=False)
    return [tuple(int(axis) for axis in np.unravel_index(position, shape)) for position in positions]


def _judge(
    slopes: Slopes, index: tuple[int, ...], value: float, slope: Slope | None, scale: float, step_given: bool
) -> tuple[str, float, float]:
    """The verdict, the numeric derivative and its likely error for one element; `value` is the analytic derivative."""
    relative = slopes.epsilon ** (1 / 3)
    if slope is not None and math.isfinite(value):
        noise = 4 * slope.noise
        if abs(value - slope.central) <= _near(relative, value, slope.central) + noise and noise <= _VISIBLE * scale:
            return "ok", slope.central, noise
    estimates = slopes.ladder(index)
    if not math.isfinite(value):
        return "wrong", estimates[0].value, 4 * estimates[0].error
    if not math.isfinite(estimates[0].value):
        return "precision", math.nan, math.nan
    verdict = _verdict(relative, value, *estimates)
    if verdict == "wrong":
        finer = slopes.ladder(index, finer=True)  # several kinks within the steps can look like a slope
        if math.isfinite(finer[0].value) and _verdict(relative, value, *finer) != "wrong":
            estimates, verdict = finer, _verdict(relative, value, *finer)
    central, right, left = estimates
    error, near = 4 * central.error, _near(relative, value, central.value)
    if verdict is not None:
        return verdict, central.value, error
    if error > _VISIBLE * scale and not value == central.value == right.value == left.value == 0:
        return "precision", central.value, error
    if slope is not None and abs(value - slope.central) > near + 4 * slope.noise and slope.step > central.step:
        low, high = sorted((slope.right, slope.left))
        smooth = 4 * (central.bend + error) * slope.step / central.step  # a smooth curve bends in proportion
        if low - near <= value <= high + near and high - low > smooth:
            return "kink", central.value, error
    return "precision" if step_given else "ok", central.value, error


def _verdict(relative: float, value: float, central: Estimate, right: Estimate, left: Estimate) -> str | None:
    """The verdict of the slopes on an analytic value: "kink", "wrong", or None if it may be right."""
    error, near = 4 * central.error, _near(relative, value, central.value)
    jump, certain = abs(right.value - left.value), 4 * (right.error + left.error)
    if certain + near < jump < 4 * error:  # at a kink the central slope is uncertain; elsewhere such a jump is chance
        between = min(right.value, left.value) - near <= value <= max(right.value, left.value) + near
        return "kink" if between else "wrong"
    return "wrong" if abs(value - central.value) > near + error else None


def _near(relative: float, value: float, other: float) -> float:
    return relative * max(abs(value), abs(other))


def _advice(h: float | None, slopes: Slopes, index: tuple[int, ...]) -> str:
    usual = slopes.usual_step(index)
    name = "float64" if slopes.epsilon < 1e-12 else "float32" if slopes.epsilon < 1e-5 else "float16"
    if h is None or 0.2 < h / usual < 5:
        return f"Precision: the rounding of f hides these derivatives in {name}; compute in float64, or scale f down."
    size = "small" if h < usual else "large"
    return f"Precision: the step h={h:g} is too {size} for {name}; leave h out, which takes about {usual:.0e} here."

"""Hypotheses about the cause of a wrong gradient, each accepted only if it predicts the whole gradient."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np


class Case(NamedTuple):
    """The data of a diagnosis, as arrays in the shape of x.

    analytic, numeric: the gradients; numeric is NaN if not measured
    error: the error of numeric
    wrong: which elements are wrong
    slack: the relative error that is ignored
    partial: whether some elements were not tested
    """

    x: np.ndarray
    analytic: np.ndarray
    numeric: np.ndarray
    error: np.ndarray
    wrong: np.ndarray
    slack: float
    partial: bool

    @property
    def known(self) -> np.ndarray:
        return np.isfinite(self.numeric) & np.isfinite(self.analytic)

    def fits(self, predicted: np.ndarray, spread: float = 1.0) -> bool:
        """Whether the prediction equals the analytic gradient in every element, and is much closer than numeric.

        spread: factor for the allowed error of the measurement
        """
        compared = self.known & np.isfinite(predicted)
        if np.count_nonzero(compared & self.wrong) <= 0.5 * np.count_nonzero(self.wrong):
            return False
        analytic, predicted, numeric = self.analytic[compared], predicted[compared], self.numeric[compared]
        rest, misfit = np.abs(analytic - predicted), np.abs(analytic - numeric)
        allowed = self.slack * np.maximum(np.abs(analytic), np.abs(predicted)) + max(1.0, spread) * self.error[compared]
        return bool((rest <= allowed).all() and np.linalg.norm(rest) <= 0.05 * np.linalg.norm(misfit))

    def clear(self) -> int:
        """The number of elements that are much larger than the error of the measurement."""
        return int(np.count_nonzero(np.abs(self.numeric[self.known]) > 20 * self.error[self.known]))


def find(case: Case) -> tuple[str | None, str]:
    """Return the name of the cause, or None, and an explanation."""
    for hypothesis in (_not_finite, _zero, _unread, _factor, _reordered, _penalty, _summed, _offset, _place):
        if found := hypothesis(case):
            return found
    more = " Test all elements, since a transposition shows only then." if case.partial else ""
    return None, f"No known cause fits. Check the formula by hand for one element, at the largest error.{more}"


def of_shape(case: Case, analytic: np.ndarray) -> tuple[str, str]:
    """Diagnose an analytic gradient that does not have the shape of x; the case contains the numeric one."""
    text = f"The analytic gradient has the shape {analytic.shape}, x has {case.x.shape}"
    for fitting, action in _reshaped(analytic, case.x.shape):
        known = np.isfinite(case.numeric)
        allowed = case.slack * np.maximum(np.abs(fitting), np.abs(case.numeric)) + case.error
        if (np.abs(fitting - case.numeric) <= allowed)[known].all():
            return "shape", f"{text}; {action}, it is right."
    return "shape", f"{text}, and it is not a transposition or sum of the right one either."


def _reshaped(analytic: np.ndarray, shape: tuple[int, ...]) -> Iterator[tuple[np.ndarray, str]]:
    for order in itertools.permutations(range(analytic.ndim)) if 1 < analytic.ndim <= 5 else ():
        if analytic.transpose(order).shape == shape:
            yield analytic.transpose(order), f"transposed with .transpose{order}"
    for count in range(1, analytic.ndim + 1):
        for axes in itertools.combinations(range(analytic.ndim), count):
            total = analytic.sum(axis=axes)
            if total.size == np.prod(shape, dtype=int):
                batch = ", which is that over the batch," if axes == (0,) else ""
                named = axes[0] if count == 1 else axes
                yield total.reshape(shape), f"with the missing sum over axis {named}{batch} and reshaped where needed"
    if analytic.size == np.prod(shape, dtype=int):
        yield analytic.reshape(shape), "reshaped with .reshape(x.shape)"


def _not_finite(case: Case) -> tuple[str, str] | None:
    bad = ~np.isfinite(case.analytic) & case.wrong
    if not bad.any():
        return None
    first = tuple(int(axis) for axis in np.argwhere(bad)[0])
    return "not finite", (
        f"The analytic gradient is NaN or infinite at {np.count_nonzero(bad)} elements, the first at index {first}: "
        f"look for a division by zero, a logarithm of zero, an exponential that overflows."
    )


def _zero(case: Case) -> tuple[str, str] | None:
    if case.analytic[case.known].any():
        return None
    return "zero", "The analytic gradient is zero: it was never computed, or was multiplied by a mask of zeros."


def _unread(case: Case) -> tuple[str, str] | None:
    if (np.abs(case.numeric) > case.error)[case.known].any():
        return None
    return "unread", "f does not change with x: let f read the array x itself, not a copy made before."


def _factor(case: Case) -> tuple[str, str] | None:
    analytic, numeric = case.analytic[case.known], case.numeric[case.known]
    factor = float(analytic @ numeric / (numeric @ numeric or 1.0))
    is_common = any(abs(factor - common) <= case.slack * abs(common) for common in (-1, 2, 0.5))
    if not case.fits(factor * case.numeric, abs(factor)) or not (is_common or case.clear() >= 3):
        return None
    if abs(factor + 1) <= case.slack:
        return "sign", "The analytic gradient is the negative of the numeric one: a minus sign is missing or too many."
    text = f"The analytic gradient is {factor:.4g} times the numeric one"
    if factor < 0:
        return "factor", f"{text}: the sign is wrong, and so is a factor."
    for count, fault in (
        (factor, "the loss is a mean, its gradient lacks the 1/N"),
        (1 / factor, "1/N is there twice"),
    ):
        if round(count) > 2 and abs(count - round(count)) <= case.slack * count:
            return "factor", f"{text}: if {round(count)} is the number of images, {fault}, or a sum over them is wrong."
    return "factor", (
        f"{text}: a factor is missing or doubled. Look for the 1/2 in a penalty, the 1/N in a loss, a gradient that "
        f"is added to that of the previous call."
    )


def _reordered(case: Case) -> tuple[str, str] | None:
    axes = range(case.x.ndim)
    for first, second in itertools.combinations(axes, 2):
        if case.x.shape[first] == case.x.shape[second] > 1 and case.fits(case.numeric.swapaxes(first, second)):
            return "transpose", f"The analytic gradient is transposed: swap its axes {first} and {second}."
    for flipped in [(axis,) for axis in axes] + list(itertools.combinations(axes, 2)):
        if case.fits(np.flip(case.numeric, flipped)):
            return "flip", (
                f"The analytic gradient runs backwards along axis {', '.join(map(str, flipped))}: is a filter rotated "
                f"by 180 degrees, as in a convolution in the strict sense?"
            )
    return None


def _penalty(case: Case) -> tuple[str, str] | None:
    known = case.known
    x, analytic, numeric = (array[known].astype(np.float64) for array in (case.x, case.analytic, case.numeric))
    if case.clear() < 3 or x.size < 3 or np.ptp(x) <= 0.05 * np.abs(x).max():
        return None
    strength = float((analytic - numeric) @ x / (x @ x))
    if case.fits(case.numeric + strength * case.x):
        if strength < 0:
            return "penalty", (
                f"The analytic gradient lacks {-strength:.4g} * x: the gradient of a penalty, which is reg * W for "
                f"0.5 * reg * sum(W * W), and 2 * reg * W for reg * sum(W * W)."
            )
        return "penalty", (
            f"The analytic gradient has {strength:.4g} * x too much: a penalty that is not in f, or one whose factor "
            f"1/2 or 2 differs from that in f."
        )
    (factor, strength), *_ = np.linalg.lstsq(np.stack([numeric, x], axis=1), analytic, rcond=None)
    if case.clear() < 5 or not case.fits(factor * case.numeric + strength * case.x, abs(factor)):
        return None
    if abs(factor) <= case.slack:
        return (
            "penalty",
            f"The analytic gradient is {strength:.4g} * x, that of a penalty alone: that of the loss is missing.",
        )
    return "factor", (
        f"The analytic gradient is {factor:.4g} times the numeric one, plus {strength:.4g} * x: the gradient of the "
        f"loss has a wrong factor, such as a missing 1/N, but that of the penalty has not."
    )


def _summed(case: Case) -> tuple[str, str] | None:
    for axis, length in enumerate(case.x.shape):
        total = case.numeric.sum(axis=axis, keepdims=True)
        for value, word in ((total, "sum"), (total / max(length, 1), "mean")):
            if length > 1 and case.fits(np.broadcast_to(value, case.x.shape), length):
                return "sum", (
                    f"Along axis {axis} each element is the {word} of the numeric gradient over that axis: the sum "
                    f"includes one axis too many."
                )
    return None


def _offset(case: Case) -> tuple[str, str] | None:
    wrong = case.wrong & case.known
    difference = np.where(wrong, case.analytic - case.numeric, 0.0)
    count = np.count_nonzero(wrong)
    if count < 3:
        return None
    common = float(difference[wrong].mean())
    if not case.fits(case.numeric + np.where(wrong, common, 0.0)):
        return None
    text = f"The {count} wrong elements are all off by {common:+.4g}"
    for axis, length in enumerate(case.x.shape[: case.x.ndim - 1]):
        others = tuple(other for other in range(case.x.ndim) if other != axis)
        if count == length and (np.count_nonzero(wrong, axis=others) == 1).all():
            return "offset", (
                f"{text}, one for each index of axis {axis}: is 1 subtracted at the label, and divided by N?"
            )
    return "offset", f"{text}: a constant term is missing or too many."


def _place(case: Case) -> tuple[str, str] | None:
    wrong = case.wrong & case.known
    found = []
    for axis in range(case.x.ndim):
        others = tuple(other for other in range(case.x.ndim) if other != axis)
        per_index, tested = np.count_nonzero(wrong, axis=others), np.count_nonzero(case.known, axis=others)
        hit, length = np.flatnonzero(per_index), np.count_nonzero(tested)
        if 0 < 2 * len(hit) <= length and per_index.sum() >= 0.8 * tested[hit].sum():
            found.append((len(hit) / length, axis, hit))
    if not found:
        return None
    _, axis, hit = min(found, key=lambda entry: entry[:2])
    indices = ", ".join(map(str, hit[:6])) + (", ..." if len(hit) > 6 else "")
    affected = np.zeros(case.x.shape, bool)
    np.moveaxis(affected, axis, 0)[hit] = True
    part = case._replace(numeric=np.where(affected, case.numeric, np.nan), wrong=wrong)
    inner = next((cause[1] for rule in (_zero, _factor, _penalty, _offset) if (cause := rule(part))), "")
    return "place", f"All wrong elements are at index {indices} of axis {axis}; elsewhere it is right. {inner}".rstrip()

"""Hypotheses about the cause of wrong values.

Most recompute the loops with altered arguments, such as a bias of zero. A hypothesis is accepted if it predicts every
wrong result of a call.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from fastnn.kernels import use_backend
from fastnn.testing.compare import assert_same, tolerance

from .cases import Arguments, Case, outcome
from .compare import Fault, wrong_places

_REFERENCE = "naive"
_MANY = 200  # elements of dout, each of which takes a call of the loops; more are skipped
_NEUTRAL = {"b": 0, "beta": 0, "gamma": 1, "mean": 0, "var": 1, "dout": 1}
_OTHER_NUMBERS = {
    "reg": ((0.0, "is left out"), (2, "counts twice"), (0.5, "counts half")),
    "weight_decay": ((0.0, "is left out"),),
    "label_smoothing": ((0.0, "is left out"),),
    "momentum": ((0.0, "is left out"),),
    "epsilon": ((1e-12, "is left out"),),
    "t": ((10**7, "is not used: the bias of the moments is not corrected"),),
    "slope": ((1, "is ignored, as if it were 1"),),
    "alpha": ((1, "is ignored, as if it were 1"),),
}


class Cause(NamedTuple):
    """A probable cause: a keyword and an explanation."""

    word: str | None
    words: str


def of_values(case: Case, fault: Fault) -> Iterator[Cause]:
    """Every hypothesis that predicts the wrong results of this call."""
    wrong = [name for name, expected in case.expected.items() if not _same(case, fault.actual[name], expected)]
    for cause, results in altered_calls(case):
        if all(_same(case, fault.actual[name], results[name]) for name in wrong):
            yield cause
    for cause, change in _CHANGES:
        if all(_fits(case, change, name, fault.actual[name]) for name in wrong):
            yield cause
    if "var" in wrong and _same(case, fault.actual["var"], _unbiased(case)):
        yield Cause("variance", "the variance is divided by N - 1, one less than there are elements, not by N")
    if wrong == ["index"]:
        yield Cause("ties", "among equal values another one wins: the first of them has to, in row-major order")
    if any(np.shape(fault.actual[name]) != np.shape(case.expected[name]) for name in wrong):
        return
    expected, actual = ({name: result[name] for name in wrong} for result in (case.expected, fault.actual))
    if all(np.isnan(expected[name])[_unlike(case, actual[name], expected[name])].all() for name in wrong):
        yield Cause("nan", "NaN is lost: every comparison with NaN is false; test for it with isnan")
    if case.plan["dtype"] == "float64" and all(_is_single(actual[name], expected[name]) for name in wrong):
        yield Cause("float32", "the result has only the precision of float32: an intermediate sum or array is float32")
    if all(_only_at_kinks(case, actual[name], expected[name]) for name in wrong):
        yield Cause("kink", "only elements at 0 are wrong; the contract says which of the two slopes to use there")
    if "dout" in case.arguments and 1 < case.arguments["dout"].size <= _MANY:
        for results in _assigned(case):
            if all(_same(case, fault.actual[name], results[name]) for name in wrong):
                yield Cause(
                    "accumulation", f"contributions to {' and '.join(wrong)} replace one another (=); add them (+=)"
                )
    for name in wrong:
        if factor := _factor(case, actual[name], expected[name]):
            yield Cause("factor", f"{name} is {factor:.4g} times what it should be: look for a mean, a 1/N, a 1/2")


def altered_calls(case: Case) -> Iterator[tuple[Cause, dict[str, Any]]]:
    """Yield causes with the results of the loops for altered arguments."""
    for word, words, changed in _alterations(case.arguments):
        wide = {name: value.astype(float) if _is_float(value) else value for name, value in case.fresh().items()}
        try:
            with use_backend(_REFERENCE):
                results = outcome(case.function, case.function.public, wide | changed)
        except (ValueError, TypeError, ArithmeticError):  # incompatible arguments
            continue
        yield Cause(word, words), results


def _alterations(arguments: Arguments) -> Iterator[tuple[str, str, Arguments]]:
    """Yield (keyword, explanation, changed arguments) of common mistakes."""
    for name, value in arguments.items():
        if name in _NEUTRAL:
            word, what = ("bias", "bias b") if name == "b" else ("left out", f"argument {name}")
            yield word, f"the {what} is left out", {name: np.full(value.shape, float(_NEUTRAL[name]))}
        if name == "b":
            yield "bias", "the bias b is added twice", {name: 2.0 * value}
        if name == "w" and value.ndim == 4:
            words = "w is turned by 180 degrees, as in a true convolution; the contract is a cross-correlation"
            yield "flipped", words, {name: value[:, :, ::-1, ::-1].astype(float)}
        if name in ("w", "W") and value.ndim in (2, 4) and value.shape[-1] == value.shape[-2] > 1:
            word = "sides" if value.ndim == 4 else "transposed"
            yield word, f"rows and columns of {name} are swapped", {name: value.swapaxes(-1, -2).astype(float)}
        for factor, words in _OTHER_NUMBERS.get(name, ()) if isinstance(value, (int, float)) else ():
            yield "left out", f"{name} {words}", {name: value * factor if name == "reg" else factor}
        if name == "p":
            yield "probability", "p is taken for the probability to drop, not to keep", {name: 1 - value}
    pairs = {name: value[::-1] for name, value in arguments.items() if isinstance(value, tuple) and len(value) == 2}
    for name, value in pairs.items():
        yield "sides", f"height and width of {name} are swapped", {name: value}
    if len(pairs) > 1:
        yield "sides", f"height and width of {' and '.join(pairs)} are swapped", pairs
    for name, value in (("stride", 1), ("pad", 0), ("dilation", 1), ("pool_stride", 1)):
        if name in arguments:
            yield name, f"{name} is ignored, as if it were {value}", {name: value}


_CHANGES: tuple[tuple[Cause, Callable[[np.ndarray, Case], np.ndarray]], ...] = (
    (Cause("zero", "the result is never computed: it is zero"), lambda result, case: np.zeros_like(result)),
    (Cause("left out", "p is not divided by"), lambda result, case: result * case.plan.get("p", 1)),
    (Cause("sign", "the sign is wrong: a minus is missing or superfluous"), lambda result, case: -result),
    (
        Cause("flipped", "the result is turned by 180 degrees: the kernel is flipped"),
        lambda result, case: result[..., ::-1, ::-1],
    ),
    (Cause("sides", "rows and columns of the result are swapped"), lambda result, case: result.swapaxes(-1, -2)),
    (
        Cause("border", "the border counts as 0 in the maximum; it must be minus infinity"),
        lambda result, case: np.maximum(result, 0) if case.plan.get("PH", 0) + case.plan.get("PW", 0) else result,
    ),
)


def _fits(case: Case, change: Callable, name: str, actual: Any) -> bool:
    expected = np.asarray(case.expected[name], dtype=np.float64)
    try:
        return _same(case, actual, change(expected, case))
    except (ValueError, IndexError):  # too few axes
        return False


def _unbiased(case: Case) -> np.ndarray:
    var = case.expected["var"]
    count = case.expected["pre_norm" if "pre_norm" in case.expected else "out"].size // max(var.size, 1)
    return var * (count / (count - 1)) if count > 1 else var


def _assigned(case: Case) -> Iterator[dict[str, np.ndarray]]:
    """Yield the gradients if only the last contribution to each element is kept, then if only the first is."""
    dout, parts = case.arguments["dout"], []
    arguments = case.arguments | ({"need_dx": True} if "need_dx" in case.arguments else {})
    for place in np.ndindex(dout.shape):
        one = np.zeros(dout.shape)
        one[place] = dout[place]
        with use_backend(_REFERENCE):
            parts.append(outcome(case.function, case.function.public, arguments | {"dout": one}))
    for order in (parts, parts[::-1]):
        left: dict[str, np.ndarray] = {}
        for part in order:
            for name, value in part.items():
                left[name] = np.where(np.not_equal(value, 0), value, left.get(name, 0.0))
        yield left


def _factor(case: Case, actual: Any, expected: Any) -> float | None:
    """The constant factor between expected and actual; None if there is none, or too few elements to decide."""
    actual, expected = (np.asarray(value, dtype=np.float64).ravel() for value in (actual, expected))
    if not (np.isfinite(actual).all() and np.isfinite(expected).all()) or np.count_nonzero(expected) == 0:
        return None
    factor = float(actual @ expected / (expected @ expected))
    usual = (2.0, 0.5, float(case.plan.get("N", 2) or 2), 1 / (case.plan.get("N", 2) or 2))
    is_certain = np.count_nonzero(expected) > 2 or any(abs(factor - one) < 1e-6 for one in usual)
    return factor if is_certain and _same(case, actual, factor * expected) else None


def _only_at_kinks(case: Case, actual: Any, expected: Any) -> bool:
    """Whether the input is 0 at all wrong elements."""
    stored = case.arguments.get("x", case.arguments.get("out"))
    if case.function.operation != "activations" or stored is None or np.shape(stored) != np.shape(expected):
        return False
    return bool((stored[_unlike(case, actual, expected)] == 0).all())


def _unlike(case: Case, actual: Any, expected: Any) -> np.ndarray:
    return wrong_places(np.asarray(actual), np.asarray(expected), case.terms)


def _is_single(actual: Any, expected: Any) -> bool:
    actual, expected = np.asarray(actual, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    scale = max(1.0, float(np.abs(expected[np.isfinite(expected)]).max(initial=0.0)))
    return bool(np.allclose(actual, expected, rtol=0, atol=tolerance(np.float32, 100) * scale, equal_nan=True))


def _same(case: Case, actual: Any, expected: Any) -> bool:
    try:
        assert_same(actual, expected, case.terms)
    except AssertionError:
        return False
    return True


def _is_float(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"

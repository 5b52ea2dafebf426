"""What is probably wrong with a kernel, in words: what explains most of several failing calls."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from . import hypotheses, shrinking
from .cases import Case
from .compare import Fault
from .hypotheses import Cause


def find(witnesses: Sequence[tuple[Case, Fault]], takes: Sequence[str]) -> Cause:
    """The likely cause of faults of one aspect.

    witnesses: calls that failed, the smallest one last; takes: what is special about that one (see `shrinking.traits`)
    """
    case, fault = witnesses[-1]
    if shrinking.EMPTY in takes:
        return Cause("empty batch", "a batch of no images is not handled: results are empty, gradients zero, losses 0")
    told: dict[Cause, int] = {}
    if explained := {"value": hypotheses.of_values, "form": _of_form}.get(fault.aspect):
        for witness in witnesses:
            for cause in dict.fromkeys(explained(*witness)):
                told[cause] = told.get(cause, 0) + 1
    if told:
        return max(told, key=lambda cause: told[cause])  # the first of equals
    return _of_aspect(case, fault) or _of_traits(takes) or Cause(None, "no known one; work the smallest case by hand")


def _of_aspect(case: Case, fault: Fault) -> Cause | None:
    if fault.aspect == "input":
        return Cause("overwritten", f"the kernel writes into its argument {fault.where}; let it work on a copy")
    if fault.aspect == "repeat":
        return Cause(
            "race",
            "threads that add to one element at the same time (a race), memory that was never initialised, or "
            "something kept from the call before",
        )
    if fault.aspect == "thread":
        return Cause("shared buffer", "calls in several threads share a buffer; let each call make its own")
    if fault.aspect == "count":
        return Cause("form", "the results are not those of the contract, in its order")
    if fault.aspect == "form":
        return Cause("shape", f"{fault.where} has the wrong shape")
    if fault.aspect == "error" and case.plan["layout"] != "C":
        return Cause("layout", "only arrays in C order are accepted; begin with np.ascontiguousarray")
    if fault.aspect == "error":
        return Cause("error", "arguments that the contract allows are refused; see the message")
    return None


def _of_form(case: Case, fault: Fault) -> Iterator[Cause]:
    """What a result of another shape, dtype or kind can come from."""
    where = fault.where
    actual: Any = fault.actual.get(where)
    expected: Any = case.expected[where]
    shape, wanted = np.shape(actual), np.shape(expected)
    if where == "dx" and not case.plan.get("need_dx", True):
        yield Cause("need_dx", "need_dx is ignored: dx is None where it is False")
    elif actual is None or expected is None or len(shape) != len(wanted):
        yield Cause("form", f"{where} has another form than the contract says")
    elif shape == wanted:
        kind = np.asarray(expected).dtype
        advice = "make arrays with dtype=x.dtype" if kind.kind == "f" else f"make it {kind}"
        yield Cause("dtype", f"{where} has the wrong dtype; {advice}")
    else:
        if "SH" in case.plan and shape == _rounded_up(case, wanted):
            yield Cause("tail", f"the size of {where} is rounded up; OH = 1 + (H + 2*pad - KH) // stride rounds down")
        if shape[::-1][:2] == wanted[-2:]:
            yield Cause("sides", f"height and width of {where} are swapped")
        for cause, results in hypotheses.altered_calls(case):
            if np.shape(results[where]) == shape:
                yield cause


def _rounded_up(case: Case, wanted: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a result of windows where one more hangs over each edge that has a tail."""
    plan = case.plan
    tails = (bool((plan[axis] + 2 * plan[f"P{axis}"] - plan[f"K{axis}"]) % plan[f"S{axis}"]) for axis in "HW")
    return (*wanted[:-2], *(length + tail for length, tail in zip(wanted[-2:], tails, strict=True)))


def _of_traits(takes: Sequence[str]) -> Cause | None:
    """What the smallest failing case takes to fail tells something too."""
    for trait, word, words in (
        (shrinking.OVERLAP, "accumulation", "where windows overlap, their contributions have to be added up (+=)"),
        (shrinking.TAIL, "tail", "rows and columns at the end that no window reaches belong to no window, but to dx"),
        (shrinking.LAYOUT, "layout", "the strides of an array are not heeded; begin with np.ascontiguousarray"),
        (shrinking.TIES, "ties", "equal values, or values at a kink, are not treated as the contract says"),
        (shrinking.NAN, "nan", "NaN does not spread as the contract says"),
    ):
        if any(one.startswith(trait) for one in takes):
            return Cause(word, words)
    return None

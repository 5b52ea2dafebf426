"""The probable cause of a failure: the one that explains most of the failing calls."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from . import hypotheses, shrinking
from .cases import Case
from .compare import Fault
from .hypotheses import Cause


def find(witnesses: Sequence[tuple[Case, Fault]], takes: Sequence[str]) -> Cause:
    """The most likely cause of faults of one aspect.

    witnesses: failing calls, the smallest one last; takes: the traits of the smallest one (see `shrinking.traits`)
    """
    case, fault = witnesses[-1]
    if shrinking.EMPTY in takes:
        return Cause(
            "empty batch", "a batch of no images is not handled: results must be empty, gradients zero, losses 0"
        )
    votes: dict[Cause, int] = {}
    if explained := {"value": hypotheses.of_values, "form": _of_form}.get(fault.aspect):
        for witness in witnesses:
            for cause in dict.fromkeys(explained(*witness)):
                votes[cause] = votes.get(cause, 0) + 1
    if votes:
        return max(votes, key=lambda cause: votes[cause])  # the first of equals
    return _of_aspect(case, fault) or _of_traits(takes) or Cause(None, "unknown; compute the smallest case by hand")


def _of_aspect(case: Case, fault: Fault) -> Cause | None:
    if fault.aspect == "input":
        return Cause("overwritten", f"the kernel writes into its argument {fault.where}; let it work on a copy")
    if fault.aspect == "repeat":
        return Cause(
            "race",
            "threads that add to one element at the same time (a race), uninitialised memory, or state kept from "
            "the previous call",
        )
    if fault.aspect == "thread":
        return Cause("shared buffer", "calls in several threads share a buffer; let each call make its own")
    if fault.aspect == "count":
        return Cause("form", "the results are not those of the contract, in the same order")
    if fault.aspect == "form":
        return Cause("shape", f"{fault.where} has the wrong shape")
    if fault.aspect == "error" and case.plan["layout"] != "C":
        return Cause("layout", "only arrays in C order are accepted; convert them with np.ascontiguousarray")
    if fault.aspect == "error":
        return Cause("error", "arguments that the contract allows raise an error; see the message")
    return None


def _of_form(case: Case, fault: Fault) -> Iterator[Cause]:
    """Possible causes of a result of another shape, dtype or kind."""
    where = fault.where
    actual: Any = fault.actual.get(where)
    expected: Any = case.expected[where]
    shape, wanted = np.shape(actual), np.shape(expected)
    if where == "dx" and not case.plan.get("need_dx", True):
        yield Cause("need_dx", "need_dx is ignored: dx must be None if it is False")
    elif actual is None or expected is None or len(shape) != len(wanted):
        yield Cause("form", f"{where} is not of the type or rank that the contract says")
    elif shape == wanted:
        kind = np.asarray(expected).dtype
        advice = "make arrays with dtype=x.dtype" if kind.kind == "f" else f"make it {kind}"
        yield Cause("dtype", f"{where} has the wrong dtype; {advice}")
    else:
        if "SH" in case.plan and shape == _rounded_up(case, wanted):
            yield Cause("tail", f"the size of {where} is rounded up; OH = 1 + (H + 2*pad - KH) // stride rounds down")
        if shape[::-1][:2] == wanted[-2:]:
            is_matrix = len(shape) == 2
            yield Cause(
                *(
                    ("transposed", f"{where} is transposed")
                    if is_matrix
                    else ("sides", f"height and width of {where} are swapped")
                )
            )
        for cause, results in hypotheses.altered_calls(case):
            if np.shape(results[where]) == shape:
                yield cause


def _rounded_up(case: Case, wanted: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the result if the number of windows is rounded up instead of down."""
    plan = case.plan
    tails = (bool((plan[axis] + 2 * plan[f"P{axis}"] - plan[f"K{axis}"]) % plan[f"S{axis}"]) for axis in "HW")
    return (*wanted[:-2], *(length + tail for length, tail in zip(wanted[-2:], tails, strict=True)))


def _of_traits(takes: Sequence[str]) -> Cause | None:
    """The cause suggested by the traits of the smallest failing case."""
    for trait, word, words in (
        (shrinking.OVERLAP, "accumulation", "where windows overlap, their contributions have to be added up (+=)"),
        (
            shrinking.TAIL,
            "tail",
            "rows and columns at the end that no window reaches must be ignored, and their dx must be 0",
        ),
        (shrinking.LAYOUT, "layout", "the strides of an array are ignored; convert it with np.ascontiguousarray"),
        (shrinking.TIES, "ties", "equal values, or values at a kink, are not treated as the contract says"),
        (shrinking.NAN, "nan", "NaN does not propagate as the contract says"),
    ):
        if any(one.startswith(trait) for one in takes):
            return Cause(word, words)
    return None

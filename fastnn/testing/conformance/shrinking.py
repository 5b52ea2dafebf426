"""Shrinking of a failing case, and the traits without which it does not fail."""

import itertools
from collections.abc import Callable, Iterator

from .cases import Case, lengths, make
from .compare import Fault
from .strategies import Plan, choices

TIES, EMPTY, NAN = "equal values (ties) or zeros", "no images (N = 0)", "NaN"
OVERLAP, TAIL, LAYOUT = "windows that overlap in", "a tail that no window reaches in", "arrays"

_FIRST, _LAST = ("dtype", "layout", "PH", "PW", "DH", "DW", "SH", "SW"), ("H", "W", "values")
_DRAWS = range(8)  # other values to try, as the present ones may give a right result in a smaller case
_ROUNDS = 10


def smallest(case: Case, fault: Fault, judge: Callable[[Case], Fault | None]) -> tuple[Case, Fault]:
    """Simplify one choice after the other, as long as the fault is of the same aspect."""
    for _ in range(_ROUNDS):
        before = case
        for name in sorted(case.plan, key=_order):
            for change, draw in itertools.product(_simpler(name, case), (case.plan["draw"], *_DRAWS)):
                tried = make(case.function, {**case.plan, **change, "draw": draw})
                found = judge(tried) if tried else None
                if tried and found and found.aspect == fault.aspect:
                    case, fault = tried, found
                    break
        if case is before:
            break
    return case, fault


def _order(name: str) -> tuple[int, str]:
    """Sort key: padding before image lengths, which may replace it; values last, when there are few."""
    if name in _FIRST:
        return _FIRST.index(name), name
    return len(_FIRST) + (_LAST.index(name) + 1 if name in _LAST else 0), name


def _simpler(name: str, case: Case) -> Iterator[Plan]:
    """Yield changes that simplify one choice, simplest first; the image may grow as padding shrinks."""
    plan, chosen, others = case.plan, case.plan[name], choices(case.function).get(name, ())
    if name == "N" and chosen == 0:  # an empty batch is not simpler than one image
        others = others[:1]
    elif name in ("H", "W"):  # may have grown with less padding
        others = tuple(length for length in others if length < chosen)
    else:
        others = others[: others.index(chosen)] if chosen in others else ()
    for simpler in others:
        yield {name: simpler}
        if name in ("PH", "PW"):
            yield {name: simpler, name[1]: plan[name[1]] + 2 * (chosen - simpler)}


def traits(case: Case, judge: Callable[[Case], Fault | None]) -> list[str]:
    """The traits of a smallest failing case; without any one of them it does not fail."""
    plan, sizes = case.plan, lengths(case.plan)
    found = [words[plan[name]] for name, words in _WORDS.items() if plan.get(name) in words]
    if plan["values"] == "ties" and (other := make(case.function, {**plan, "values": "normal"})) and not judge(other):
        found.append(TIES)
    if plan.get("N") == 0:
        found.append(EMPTY)
    if "KH" in plan:
        extents = [plan.get(f"D{axis}", 1) * (plan[f"K{axis}"] - 1) + 1 for axis in "HW"]
        pairs = ((extents["HW".index(axis)], plan[f"S{axis}"], plan[axis] + 2 * plan[f"P{axis}"]) for axis in "HW")
        for axis, (kernel, stride, length) in zip(("height", "width"), pairs, strict=True):
            if kernel > stride and sizes["OH" if axis == "height" else "OW"] > 1:
                found.append(f"{OVERLAP} {axis} (size {kernel}, stride {stride})")
            if (length - kernel) % stride:
                found.append(f"{TAIL} {axis} ({length} - {kernel} is not a multiple of {stride})")
            elif stride > kernel and sizes["OH" if axis == "height" else "OW"] > 1:
                found.append(f"gaps between windows in {axis} (size {kernel}, stride {stride})")
        if plan["PH"] or plan["PW"]:
            found.append(f"a border (pad {plan['PH']}, {plan['PW']})")
        if (plan.get("DH", 1), plan.get("DW", 1)) != (1, 1):
            found.append(f"a filter with gaps (dilation {plan['DH']}, {plan['DW']})")
        if any(plan[f"{name}H"] != plan[f"{name}W"] for name in "KSP"):
            found.append("height and width that differ")
    return found


_WORDS: dict[str, dict] = {
    "dtype": {"float32": "float32"},
    "layout": {
        "F": f"{LAYOUT} in Fortran order",
        "strided": f"{LAYOUT} with gaps between their elements",
        "reversed": f"{LAYOUT} whose first axis runs backwards",
    },
    "values": {"nan": NAN, "infinity": "infinity"},
    "in_place": {True: "out being w itself"},
    "need_dx": {False: "need_dx=False"},
}

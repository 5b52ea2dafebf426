"""Random plans. A plan is a dict of choices that determines all arguments of a kernel.

A case is shrunk by simplifying its plan; in `CHOICES` the simplest choice comes first.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from fastnn.kernels.dispatch.specification import Flag, Labels, Number, Result, Window

from .specs import Function, forward_of

Plan = dict[str, Any]

CHOICES: dict[str, tuple] = {
    # lengths; N = 0 is among `_EDGE_CASES`
    **{"N": (1, 2, 3), "C": (1, 2, 3, 4), "F": (1, 2, 5), "D": (1, 2, 3, 7), "M": (1, 2, 3, 5), "K": (1, 2, 3, 5)},
    **{"H": (1, 2, 3, 4, 5, 6, 7, 9), "W": (1, 2, 3, 4, 5, 6, 7, 11), "S": (1, 2, 3, 6), "rank": (2, 3, 4)},
    **{"KH": (1, 2, 3), "KW": (1, 2, 3)},
    # properties of the arrays
    "in_place": (False, True),  # out is w
    "layout": ("C", "F", "strided", "reversed"),
    "values": ("counting", "ties", "normal", "nan", "infinity"),
    "dtype": ("float64", "float32"),
}  # of all functions; numbers and windows have choices in the specification of a function

# The first plans; later ones are random.
_EDGE_CASES: tuple[Plan, ...] = (
    {"values": "normal", "layout": "C"},
    {"values": "ties", "layout": "F"},
    {"N": 0, "values": "normal", "layout": "C"},
    {"values": "nan", "layout": "strided"},
    {"values": "infinity", "layout": "C"},
    {"values": "normal", "layout": "reversed", "need_dx": False},
    {"N": 1, "H": 1, "W": 1, "C": 1, "S": 1, "F": 1, "D": 1, "M": 1, "values": "normal", "layout": "C"},
    {"values": "normal", "layout": "F", "in_place": True, "t": 1000},
)
_OFTEN = {
    "values": ("normal", "normal", "ties", "ties", "nan", "infinity"),
    "layout": ("C", "C", "F", "strided", "reversed"),
    "need_dx": (True, True, True, False),
    "DH": (1, 1, 2, 3),
    "DW": (1, 1, 2, 3),
}


def choices(function: Function) -> dict[str, tuple]:
    """The choices that determine the arguments of this function, each with its options."""
    found: dict[str, tuple] = {}
    for one in (function, forward_of(function)):
        for name, kind in one.arguments.items() if one else ():
            if isinstance(kind, Window):
                found |= dict.fromkeys((f"{kind.letter}H", f"{kind.letter}W"), kind.choices)
            elif isinstance(kind, (Number, Flag)):
                found[name] = kind.choices
            elif not isinstance(kind, Result):
                found |= {axis: CHOICES[axis] for axis in _axes(kind.axes) if axis in CHOICES}
            if isinstance(kind, Labels):
                found["K"] = CHOICES["K"]
    arrays = ("in_place",) if {"w", "out"} <= function.arguments.keys() and "out" in function.written else ()
    return found | {name: CHOICES[name] for name in (*arrays, "layout", "values", "dtype")}


def defaults(function: Function) -> dict[str, Plan]:
    """The choices that correspond to each parameter with a default; a kernel may lack the last of these."""
    found: dict[str, Plan] = {}
    for name, parameter in function.parameters.items():
        if parameter.default is not parameter.empty:
            kind = function.arguments[name]
            named = (f"{kind.letter}H", f"{kind.letter}W") if isinstance(kind, Window) else (name,)
            found[name] = dict.fromkeys(named, parameter.default)
    return found


def _axes(pattern: str) -> Iterator[str]:
    for axis in pattern.split():
        yield from {"...": ("N", "C", "S", "rank"), "channels": ("C", "pieces")}.get(axis, (axis,))


def draw(function: Function, dtype: str, number: int, generator: np.random.Generator) -> Plan:
    """The plan of this number: first the edge cases, then random ones. Its choices may be incompatible."""
    plan = {name: _one(generator, _OFTEN.get(name, of_name)) for name, of_name in choices(function).items()}
    if number < len(_EDGE_CASES):
        plan |= {name: value for name, value in _EDGE_CASES[number].items() if name in plan}
    if function.moves_ties and plan["values"] == "ties":
        plan["values"] = "normal"
    return {**plan, "dtype": dtype, "draw": number}


def large(function: Function, dtype: str, fixed: Plan) -> Plan:
    """A plan with the largest lengths, for repeated calls."""
    plan = {name: of_name[-1 if name.isupper() else 0] for name, of_name in choices(function).items()}
    simple = dict.fromkeys(("SH", "SW", "DH", "DW", "PH", "PW"), 1)
    simple |= {"RH": 2, "RW": 2, "groups": 2, "pieces": 2, "rank": 3, "S": 6}
    plan |= {name: value for name, value in simple.items() if name in plan}
    return {**plan, "values": "normal", **fixed, "dtype": dtype, "draw": 0}


def _one(generator: np.random.Generator, choices: tuple) -> Any:
    return choices[int(generator.integers(len(choices)))]

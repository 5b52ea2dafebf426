"""Which cases are drawn: a plan is a dict of small choices, from which all arguments of a kernel follow.

So a case is made smaller by making its plan smaller: in `CHOICES` the simplest comes first.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from .specs import Function, forward_of

Plan = dict[str, Any]

CHOICES: dict[str, tuple] = {
    # lengths; 0 images are asked for by name
    **{"N": (1, 2, 3), "C": (1, 2, 3, 4), "F": (1, 2, 5), "D": (1, 2, 3, 7), "M": (1, 2, 3, 5), "K": (1, 2, 3, 5)},
    **{"H": (1, 2, 3, 4, 5, 6, 7, 9), "W": (1, 2, 3, 4, 5, 6, 7, 11), "S": (1, 2, 3, 6), "rank": (2, 3, 4)},
    # windows: of the kernel, of the pooling behind it, strides and borders
    **dict.fromkeys(("KH", "KW", "QH", "QW", "SH", "SW", "RH", "RW"), (1, 2, 3)),
    **dict.fromkeys(("PH", "PW"), (0, 1, 2)),
    # numbers
    **{"epsilon": (0.1, 0.5), "slope": (0.01, 0.25), "alpha": (1.0, 0.5), "pieces": (1, 2, 3), "groups": (1, 2, 3)},
    **{"reg": (0.5, 0.0, 3.0), "label_smoothing": (0.0, 0.25), "p": (0.5, 1.0, 0.9), "seed": (7, 2**40 + 1)},
    **{"learning_rate": (0.5, 0.1), "momentum": (0.9, 0.5), "decay_rate": (0.9, 0.5), "weight_decay": (0.0, 0.25)},
    **{"beta1": (0.9, 0.5), "beta2": (0.99, 0.5), "t": (1, 2, 1000), "need_dx": (True, False)},
    # what the arrays are like
    "in_place": (False, True),  # out is w
    "layout": ("C", "F", "strided", "reversed"),
    "values": ("counting", "ties", "normal", "nan", "infinity"),
    "dtype": ("float64", "float32"),
}

WINDOWS = {"stride": "S", "pad": "P", "size": "K", "pool_size": "Q", "pool_stride": "R"}  # H or W follows

# A kernel may lack the last parameters where the contract has defaults; then these are the cases it is for.
DEFAULTS: dict[str, Plan] = {
    "stride": {"SH": 1, "SW": 1},
    "pad": {"PH": 0, "PW": 0},
    "need_dx": {"need_dx": True},
    "slope": {"slope": 0.01},
    "alpha": {"alpha": 1.0},
    "label_smoothing": {"label_smoothing": 0.0},
    "weight_decay": {"weight_decay": 0.0},
}

# One of each trap, before chance has its way.
_TRAPS: tuple[Plan, ...] = (
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
}


def keys(function: Function) -> list[str]:
    """The choices that decide about the arguments of this function."""
    found: dict[str, None] = {}
    for one in (function, forward_of(function)):
        for name in one.parameters if one else ():
            if one and name in one.shapes:
                found.update(dict.fromkeys(_axes(one.shapes[name])))
            elif name in WINDOWS:
                found.update(dict.fromkeys((f"{WINDOWS[name]}H", f"{WINDOWS[name]}W")))
            elif name == "x_shape":
                found.update(dict.fromkeys("NCHW"))
            elif name in CHOICES:
                found[name] = None
    written = ["in_place"] if function.operation == "updates" else []
    return [*(key for key in found if key in CHOICES), *written, "layout", "values", "dtype"]


def _axes(pattern: str) -> Iterator[str]:
    for axis in pattern.split():
        yield from {"...": ("rank", "S"), "channels": ("C", "pieces")}.get(axis, (axis,))


def draw(function: Function, dtype: str, number: int, generator: np.random.Generator) -> Plan:
    """The plan of this number: first one of each trap, then by chance. Its choices may not belong together."""
    names = keys(function)
    plan = {name: _one(generator, _OFTEN.get(name, CHOICES[name])) for name in names}
    if number < len(_TRAPS):
        plan |= {name: value for name, value in _TRAPS[number].items() if name in names}
    if function.folds and plan["values"] == "ties":
        plan["values"] = "normal"
    return {**plan, "dtype": dtype, "draw": number}


def large(function: Function, dtype: str, fixed: Plan) -> Plan:
    """A plan as large as they come, to be run again and again."""
    plan = {name: CHOICES[name][-1] for name in keys(function)}
    plan |= {name: CHOICES[name][0] for name in plan if name in DEFAULTS or not name.isupper()}
    simple = {"SH": 1, "SW": 1, "PH": 1, "PW": 1, "RH": 2, "RW": 2, "groups": 2, "pieces": 2, "rank": 3, "S": 6}
    plan |= {name: value for name, value in simple.items() if name in plan}
    return {**plan, "values": "normal", **fixed, "dtype": dtype, "draw": 0}


def _one(generator: np.random.Generator, choices: tuple) -> Any:
    return choices[int(generator.integers(len(choices)))]

"""Test cases: arguments built from a plan, and the expected results of the naive loops in float64."""

import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from fastnn.kernels import use_backend
from fastnn.kernels.dispatch.specification import Flags, Floats, Labels, Pixels, Shape, Window

from .specs import Function, forward_of
from .strategies import Plan, draw

Arguments = dict[str, Any]

_REFERENCE, _FORWARD = "naive", "vectorized"  # the oracle; the backend that computes preceding forward passes
_COUNTED = 7  # values count from 1 to this, then start again
_SPECIAL = ("x", "X", "dout", "dw")  # the arrays in which NaN and infinity are placed
_ATTEMPTS = 40  # plans to draw for one valid case


class Case(NamedTuple):
    """Arguments of one call, in C order, and the expected results (see `outcome`); `fresh` copies the arguments."""

    function: Function
    plan: Plan
    arguments: Arguments
    expected: dict[str, Any]

    def fresh(self) -> Arguments:
        """Copies of the arguments in the layout of the plan, which a kernel may overwrite."""
        return laid_out(self.function, self.plan, self.arguments)

    @property
    def terms(self) -> int:
        """Upper bound on the number of terms in a sum, statistics and penalties included."""
        allowed = getattr(self.function, "allowed_terms", 50)
        return allowed * max(
            (value.size for value in self.arguments.values() if isinstance(value, np.ndarray)), default=1
        )


def drawn(function: Function, dtype: str, fixed: Plan, seed: int, count: int) -> Iterator[Case]:
    """Yield up to `count` cases, fewer if no valid plan is found. fixed: choices that are not drawn."""
    chance = np.random.default_rng([seed, zlib.crc32(function.name.encode())])
    for number in range(count):
        plans = ({**draw(function, dtype, number, chance), **fixed} for _ in range(_ATTEMPTS))
        if case := next(filter(None, (make(function, plan) for plan in plans)), None):
            yield case


def make(function: Function, plan: Plan) -> Case | None:
    """The case of a plan, or None if its choices are incompatible."""
    try:
        arguments = build(function, plan)
        wide = {name: _widened(value) for name, value in laid_out(function, {**plan, "layout": "C"}, arguments).items()}
        with use_backend(_REFERENCE):
            expected = outcome(function, function.public, wide)
    except (ValueError, TypeError):
        return None
    return Case(function, plan, arguments, expected)


def build(function: Function, plan: Plan) -> Arguments:
    """Build the arguments in the contract's order. Raises ValueError if the plan's choices are incompatible."""
    sizes, forward = lengths(plan), forward_of(function)
    given: Arguments = {}
    if forward and (derived := set(forward.results) & set(function.parameters)):
        arguments = build(forward, plan)
        with use_backend(_FORWARD):
            results = outcome(forward, forward.public, arguments)
        given = {name: results[name] for name in derived}
    for name in function.parameters:
        if name not in given:
            given[name] = _argument(function, plan, sizes, name)
    return {name: given[name] for name in function.parameters}


def outcome(function: Function, kernel: Callable, arguments: Arguments) -> dict[str, Any]:
    """Call a kernel; return its results and the arrays it wrote, by name. Raises WrongCount."""
    with np.errstate(all="ignore"):
        returned = kernel(*arguments.values())
    names = function.results
    values = returned if len(names) > 1 and isinstance(returned, (tuple, list)) else (returned,) * bool(names)
    if len(values) != len(names):
        found = f"{len(values)} result{'s' * (len(values) != 1)}"
        raise WrongCount(f"returns {found}; expected {len(names)}: {', '.join(names)}")
    return {**dict(zip(names, values, strict=True)), **{name: arguments[name] for name in function.written}}


class WrongCount(ValueError):
    """A kernel returns more or fewer results than its contract says."""


def lengths(plan: Plan) -> Plan:
    """The lengths of all axes: those of the plan and those derived from them."""
    sizes = dict(plan)
    if "KH" in plan:
        for axis in "HW":
            extent = plan.get(f"D{axis}", 1) * (plan[f"K{axis}"] - 1) + 1
            sizes[f"O{axis}"] = 1 + (plan[axis] + 2 * plan[f"P{axis}"] - extent) // plan[f"S{axis}"]
            if "QH" in plan:
                sizes[f"U{axis}"] = 1 + (sizes[f"O{axis}"] - plan[f"Q{axis}"]) // plan[f"R{axis}"]
    sizes["channels"], sizes["G"] = plan.get("C", 1) * plan.get("pieces", 1), plan.get("groups", 1)
    return sizes


def shape(pattern: str, sizes: Plan) -> tuple[int, ...]:
    """The lengths of the axes of a pattern. Raises ValueError if one would be negative."""
    found: list[int] = []
    for axis in pattern.split():
        if axis == "...":
            found += sizes.get("...", [sizes["N"], sizes["C"], sizes["S"], 2][len(found) :])
        else:
            found.append(int(axis) if axis.isdigit() else sizes[axis])
    found = found[: sizes["rank"]] if pattern.endswith("...") else found
    if min(found) < 0:
        raise ValueError(f"the plan gives the shape {found}")
    return tuple(found)


def _argument(function: Function, plan: Plan, sizes: Plan, name: str) -> Any:
    """A valid argument. A plan may hold a range (low, high) for integers, instead of the usual one."""
    kind, drawn = function.arguments[name], generator(plan, name)
    if isinstance(kind, Floats):
        values = _floats(plan, name, kind, shape(kind.axes, sizes), ties=not function.moves_ties)
        return (
            np.round(16 * values) / 16 if function.jumps else values
        )  # multiples of 1/16 are computed without rounding
    if isinstance(kind, Window):
        both = plan[f"{kind.letter}H"], plan[f"{kind.letter}W"]
        return both[0] if both[0] == both[1] else both
    if isinstance(kind, Shape):
        return shape(kind.axes, sizes)
    if isinstance(kind, Labels):
        return drawn.integers(plan["K"], size=plan["N"])
    if isinstance(kind, Flags):
        return drawn.random(plan["N"]) < 0.5
    if isinstance(kind, Pixels):
        low, high = plan.get(name, (-plan["H"] if kind.negative else 0, plan["H"] + 1))
        return drawn.integers(low, high, size=plan["N"])
    return plan[name]


def generator(plan: Plan, name: str) -> np.random.Generator:
    """A generator seeded by the plan's number and the argument's name only."""
    return np.random.default_rng([plan["draw"], zlib.crc32(name.encode())])


def _floats(plan: Plan, name: str, floats: Floats, shape: tuple[int, ...], ties: bool) -> np.ndarray:
    """An array of the plan's kind of values.

    "sixteenths" is used in benchmarks: sums of products of such numbers are exact in float32 too, and maxima, kinks and
    ties are the same on every backend and in PyTorch.
    """
    drawn, kind = generator(plan, name), plan["values"]
    if kind == "counting":
        values = 1.0 + np.arange(np.prod(shape, dtype=int)) % _COUNTED
        values = (drawn.permutation(values) if plan["draw"] % 2 else values).reshape(shape)
    elif kind == "sixteenths":
        values = np.rint(drawn.standard_normal(shape) * 16) / 16 * floats.scale
    elif kind == "normal" or not ties:
        values = drawn.standard_normal(shape)
    else:
        values = drawn.choice([-2.0, -1.0, -0.0, 0.0, 1.0, 2.0], size=shape)
    special = {"nan": [np.nan], "infinity": [np.inf, -np.inf]}.get(kind)
    if special and name in _SPECIAL and values.size:
        special_places = drawn.random(shape) < 0.15
        special_places.flat[drawn.integers(values.size)] = True
        values = np.where(special_places, drawn.choice(special, size=shape), values)
    if floats.positive:
        values = np.abs(values) + 0.5
    return values.astype(plan["dtype"])


def laid_out(function: Function, plan: Plan, arguments: Arguments) -> Arguments:
    """Copies of the arguments: input arrays in the layout of the plan, output arrays in C order."""
    copies = {}
    for name, value in arguments.items():
        plain = not isinstance(value, np.ndarray) or not value.ndim or name in function.written
        layout = "C" if plain or plan.get("in_place") else plan["layout"]
        copies[name] = _LAYOUTS[layout](value) if isinstance(value, np.ndarray) else value
    if plan.get("in_place"):
        copies["out"] = copies["w"]
    return copies


def _strided(array: np.ndarray) -> np.ndarray:
    """A strided view with a copy of the array: every second element of a larger array."""
    wide = np.ones((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    wide[..., ::2] = array
    return wide[..., ::2]


_LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "C": lambda array: array.copy(order="C"),
    "F": lambda array: array.copy(order="F"),
    "strided": _strided,
    "reversed": lambda array: array[::-1].copy()[::-1],
}


def _widened(value: Any) -> Any:
    return value.astype(np.float64) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value

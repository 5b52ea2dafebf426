"""The benchmark cases, `CASES`: every operation at the sizes of the courses' networks.

They are built from the specifications of the operations (`kernels/<operation>/spec.py`), which give the functions
timed together, the sizes, the cost and the equivalent calls of PyTorch.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from fastnn.kernels import OPERATIONS
from fastnn.kernels.dispatch import specification
from fastnn.kernels.dispatch.specification import Floats, Timed, Window
from fastnn.testing.conformance import strategies
from fastnn.testing.conformance.cases import build, lengths, shape
from fastnn.testing.conformance.specs import FUNCTIONS, Function

Arguments = dict[str, Any]
Calls = dict[str, Callable[[], Any]]

REFERENCE = "vectorized"  # the backend that computes the forward results a backward pass needs
_FLAGS = ("headline", "whole", "slow")
_TINY = {"N": 3, "C": 3, "F": 3, "H": 9, "W": 8, "D": 7, "M": 5, "K": 4}


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """Functions on arrays of given sizes, with one call without arguments for each pass.

    Passes are "forward" and "backward"; "loss" if one call returns the value and its gradient; "update".
    x: shape of the input, images first; slow naive loops are timed on fewer images
    numbers: other lengths and arguments
    headline: whether `fastnn bench` times it by default
    whole: the naive loops are always timed on all images
    slow: the naive loops take minutes for a single image
    """

    operation: str
    timed: Timed
    x: tuple[int, ...]
    numbers: Mapping[str, Any]
    headline: bool = False
    whole: bool = False
    slow: bool = False

    @property
    def function(self) -> str:
        """The kernel's name without _forward and _backward."""
        return self.timed.name

    @property
    def passes(self) -> tuple[str, ...]:
        return tuple(self.timed.passes)

    @property
    def random_peer(self) -> tuple[str, ...]:
        """Passes in which PyTorch draws random numbers."""
        return self.timed.random

    @property
    def name(self) -> str:
        """A short, unique name."""
        return f"{self.function} {'x'.join(map(str, self.x))}{self.timed.label(self.sizes())}"

    @property
    def functions(self) -> dict[str, Function]:
        """The function of each pass."""
        return {direction: FUNCTIONS[name] for direction, name in self.timed.passes.items()}

    @property
    def plan(self) -> strategies.Plan:
        """The plan that gives the case's arguments; see `fastnn.testing.conformance.strategies`."""
        plan: strategies.Plan = {"draw": 0, "rank": len(self.x)}
        for function in self.functions.values():
            plan |= {name: of_name[0] for name, of_name in strategies.choices(function).items()}
            for name, kind in function.arguments.items():
                if isinstance(kind, Window):
                    given = self.numbers.get("kernel" if kind.letter == "K" else name, kind.minimum)
                    plan |= dict.fromkeys((f"{kind.letter}H", f"{kind.letter}W"), given)
        if "kernel" in self.numbers:
            plan |= dict.fromkeys(("KH", "KW"), self.numbers["kernel"])
        plan |= {"values": "sixteenths", "layout": "C", **self.timed.numbers, **self.numbers, "rank": len(self.x)}
        for place, axis in enumerate(self._axes[: len(self.x)]):
            plan[axis] = list(self.x[place:]) if axis == "..." else self.x[place]
        if "..." in self._axes:
            plan |= dict(zip("NC", self.x, strict=False))
        if "channels" in plan:
            plan["C"] = plan["channels"] // plan["pieces"]
        return plan

    @property
    def _axes(self) -> list[str]:
        """The axes of x, the first array of the first pass whose first axis is N."""
        function = next(iter(self.functions.values()))
        kinds = (kind for kind in function.arguments.values() if isinstance(kind, Floats))
        return next(kind.axes.split() for kind in kinds if kind.axes[0] in "N.")

    def sizes(self) -> dict[str, Any]:
        """The lengths of all axes, all numbers, and the elements of each array under its name."""
        sizes, plan = lengths(self.plan), self.plan
        for function in self.functions.values():
            for name, kind in function.arguments.items():
                if isinstance(kind, Floats):
                    sizes[name] = math.prod(shape(kind.axes, lengths(plan)))
        return sizes

    def inputs(self, dtype: Any) -> Arguments:
        """The arguments of all passes by name, the same every time."""
        plan = {**self.plan, "dtype": np.dtype(dtype).name}
        arguments: Arguments = {}
        for function in self.functions.values():
            arguments |= build(function, plan)
        return arguments

    def calls(self, arguments: Arguments) -> Calls:
        """A call of each pass, on the backend active at that time. Arrays updated in place are copies."""
        return {direction: self._call(function, arguments) for direction, function in self.functions.items()}

    def _call(self, function: Function, arguments: Arguments) -> Callable[[], Any]:
        public, given = function.public, {name: arguments[name] for name in function.arguments}
        if not function.written:
            values = tuple(given.values())
            return lambda: public(*values)
        given |= {name: given[name].copy() for name in function.written}
        if self.plan.get("in_place"):
            given["w"] = given["out"] = given["w"].copy()
        values, written = tuple(given.values()), tuple(given[name] for name in function.written)

        def call() -> tuple:
            result = public(*values)
            return (result, *written) if function.results else written

        return call

    def torch_calls(self, arguments: Arguments) -> Calls:
        """A call of each pass in PyTorch; passes that it lacks are left out."""
        import torch

        peer, sizes = self.timed.peer, self.sizes()
        tensors = {name: torch.from_numpy(value.copy()) for name, value in _arrays(arguments).items()}
        if self.timed.prepared:
            return {self.passes[0]: self.timed.prepared(torch, SimpleNamespace(**tensors), sizes)}
        if peer is None:
            return {}
        if isinstance(peer, Mapping):
            given = SimpleNamespace(**tensors)
            return {name: functools.partial(one, torch, given, sizes) for name, one in peer.items()}
        leaves = [tensors[name].clone().requires_grad_() for name in self.timed.leaves]
        graph = SimpleNamespace(**{**tensors, **dict(zip(self.timed.leaves, leaves, strict=True))})
        if "loss" in self.passes:

            def loss() -> tuple:
                value = peer(torch, graph, sizes)
                return value.detach(), *torch.autograd.grad(value, leaves)

            return {"loss": loss}
        out, given = peer(torch, graph, sizes), SimpleNamespace(**tensors)

        def forward() -> Any:
            with torch.no_grad():
                return peer(torch, given, sizes)

        return {
            "forward": forward,
            "backward": lambda: torch.autograd.grad(out, leaves, tensors["dout"], retain_graph=True),
        }

    def sklearn_calls(self, arguments: Arguments) -> Calls:
        """A call of the first pass in scikit-learn; empty if it lacks it."""
        if not self.timed.sklearn:
            return {}
        copies = {name: value.copy() for name, value in _arrays(arguments).items()}
        return {self.passes[0]: self.timed.sklearn(SimpleNamespace(**copies), self.sizes())}

    def cost(self, direction: str, itemsize: int) -> tuple[float, str]:
        """The floating-point operations of a pass and "FLOP/s", or the bytes it must read and write and "B/s"."""
        return self.timed.work(self.sizes(), itemsize)[direction], self.timed.unit

    def terms(self) -> int:
        """Number of products in the longest sum of any pass, which determines the tolerance."""
        return self.timed.terms(self.sizes())

    def tiny(self) -> "Case":
        """The same functions on small arrays, for which the naive loops take milliseconds."""
        named = [axis for axis in self._axes if axis != "..."]
        tiny = [_TINY.get(axis, 3) for axis in [*named, *"NC"[len(named) :]]] if len(self.x) > 1 else [37]
        rest = [5, 4][: len(self.x) - len(tiny)]
        parts = self.numbers.get("pieces", self.numbers.get("groups", 0))
        if parts:
            tiny[1] = 2 * parts
        x = tuple(min(length, small) for length, small in zip(self.x, [*tiny, *rest], strict=True))
        numbers = {name: min(value, _TINY[name]) if name in _TINY else value for name, value in self.numbers.items()}
        return dataclasses.replace(self, x=x, numbers=numbers)


def _arrays(arguments: Arguments) -> dict[str, np.ndarray]:
    return {name: value for name, value in arguments.items() if isinstance(value, np.ndarray)}


def select(operations: Iterable[str]) -> tuple[Case, ...]:
    """The cases of the given operations, named as in `kernels.OPERATIONS`."""
    wanted = set(operations)
    return tuple(case for case in CASES if case.operation in wanted)


def with_images(case: Case, images: int) -> Case:
    """The same case on a batch of another size."""
    return dataclasses.replace(case, x=(images, *case.x[1:]))


def in_float64(arguments: Arguments) -> Arguments:
    """The inputs of a case with floats converted to float64, for the reference result."""
    wide = {name: array.astype(np.float64) for name, array in _arrays(arguments).items() if array.dtype.kind == "f"}
    return {**arguments, **wide}


def _case(operation: str, timed: Timed, sizes: Mapping[str, Any]) -> Case:
    numbers = {name: value for name, value in sizes.items() if name != "x" and name not in _FLAGS}
    return Case(operation, timed, sizes["x"], numbers, **{name: sizes.get(name, False) for name in _FLAGS})


CASES: tuple[Case, ...] = tuple(
    _case(operation, timed, sizes)
    for operation in OPERATIONS
    for timed in specification.timed(operation)
    for sizes in timed.cases
)

HEADLINE: tuple[Case, ...] = tuple(case for case in CASES if case.headline)

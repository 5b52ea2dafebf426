"""Data types that describe arguments and results of public functions, for `kernels/<operation>/spec.py`.

The cases of `fastnn check`, warm-up, benchmarks, and tests of bad values, threads and support are derived from them.

Axes are named as in `fastnn.kernels`. In addition, `channels` is C * pieces, G the number of groups, a final `...` any
further axes, OH OW the rows and columns of the output of a convolution or a pooling, and UH UW those of a pooling that
follows a convolution.
"""

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from . import validation

_KERNELS = __package__.rpartition(".")[0]
IMAGES, ANY = "N C H W", "N C ..."


class Floats(NamedTuple):
    """An array of float32 or float64. positive: no element is negative; scale: of the benchmark's numbers."""

    axes: str
    positive: bool = False
    scale: float = 1.0


class Labels(NamedTuple):
    """The class of each image: integers of shape (N,), from 0 to K - 1."""

    axes: str = "N"


class Pixels(NamedTuple):
    """A number of pixels for each image, of shape (N,), from -H or from 0 to H."""

    axes: str = "N"
    negative: bool = True


class Flags(NamedTuple):
    """A boolean for each image, of shape (N,)."""

    axes: str = "N"


class Result(NamedTuple):
    """A result of the forward pass that is not an array of floats: an index or a mask."""

    axes: str


class Shape(NamedTuple):
    """The shape of an array of images."""

    axes: str = IMAGES


class Window(NamedTuple):
    """A (height, width) pair, or one integer for both. letter: of its two entries in a plan, SH and SW for S."""

    letter: str
    choices: tuple[int, ...]
    minimum: int = 1


class Number(NamedTuple):
    """A number within limits. choices: the values that tests draw, the simplest first."""

    choices: tuple
    minimum: float | None = None
    above: float | None = None
    maximum: float | None = None
    below: float | None = None
    integer: bool = False

    @property
    def limits(self) -> dict[str, float]:
        """The limits as keyword arguments of the checks in `validation`."""
        named = {"minimum": self.minimum, "above": self.above, "maximum": self.maximum, "below": self.below}
        return {name: limit for name, limit in named.items() if limit is not None}


class Flag(NamedTuple):
    """True or False."""

    choices: tuple[bool, ...] = (True, False)


KERNEL, STRIDE, PAD = Window("K", (1, 2, 3)), Window("S", (1, 2, 3)), Window("P", (0, 1, 2), 0)
DILATION = Window("D", (1, 2, 3))
POOL_SIZE, POOL_STRIDE = Window("Q", (1, 2, 3)), Window("R", (1, 2, 3))
EPSILON = Number((0.1, 0.5), above=0)
NEED_DX = Flag()


class Function(NamedTuple):
    """A public function.

    arguments: its parameters, by name and in order
    results: the names of what it returns
    written: the arguments that it updates in place, which are compared like results
    forward: the function whose results it takes as arguments, if any
    spreads_nan: more elements than in the formula may become NaN, since a variant may multiply NaN by padding zeros
    mixes_infinity: infinity may or may not become NaN, since formulas that agree on finite numbers differ on it
    moves_ties: a norm may be folded into the layer before a maximum, so that equal values differ after rounding
    jumps: it is discontinuous, so rounding may change a result; see `updates.rules.Rule`
    operation: the folder that it belongs to, set by `functions`
    """

    name: str
    arguments: Mapping[str, Any]
    results: tuple[str, ...]
    written: tuple[str, ...] = ()
    forward: str | None = None
    spreads_nan: bool = False
    mixes_infinity: bool = False
    moves_ties: bool = False
    jumps: bool = False
    operation: str = ""

    @property
    def public(self) -> Callable:
        """The function, which runs on the active backend."""
        return getattr(importlib.import_module(f"{_KERNELS}.{self.operation}"), self.name)

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        return dict(inspect.signature(self.public).parameters)


def pair(
    forward: str,
    backward: str,
    forward_arguments: Mapping[str, Any],
    backward_arguments: Mapping[str, Any],
    results: tuple[str, ...],
    gradients: tuple[str, ...],
    **traits: Any,
) -> tuple[Function, Function]:
    """Return the forward and the backward pass of a layer. traits: fields of the backward pass."""
    return (
        Function(forward, forward_arguments, results),
        Function(backward, backward_arguments, gradients, forward=forward, **traits),
    )


class Timed(NamedTuple):
    """A benchmark: the passes of a layer, a loss, or an update.

    name: the prefix of the names of its cases
    passes: the function of each pass
    cases: made by `sizes`
    label: a short text with the sizes of a case
    work: the cost of each pass, given the sizes and the bytes of an element; unit: FLOP/s or B/s
    terms: the number of terms in the longest sum, which sets the tolerance
    numbers: values of arguments in all cases
    peer: the same work in PyTorch, called with the module, tensors by name, and sizes; one function, or one per pass
    prepared: used instead of `peer` for peers with a state; returns the function that is timed
    sklearn: the same work of the first pass in scikit-learn, called with the arrays by name and sizes; returns the
        function that is timed
    leaves: the arrays with respect to which PyTorch differentiates the result of `peer`
    random: passes in which PyTorch draws its own random numbers

    Sizes are a dict of the lengths of all axes, of all numbers, and of the size of each array under its name.
    """

    name: str
    passes: Mapping[str, str]
    cases: tuple[Mapping[str, Any], ...]
    work: Callable[[Mapping, int], Mapping[str, float]]
    unit: str = "B/s"
    label: Callable[[Mapping], str] = lambda sizes: ""
    terms: Callable[[Mapping], int] = lambda sizes: 1
    numbers: Mapping[str, Any] = MappingProxyType({})
    peer: Any = None
    prepared: Callable | None = None
    sklearn: Callable | None = None
    leaves: tuple[str, ...] = ()
    random: tuple[str, ...] = ()


def layer(name: str, work: Callable, cases: Iterable[Mapping], **more: Any) -> Timed:
    """Return the benchmark of the forward and the backward pass of a layer."""
    passes = {direction: f"{name}_{direction}" for direction in ("forward", "backward")}
    return Timed(name, **{"passes": passes, **more}, cases=tuple(cases), work=work)


def sizes(x: tuple[int, ...], **given: Any) -> dict[str, Any]:
    """Return the sizes of a case. x: the shape of its first array of floats; kernel, stride, ...: of both axes.

    headline: one of the few cases that `fastnn bench` times by default; whole: the naive loops are timed on all images,
    even if this takes long; slow: they take minutes for a single image
    """
    return {"x": x, **given}


_REMEMBERED = 256  # combinations of shapes that are not checked again, for each function


def floats(functions: Iterable[Function]) -> Callable[..., tuple]:
    """Return `check(function, x=x, ...)`, which checks arrays like `validation.floats` against the axes of the spec."""
    patterns = {
        function.name: {
            name: validation.axes(kind.axes) for name, kind in function.arguments.items() if isinstance(kind, Floats)
        }
        for function in functions
    }

    seen: dict[str, set[tuple]] = {function: set() for function in patterns}  # dtypes and shapes of ready arrays

    def check(function: str, /, **given: Any) -> tuple:
        described = _described(given)
        if described in seen[function]:
            return tuple(given.values())
        if not validation.are_ready(given, patterns[function]):
            return validation.converted(function, given, patterns[function])
        if described is not None:
            if len(seen[function]) >= _REMEMBERED:
                seen[function].clear()
            seen[function].add(described)
        return tuple(given.values())

    return check


def _described(given: Mapping[str, Any]) -> tuple | None:
    """Return names, dtype and shapes of C-contiguous, aligned, writeable NumPy arrays of one dtype; else None."""
    shapes = []
    dtype = None
    for value in given.values():
        if type(value) is not np.ndarray or not value.flags.carray:
            return None
        if dtype is None:
            dtype = value.dtype
        elif value.dtype is not dtype:
            return None
        shapes.append(value.shape)
    return (*given, dtype, *shapes)


def number(functions: Iterable[Function]) -> Callable[[str, str, Any], Any]:
    """Return `check(function, name, value)`, which checks a number against the limits of the spec."""
    kinds = {function.name: function.arguments for function in functions}
    checks: dict[tuple[str, str], tuple[Callable, dict[str, float]]] = {}  # made when first needed

    def check(function: str, name: str, value: Any) -> Any:
        if (function, name) not in checks:
            kind = kinds[function][name]
            checks[function, name] = validation.integer if kind.integer else validation.number, kind.limits
        checked, limits = checks[function, name]
        return checked(function, name, value, **limits)

    return check


def functions(operation: str) -> dict[str, Function]:
    """Return the public functions of an operation by name."""
    found = importlib.import_module(f"{_KERNELS}.{operation}.spec").FUNCTIONS
    return {function.name: function._replace(operation=operation) for function in found}


def timed(operation: str) -> tuple[Timed, ...]:
    """Return the benchmarks of an operation."""
    return importlib.import_module(f"{_KERNELS}.{operation}.spec").TIMED

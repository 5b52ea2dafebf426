"""Checks of what a user passes in: every public function calls these, once, in front of the dispatch.

Each check returns the value in the form the kernels want, or raises ValueError or TypeError that reads
`function: what is wrong with name=value; what was expected; what to do.`
"""

import functools
import math
import numbers
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from . import arrays
from .wording import brief, suggestion


def floats(function: str, /, **named: tuple[Any, str]) -> tuple:
    """Arrays of one floating dtype, C-contiguous, whose shapes agree: `floats("f", x=(x, "N D"), b=(b, "D"))`.

    A pattern names one axis per word; a name that occurs twice must have one length; a number is that
    length; a closing `...` stands for any further axes. Integer and boolean arrays are converted to the
    dtype of the float ones (float64 where there are none); float32 with float64 gives float64, as in NumPy.
    """
    if _are_ready(named.values()):
        return tuple(value for value, _ in named.values())
    given = {name: array(function, name, value) for name, (value, _) in named.items()}
    for name, value in given.items():
        _check_float(function, name, value.dtype)
    lengths: dict[str, tuple[int, str]] = {}
    for name, value in given.items():
        _unify(function, name, value.shape, named[name][1], lengths)
    dtype = arrays.common_dtype(given.values())
    return tuple(arrays.contiguous(value, dtype) for value in given.values())


def _are_ready(given: Iterable[tuple[Any, str]]) -> bool:
    """Whether nothing is to be converted and no error to be raised, found out fast: small layers wait for it."""
    first = None
    lengths: dict[str, int] = {}
    for value, pattern in given:
        if type(value) is not np.ndarray:
            if not arrays.is_on_device(value) or not value.flags.c_contiguous or not arrays.computes_on_gpu():
                return False
        elif not value.flags.carray:
            return False
        first = first or value.dtype
        axes, fixed = _axes(pattern)
        shape = value.shape
        if value.dtype is not first or len(shape) < len(fixed) or (len(shape) > len(fixed) and fixed is axes):
            return False
        for label, length in zip(fixed, shape, strict=False):
            if lengths.setdefault(label, int(label) if label.isdigit() else length) != length:
                return False
    return first in _READY


_READY = (np.dtype(np.float32), np.dtype(np.float64))


def array(function: str, name: str, value: Any) -> np.ndarray:
    """Anything array-like as an array: lists, and what NumPy reads through `__array__` or DLPack, such as tensors.

    Subclasses of NumPy's arrays that give their numbers another meaning are not accepted.
    """
    if type(value) is np.ndarray:
        return value
    plain(function, name, value)
    try:
        return arrays.asarray(value)
    except (ValueError, TypeError, RuntimeError, BufferError) as error:
        raise TypeError(
            f"{function}: {name}={brief(value)} is not an array ({error}); expected numbers in rows of equal "
            f"length; pass a NumPy array"
        ) from error


def plain(function: str, name: str, value: Any) -> None:
    """No array that gives its numbers another meaning than NumPy's do (see `arrays.refusal`), nor a list of them."""
    found = arrays.refusal(value)
    if found:
        what, remedy = found
        raise TypeError(f"{function}: {name} is {what}; expected a plain array; {remedy.format(name)}")


def shape(function: str, name: str, value: np.ndarray, expected: tuple[int, ...]) -> None:
    """The array has exactly the expected shape."""
    if value.shape != expected:
        raise ValueError(
            f"{function}: {name}.shape = {value.shape} does not fit; expected {expected} from the other arguments; "
            f"pass the arrays of one forward pass"
        )


def fits(function: str, name: str, value: Any, count: int) -> None:
    """This machine's memory could hold the array of `count` numbers that an argument asks for."""
    if count > arrays.memory() // 4:  # bytes of float32
        raise ValueError(
            f"{function}: {name}={brief(value)} asks for an array of {count} numbers; expected at most "
            f"{arrays.memory() // 4}, as many as this machine's memory holds; choose a smaller one"
        )


def not_empty(function: str, name: str, value: np.ndarray) -> None:
    """No axis of the array has length 0."""
    if value.size == 0:
        raise ValueError(
            f"{function}: {name}.shape = {value.shape} is empty; expected at least one element on every axis; "
            f"check how {name} was made"
        )


def has_statistics(function: str, name: str, shape: tuple[int, ...]) -> None:
    """A batch of this shape (N, C, ...) has at least one element in each channel."""
    if math.prod((shape[0], *shape[2:])) == 0:
        raise ValueError(
            f"{function}: {name}.shape = {shape} has no elements in a channel; expected at least one, to take the mean "
            f"of; pass a batch that is not empty, or use statistics of your own"
        )


def not_negative(function: str, name: str, value: np.ndarray) -> None:
    """No element of the array is below 0; of a device array, which is not read here, NaN will tell."""
    if not arrays.is_on_device(value) and value.size and np.fmin.reduce(value, axis=None) < 0:
        raise ValueError(
            f"{function}: {name} contains {value[value < 0][0]}; expected no number below 0; pass {name} as the "
            f"forward pass returned it, or running averages of it"
        )


def index(function: str, name: str, value: Any, expected: tuple[int, ...], maximum: int, dtype: np.dtype) -> np.ndarray:
    """The places of a pooling's winners: integers from 0 to `maximum`, in the expected shape, as `dtype`."""
    given = array(function, name, value)
    if given.dtype.kind not in "iu":
        raise TypeError(
            f"{function}: {name}.dtype = {given.dtype} holds no places; expected integers; "
            f"pass {name} as the forward pass returned it"
        )
    shape(function, name, given, expected)
    readable = given.size and not arrays.is_on_device(given)
    if readable and ((given.dtype.kind == "i" and given.min() < 0) or given.max() > maximum):
        raise ValueError(
            f"{function}: {name} ranges from {given.min()} to {given.max()}; expected 0 to {maximum}; "
            f"pass {name} and the size of the window of one forward pass"
        )
    return arrays.contiguous(given, dtype)


def _check_float(function: str, name: str, dtype: np.dtype) -> None:
    if dtype.kind not in "fiub" or (dtype.kind == "f" and dtype.itemsize not in (4, 8)):
        raise TypeError(
            f"{function}: {name}.dtype = {dtype} cannot be computed with; expected float32 or float64 "
            f"(integers are converted); convert it with np.asarray({name}, dtype=np.float32)"
        )


@functools.cache
def _axes(pattern: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words of a pattern, and those that stand for one axis each: the same tuple where all do."""
    axes = tuple(pattern.split())
    return axes, axes[:-1] if axes and axes[-1] == "..." else axes


def _spelled(axes: tuple[str, ...]) -> str:
    return "(" + ", ".join(axes) + ("," if len(axes) == 1 else "") + ")"


def _unify(function: str, name: str, shape: tuple, pattern: str, lengths: dict[str, tuple[int, str]]) -> None:
    axes, fixed = _axes(pattern)
    if len(shape) != len(fixed) and (len(shape) < len(fixed) or fixed is axes):
        raise ValueError(
            f"{function}: {name}.shape = {shape} has {len(shape)} axes; expected {_spelled(axes)}; "
            f"reshape {name} to that"
        )
    for axis, label in enumerate(fixed):
        length = shape[axis]
        if label.isdigit():
            expected, origin = int(label), "the definition"
        else:
            expected, origin = lengths.setdefault(label, (length, name))
        if length != expected:
            raise ValueError(
                f"{function}: {name}.shape = {shape} has length {length} on axis {axis}; expected {_spelled(axes)} "
                f"with {label} = {expected} as in {origin}; pass arrays that belong together"
            )


def integer(function: str, name: str, value: Any, minimum: int | None = None, maximum: int | None = None) -> int:
    """An integer, given as an int or as a float such as 3.0; bool and 1.5 are refused."""
    value = _real(function, name, value, "an integer", "an int")
    if not abs(value) < math.inf or value != int(value):
        raise ValueError(f"{function}: {name}={brief(value)} is not an integer; expected an integer; round it yourself")
    _in_range(function, name, int(value), minimum, maximum)
    return int(value)


def pair(function: str, name: str, value: Any, minimum: int) -> tuple[int, int]:
    """An integer for height and width alike, or a (height, width) pair of them."""
    if type(value) is int and value >= minimum:  # found out fast: small layers wait for it
        return value, value
    if type(value) is tuple and len(value) == 2 and type(value[0]) is type(value[1]) is int and min(value) >= minimum:
        return value
    if isinstance(value, np.ndarray) and value.ndim:
        value = value.tolist()
    if isinstance(value, (tuple, list)):
        if len(value) != 2:
            raise ValueError(
                f"{function}: {name}={brief(value)} has {len(value)} entries; expected an integer or (height, "
                f"width); pass one of these"
            )
        return integer(function, name, value[0], minimum), integer(function, name, value[1], minimum)
    both = integer(function, name, value, minimum)
    return both, both


def number(
    function: str,
    name: str,
    value: Any,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> float:
    """A finite real number within [minimum, maximum] and strictly between `above` and `below`."""
    value = _real(function, name, value, "a real number", "a float")
    if not abs(value) <= sys.float_info.max:
        raise ValueError(f"{function}: {name}={brief(value)} is not finite; expected a finite number; check its origin")
    _in_range(function, name, value, minimum, maximum, above, below)
    return float(value)


def _real(function: str, name: str, value: Any, expected: str, remedy: str) -> Any:
    if type(value) is float or type(value) is int:
        return value
    if isinstance(value, (np.ndarray, np.generic)) and value.ndim == 0:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{function}: {name}={brief(value)} is not a number; expected {expected}; pass {remedy}")
    return value


def _in_range(
    function: str,
    name: str,
    value: float,
    minimum: float | None,
    maximum: float | None,
    above: float | None = None,
    below: float | None = None,
) -> None:
    if (
        (minimum is None or value >= minimum)
        and (above is None or value > above)
        and (maximum is None or value <= maximum)
        and (below is None or value < below)
    ):
        return
    limits = {"at least": minimum, "more than": above, "at most": maximum, "less than": below}
    expected = " and ".join(f"{words} {limit}" for words, limit in limits.items() if limit is not None)
    raise ValueError(f"{function}: {name}={brief(value)} is out of range; expected {expected}; choose such a value")


def flag(function: str, name: str, value: Any) -> bool:
    """True or False, also as NumPy's or as the numbers 1 and 0."""
    if value is True or value is False:  # found out fast: small layers wait for it
        return value
    if isinstance(value, (int, np.bool_, np.integer)) and value in (0, 1):
        return bool(value)
    raise TypeError(
        f"{function}: {name}={brief(value)} is neither true nor false; expected a bool; pass {name}=True or "
        f"{name}=False"
    )


def choice(function: str, name: str, value: Any, choices: Iterable[str]) -> str:
    """One of the given words; the nearest is suggested for another."""
    words = list(choices)
    if isinstance(value, str) and value in words:
        return value
    raise (ValueError if isinstance(value, str) else TypeError)(
        f"{function}: {name}={brief(value)} is unknown; "
        f"expected one of {', '.join(map(repr, words))}{suggestion(value, words)}"
    )


def keys(function: str, name: str, value: Any, required: Iterable[str] = (), optional: Iterable[str] = ()) -> dict:
    """A dict with every required key and none beyond the required and optional ones; optional=value accepts any."""
    required = list(required)
    allowed = required if optional is value else [*required, *optional]
    if not isinstance(value, Mapping):
        raise TypeError(
            f"{function}: {name}={brief(value)} is not a dict; expected keys {allowed}; pass a dict with them"
        )
    for key in required:
        if key not in value:
            raise ValueError(
                f"{function}: {name} lacks the key {key!r} (it has {list(value)}); expected {required}; add {key!r}"
            )
    if optional is value:
        return dict(value)
    for key in value:
        if key not in allowed:
            raise ValueError(
                f"{function}: {name}[{key!r}] is unknown; expected only {allowed}{suggestion(key, allowed)}"
            )
    return dict(value)


def labels(function: str, name: str, value: Any, count: int, classes: int, indices: Any = None) -> np.ndarray:
    """Class labels: integers (count,) from 0 to classes - 1, returned as C-contiguous int64.

    indices: of the labels in the data set that they are from, for errors
    Device arrays of labels are not read here: with one out of range, losses are NaN.
    """
    given = array(function, name, value)
    if given.dtype.kind not in "iu" and given.size:
        raise TypeError(
            f"{function}: {name}.dtype = {given.dtype} does not hold labels; expected integers; "
            f"pass {name} converted with {name}.astype(np.int64)"
        )
    if given.shape != (count,):
        raise ValueError(
            f"{function}: {name}.shape = {given.shape} does not fit; expected ({count},), one label per row of the "
            f"scores; pass class numbers, not one-hot rows"
        )
    if arrays.is_on_device(given):
        return arrays.contiguous(given, np.dtype(np.int64))
    plain = given.dtype == np.int64 and given.flags.carray and given.size
    if plain and np.maximum.reduce(given.view(np.uint64)) < classes:  # as unsigned, a label below 0 is a large one
        return given
    if given.size and (given.min() < 0 or given.max() >= classes):
        wrong = int(np.flatnonzero((given < 0) | (given >= classes))[0])
        raise ValueError(
            f"{function}: {name} contains the label {given[wrong]} at index "
            f"{wrong if indices is None else indices[wrong]}; expected 0 to {classes - 1} for {classes} classes; "
            f"renumber the labels or widen the last layer"
        )
    return arrays.contiguous(given, np.dtype(np.int64))

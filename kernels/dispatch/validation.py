"""Checks of arguments, which every public function calls once, before it dispatches to a backend.

Each check returns the value in the form that the kernels expect, or raises a ValueError or TypeError of the form
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

Pattern = tuple[tuple[str, ...], tuple[str, ...]]  # see `axes`


def floats(function: str, /, **named: tuple[Any, str]) -> tuple:
    """Convert to C-contiguous arrays of one float dtype with matching shapes: `floats("f", x=(x, "N D"), b=(b, "D"))`.

    Each word of a pattern names an axis; axes of the same name must have the same length; a number is the length
    itself; a final `...` stands for any further axes. Integer and boolean arrays are converted to the dtype of the
    float arrays, or to float64 if there are none; float32 with float64 gives float64, as in NumPy.
    """
    given = {name: value for name, (value, _) in named.items()}
    patterns = {name: axes(pattern) for name, (_, pattern) in named.items()}
    return tuple(given.values()) if are_ready(given, patterns) else converted(function, given, patterns)


def converted(function: str, given: Mapping[str, Any], patterns: Mapping[str, Pattern]) -> tuple:
    """Do what `floats` does, for arrays that are not ready."""
    found = {name: array(function, name, value) for name, value in given.items()}
    for name, value in found.items():
        _check_float(function, name, value.dtype)
    lengths: dict[str, tuple[int, str]] = {}
    for name, value in found.items():
        _unify(function, name, value.shape, patterns[name], lengths)
    dtype = arrays.common_dtype(found.values())
    return tuple(arrays.contiguous(value, dtype) for value in found.values())


def are_ready(given: Mapping[str, Any], patterns: Mapping[str, Pattern]) -> bool:
    """Whether all arrays are valid as they are: the fast path, since small layers take only microseconds."""
    first = None
    lengths: dict[str, int] = {}
    for name, value in given.items():
        if type(value) is not np.ndarray:
            if not arrays.is_on_device(value) or not value.flags.c_contiguous or not arrays.computes_on_gpu():
                return False
        elif not value.flags.carray:
            return False
        first = first or value.dtype
        every, fixed = patterns[name]
        shape = value.shape
        if value.dtype is not first or len(shape) < len(fixed) or (len(shape) > len(fixed) and fixed is every):
            return False
        for label, length in zip(fixed, shape, strict=False):
            if lengths.setdefault(label, int(label) if label.isdigit() else length) != length:
                return False
    return first in _READY


_READY = (np.dtype(np.float32), np.dtype(np.float64))


def array(function: str, name: str, value: Any) -> np.ndarray:
    """Convert lists, and objects with `__array__` or DLPack such as tensors, to an array.

    Raises TypeError for what is not array-like, and for what `plain` rejects.
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
    """Raise TypeError for masked arrays, other subclasses and tensors that require a gradient, or a list of them."""
    found = arrays.reason_not_plain(value)
    if found:
        what, remedy = found
        raise TypeError(f"{function}: {name} is {what}; expected a plain array; {remedy.format(name)}")


def shape(function: str, name: str, value: np.ndarray, expected: tuple[int, ...]) -> None:
    """Raise ValueError unless the array has the expected shape."""
    if value.shape != expected:
        raise ValueError(
            f"{function}: {name}.shape = {value.shape} does not fit; expected {expected} from the other arguments; "
            f"pass the arrays of one forward pass"
        )


def fits(function: str, name: str, value: Any, count: int) -> None:
    """Raise ValueError if an array of `count` numbers does not fit in the memory of this machine."""
    if count > arrays.memory() // 4:  # bytes of float32
        raise ValueError(
            f"{function}: {name}={brief(value)} asks for an array of {count} numbers; expected at most "
            f"{arrays.memory() // 4}, as many as this machine's memory holds; choose a smaller one"
        )


def not_empty(function: str, name: str, value: np.ndarray) -> None:
    """Raise ValueError if any axis has length 0."""
    if value.size == 0:
        raise ValueError(
            f"{function}: {name}.shape = {value.shape} is empty; expected at least one element on every axis; "
            f"check how {name} was made"
        )


def has_statistics(function: str, name: str, shape: tuple[int, ...]) -> None:
    """Raise ValueError if the channels of a batch of shape (N, C, ...) have no elements."""
    if math.prod((shape[0], *shape[2:])) == 0:
        raise ValueError(
            f"{function}: {name}.shape = {shape} has no elements in a channel; expected at least one, to take the mean "
            f"of; pass a batch that is not empty, or use statistics of your own"
        )


def not_negative(function: str, name: str, value: np.ndarray) -> None:
    """Raise ValueError if an element is below 0; values of device arrays are not read, and give NaN instead."""
    if not arrays.is_on_device(value) and value.size and np.fmin.reduce(value, axis=None) < 0:
        raise ValueError(
            f"{function}: {name} contains {value[value < 0][0]}; expected no number below 0; pass {name} as the "
            f"forward pass returned it, or running averages of it"
        )


def index(function: str, name: str, value: Any, expected: tuple[int, ...], maximum: int, dtype: np.dtype) -> np.ndarray:
    """Check the indices of a pooling: integers from 0 to `maximum` in the expected shape; returned as `dtype`."""
    given = array(function, name, value)
    if given.dtype.kind not in "iu":
        raise TypeError(
            f"{function}: {name}.dtype = {given.dtype} is not an integer dtype; expected integers; "
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
def axes(pattern: str) -> Pattern:
    """Return the words of a pattern, and those before a final `...`: the same tuple if there is none."""
    every = tuple(pattern.split())
    return every, every[:-1] if every and every[-1] == "..." else every


def _spelled(axes: tuple[str, ...]) -> str:
    return "(" + ", ".join(axes) + ("," if len(axes) == 1 else "") + ")"


def _unify(function: str, name: str, shape: tuple, pattern: Pattern, lengths: dict[str, tuple[int, str]]) -> None:
    every, fixed = pattern
    if len(shape) != len(fixed) and (len(shape) < len(fixed) or fixed is every):
        raise ValueError(
            f"{function}: {name}.shape = {shape} has {len(shape)} axes; expected {_spelled(every)}; "
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
                f"{function}: {name}.shape = {shape} has length {length} on axis {axis}; expected {_spelled(every)} "
                f"with {label} = {expected} as in {origin}; pass arrays that belong together"
            )


def integer(function: str, name: str, value: Any, minimum: int | None = None, maximum: int | None = None) -> int:
    """Convert an int, or a float such as 3.0, to an int; bool and 1.5 raise."""
    value = _real(function, name, value, "an integer", "an int")
    if not abs(value) < math.inf or value != int(value):
        raise ValueError(f"{function}: {name}={brief(value)} is not an integer; expected an integer; round it yourself")
    _in_range(function, name, int(value), minimum, maximum)
    return int(value)


def pair(function: str, name: str, value: Any, minimum: int) -> tuple[int, int]:
    """Convert an integer for both height and width, or a (height, width) pair, to a pair."""
    if type(value) is int and value >= minimum:  # the fast path, for small layers
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
    """Convert to a float: finite, within [minimum, maximum] and strictly between `above` and `below`."""
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
    """Convert True, False, NumPy's booleans, 1 and 0 to a bool."""
    if value is True or value is False:  # the fast path, for small layers
        return value
    if isinstance(value, (int, np.bool_, np.integer)) and value in (0, 1):
        return bool(value)
    raise TypeError(
        f"{function}: {name}={brief(value)} is not a boolean; expected a bool; pass {name}=True or {name}=False"
    )


def choice(function: str, name: str, value: Any, choices: Iterable[str]) -> str:
    """Return `value` if it is one of the choices, else raise an error that suggests the nearest one."""
    words = list(choices)
    if isinstance(value, str) and value in words:
        return value
    raise (ValueError if isinstance(value, str) else TypeError)(
        f"{function}: {name}={brief(value)} is unknown; "
        f"expected one of {', '.join(map(repr, words))}{suggestion(value, words)}"
    )


def keys(function: str, name: str, value: Any, required: Iterable[str] = (), optional: Iterable[str] = ()) -> dict:
    """Return a copy of a dict with all required keys and no others than optional ones; optional=value allows any."""
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
    """Convert class labels, integers (count,) from 0 to classes - 1, to C-contiguous int64.

    indices: positions of the labels in their data set, for error messages
    Values of device arrays are not read: a label out of range makes the loss NaN.
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
    if given.dtype == np.int64 and given.flags.carray and given.size:
        unsigned = given.view(np.uint64)  # as unsigned, a label below 0 is a large one; argmax is quicker than max
        if unsigned.item(unsigned.argmax()) < classes:
            return given
    if given.size and (given.min() < 0 or given.max() >= classes):
        wrong = int(np.flatnonzero((given < 0) | (given >= classes))[0])
        raise ValueError(
            f"{function}: {name} contains the label {given[wrong]} at index "
            f"{wrong if indices is None else indices[wrong]}; expected 0 to {classes - 1} for {classes} classes; "
            f"renumber the labels or widen the last layer"
        )
    return arrays.contiguous(given, np.dtype(np.int64))

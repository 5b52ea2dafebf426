"""Argument checks that complement those of arrays and numbers in `fastnn.kernels.dispatch.validation`."""

import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastnn.kernels.dispatch import arrays, tensors, validation


def cache(function: str, value: Any, length: int) -> tuple:
    """Check the cache that a forward function returned for its backward function: a tuple of `length` entries."""
    if type(value) is tuple and len(value) == length:
        return value
    raise TypeError(
        f"{function}: cache={validation.brief(value)} is not what the forward function returned; expected a tuple of "
        f"{length} entries; pass the second value that {function.replace('backward', 'forward')} returned"
    )


def path(function: str, name: str, value: Any) -> Path:
    """Check the name of a file or folder."""
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(
            f"{function}: {name}={validation.brief(value)} is not a path; expected the name of a file or folder; pass "
            f"a str or a pathlib.Path"
        )
    return Path(value)


def path_or_none(function: str, name: str, value: Any) -> Path | None:
    """Check the name of a file or folder, or None."""
    return None if value is None else path(function, name, value)


def dtype(function: str, value: Any, *allowed: type) -> np.dtype:
    """Convert `value` to one of the allowed NumPy dtypes, by default float32 and float64."""
    allowed = allowed or (np.float32, np.float64)
    try:
        chosen = None if value is None else np.dtype(value)
    except TypeError:
        chosen = None
    if chosen is None or chosen not in allowed:
        names = " or ".join(np.dtype(one).name for one in allowed)
        raise TypeError(
            f"{function}: dtype={validation.brief(value)} is not supported here; expected {names}; pass one of these"
        )
    return chosen


def function(name: str, argument: str, value: Any) -> Any:
    """Check a function or another callable."""
    if not callable(value):
        raise TypeError(
            f"{name}: {argument}={validation.brief(value)} is not a function; expected a function; pass its name, "
            f"without parentheses, or an object that can be called"
        )
    return value


def attributes(function: str, name: str, value: Any, *wanted: str, expected: str) -> Any:
    """Check that an object has these attributes."""
    missing = [attribute for attribute in wanted if not hasattr(value, attribute)]
    if missing:
        raise TypeError(
            f"{function}: {name}={validation.brief(value)} has no {' and no '.join(missing)}; expected {expected}; "
            f"pass one"
        )
    return value


def real(function: str, name: str, value: Any, dtype: Any = None) -> np.ndarray:
    """Convert to an array of real numbers, of the given dtype if any."""
    if type(value) is np.ndarray and value.dtype == dtype:  # fast path for small layers
        return value
    given = validation.array(function, name, value)
    if given.dtype.kind not in "fiub":
        raise TypeError(
            f"{function}: {name}.dtype = {given.dtype} holds no real numbers; expected floats or integers; convert it "
            f"with np.asarray({name}, dtype=np.float32)"
        )
    with np.errstate(all="ignore"):  # out of range for float32: becomes infinity or 0
        return given if dtype is None else given.astype(dtype, copy=False)


def lengths(function: str, name: str, value: Any, count: int | None = None) -> tuple[int, ...]:
    """Check a tuple of axis lengths, each at least 1: `count` of them, or any positive number."""
    if isinstance(value, np.ndarray) and value.ndim == 1:
        value = value.tolist()
    if not isinstance(value, (tuple, list)) or not value or len(value) != (count or len(value)):
        raise (ValueError if isinstance(value, (tuple, list)) else TypeError)(
            f"{function}: {name}={validation.brief(value)} is not a shape; expected a tuple of {count or 'whole'} "
            f"{'lengths' if count else 'numbers'}; pass one such as X.shape[1:]"
        )
    checked = tuple(validation.integer(function, name, length, minimum=1) for length in value)
    validation.fits(function, name, value, math.prod(checked))
    return checked


def length(function: str, name: str, value: Any) -> int:
    """Check the length of an array, at least 1."""
    checked = validation.integer(function, name, value, minimum=1)
    validation.fits(function, name, value, checked)
    return checked


def mapping(function: str, name: str, value: Any, of: str) -> Any:
    """Check a dict or another mapping."""
    if not isinstance(value, Mapping):
        raise TypeError(
            f"{function}: {name}={validation.brief(value)} is not a dict; expected {of} by name; pass a dict of them"
        )
    return value


def listed(function: str, name: str, values: Any, of: str) -> list:
    """Convert an iterable other than a string or mapping to a list."""
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise TypeError(
            f"{function}: {name}={validation.brief(values)} is not a list; expected {of}; pass a list or tuple of them"
        )
    return list(values)


def strings(function: str, name: str, values: Any) -> list[str]:
    """Convert an iterable of strings to a list."""
    given = listed(function, name, values, "strings")
    for value in given:
        if not isinstance(value, str):
            raise TypeError(
                f"{function}: {name} contains {validation.brief(value)}; expected strings only; convert it with str"
            )
    return given


def count_or_none(function: str, name: str, value: Any) -> int | None:
    """Check a positive integer, or None."""
    return None if value is None else validation.integer(function, name, value, minimum=1)


def function_or_none(function: str, name: str, value: Any) -> Any:
    """Check a function, or None."""
    if value is not None and not callable(value):
        raise TypeError(
            f"{function}: {name}={validation.brief(value)} is not a function; expected a function or None; pass its "
            f"name, without parentheses, or an object that can be called"
        )
    return value


def callbacks(function: str, name: str, values: Iterable[Callable]) -> list[Callable]:
    """Convert an iterable of functions to a list."""
    given = listed(function, name, values, "functions")
    for value in given:
        if not callable(value):
            raise TypeError(
                f"{function}: {name} contains {validation.brief(value)}; expected functions; pass their names, without "
                f"parentheses"
            )
    return given


def unshared(value: Any) -> Any:
    """Copy the lists, dicts and arrays in a value; 0-d arrays become Python numbers, torch's dtypes those of NumPy."""
    if isinstance(value, np.ndarray):
        return value.copy() if value.ndim else value.item()
    if isinstance(value, dict):
        return {key: unshared(inner) for key, inner in value.items()}
    return type(value)(map(unshared, value)) if type(value) in (list, tuple) else tensors.numpy_dtype(value)


def movable(function: str, name: str, x: Any) -> Any:
    """Check an array of floats, whose elements a numeric gradient changes in place."""
    if not (isinstance(x, np.ndarray) or arrays.is_on_device(x)) or x.dtype.kind != "f":
        kind = f"an array of {x.dtype}" if isinstance(x, np.ndarray) else f"a {type(x).__name__}"
        raise TypeError(
            f"{function}: {name} is {kind}; expected an array of floats, whose elements can be changed by h; "
            f"convert it with np.asarray({name}, dtype=np.float64)"
        )
    validation.plain(function, name, x)
    return x

"""Checks of arguments, beyond those of arrays and numbers in `fastnn.kernels.dispatch.validation`."""

import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastnn.kernels.dispatch import validation


def cache(function: str, value: Any, length: int) -> tuple:
    """What a forward function returned for its backward function: a tuple of so many entries."""
    if type(value) is tuple and len(value) == length:
        return value
    raise TypeError(
        f"{function}: cache={validation.brief(value)} is not what the forward function returned; expected a tuple of "
        f"{length} entries; pass the second value that {function.replace('backward', 'forward')} returned"
    )


def path(function: str, name: str, value: Any) -> Path:
    """The name of a file or a folder."""
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(
            f"{function}: {name}={validation.brief(value)} is not a path; expected the name of a file or folder; pass "
            f"a str or a pathlib.Path"
        )
    return Path(value)


def path_or_none(function: str, name: str, value: Any) -> Path | None:
    """The name of a file or a folder, or None."""
    return None if value is None else path(function, name, value)


def dtype(function: str, value: Any, *allowed: type) -> np.dtype:
    """`value` as a NumPy dtype, one of those allowed: float32 and float64 unless others are given."""
    allowed = allowed or (np.float32, np.float64)
    try:
        chosen = None if value is None else np.dtype(value)
    except TypeError:
        chosen = None
    if chosen is None or chosen not in allowed:
        names = " or ".join(np.dtype(one).name for one in allowed)
        raise TypeError(
            f"{function}: dtype={validation.brief(value)} cannot be computed with here; expected {names}; pass one of "
            f"these"
        )
    return chosen


def function(name: str, argument: str, value: Any) -> Any:
    """A function, or another object that can be called."""
    if not callable(value):
        raise TypeError(
            f"{name}: {argument}={validation.brief(value)} is not a function; expected a function; pass its name, "
            f"without parentheses, or an object that can be called"
        )
    return value


def attributes(function: str, name: str, value: Any, *words: str, expected: str) -> Any:
    """An object that has attributes of these names."""
    lacking = [word for word in words if not hasattr(value, word)]
    if lacking:
        raise TypeError(
            f"{function}: {name}={validation.brief(value)} has no {' and no '.join(lacking)}; expected {expected}; "
            f"pass one"
        )
    return value


def real(function: str, name: str, value: Any, dtype: Any = None) -> np.ndarray:
    """An array of real numbers of any dtype, converted to `dtype` where that is given."""
    if type(value) is np.ndarray and value.dtype == dtype:  # found out fast: small layers wait for it
        return value
    given = validation.array(function, name, value)
    if given.dtype.kind not in "fiub":
        raise TypeError(
            f"{function}: {name}.dtype = {given.dtype} holds no real numbers; expected floats or integers; convert it "
            f"with np.asarray({name}, dtype=np.float32)"
        )
    with np.errstate(all="ignore"):  # float32 has infinity and 0 for what it cannot hold
        return given if dtype is None else given.astype(dtype, copy=False)


def lengths(function: str, name: str, value: Any, count: int | None = None) -> tuple[int, ...]:
    """Lengths of axes, from 1 up: as many as asked for, or at least one."""
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
    """The length of an array, from 1 up."""
    checked = validation.integer(function, name, value, minimum=1)
    validation.fits(function, name, value, checked)
    return checked


def mapping(function: str, name: str, value: Any, of: str) -> Any:
    """A dict, or another mapping."""
    if not isinstance(value, Mapping):
        raise TypeError(
            f"{function}: {name}={validation.brief(value)} is not a dict; expected {of} by name; pass a dict of them"
        )
    return value


def listed(function: str, name: str, values: Any, of: str) -> list:
    """The entries of a list or of another iterable that is not text."""
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise TypeError(
            f"{function}: {name}={validation.brief(values)} is not a list; expected {of}; pass a list or tuple of them"
        )
    return list(values)


def words(function: str, name: str, values: Any) -> list[str]:
    """A list of texts."""
    given = listed(function, name, values, "texts")
    for value in given:
        if not isinstance(value, str):
            raise TypeError(
                f"{function}: {name} contains {validation.brief(value)}; expected texts only; convert it with str"
            )
    return given


def count_or_none(function: str, name: str, value: Any) -> int | None:
    """An integer from 1 up, or None."""
    return None if value is None else validation.integer(function, name, value, minimum=1)


def function_or_none(function: str, name: str, value: Any) -> Any:
    """A function, or None."""
    if value is not None and not callable(value):
        raise TypeError(
            f"{function}: {name}={validation.brief(value)} is not a function; expected a function or None; pass its "
            f"name, without parentheses, or an object that can be called"
        )
    return value


def callbacks(function: str, name: str, values: Iterable[Callable]) -> list[Callable]:
    """Functions, as a list."""
    given = listed(function, name, values, "functions")
    for value in given:
        if not callable(value):
            raise TypeError(
                f"{function}: {name} contains {validation.brief(value)}; expected functions; pass their names, without "
                f"parentheses"
            )
    return given


def unshared(value: Any) -> Any:
    """A copy of the lists, dicts and arrays in a value, with the number in place of an array without axes."""
    if isinstance(value, np.ndarray):
        return value.copy() if value.ndim else value.item()
    if isinstance(value, dict):
        return {key: unshared(inner) for key, inner in value.items()}
    return type(value)(map(unshared, value)) if type(value) in (list, tuple) else value


def movable(function: str, name: str, x: Any) -> np.ndarray:
    """An array of floats, whose elements a numeric gradient moves in place."""
    if not isinstance(x, np.ndarray) or x.dtype.kind != "f":
        kind = f"an array of {x.dtype}" if isinstance(x, np.ndarray) else f"a {type(x).__name__}"
        raise TypeError(
            f"{function}: {name} is {kind}; expected an array of floats, whose elements can be moved by h; "
            f"convert it with np.asarray({name}, dtype=np.float64)"
        )
    validation.plain(function, name, x)
    return x

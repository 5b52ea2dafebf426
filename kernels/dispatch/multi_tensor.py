"""What operations on many parameters at once are given: an array of each kind, or lists of as many arrays.

Behind the front door there are lists only, one entry for each parameter; `suffixes` follow the name of an argument in
an error: "[0]", "[1]", ... for lists, "" for arrays alone.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from . import arrays, validation

_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


def checked(function: str, read: dict[str, Any], written: dict[str, Any]) -> tuple[list[str], list[list[np.ndarray]]]:
    """The suffixes, and for each argument the list of its arrays, in the order given.

    The first that is read sets shape and dtype for the others of its parameter; what is read is converted to it, what
    is written has to have it already. What is written shares no memory with anything of its parameter, but `out` may be
    the first itself. They are lists if the first is one and all that are written.
    """
    given = {**read, **written}
    first = next(iter(read.values()))
    suffixes, columns = _listed(
        function, given, all(isinstance(value, (list, tuple)) for value in (first, *written.values()))
    )
    names = list(given)
    for position, suffix in enumerate(suffixes):
        row = [column[position] for column in columns]
        if not _are_plain(row):
            row = _converted(function, [f"{name}{suffix}" for name in names], row, len(read))
            for column, value in zip(columns, row, strict=True):
                column[position] = value
        _check_apart(function, names, suffix, row, len(read))
    return suffixes, columns


def each(check: Callable, function: str, name: str, value: Any, suffixes: list[str], **limits: float) -> list:
    """`check(function, name, value, **limits)` for each parameter: of one number for all, or of a list beside lists."""
    if suffixes == [""] or not isinstance(value, (list, tuple)):
        return [check(function, name, value, **limits)] * len(suffixes)
    _check_count(function, name, value, len(suffixes))
    return [check(function, f"{name}{suffix}", one, **limits) for suffix, one in zip(suffixes, value, strict=True)]


def one_by_one(function: Callable) -> Callable:
    """A function of single arguments as one of lists, called for one entry after the other."""

    @functools.wraps(function)
    def called(*columns):
        for row in zip(*columns, strict=True):
            function(*row)

    return called


def _listed(function: str, given: dict[str, Any], many: bool) -> tuple[list[str], list[list]]:
    if not many:
        return [""], [[value] for value in given.values()]
    for name, value in given.items():
        if not isinstance(value, (list, tuple)):
            kind = type(value).__name__
            raise TypeError(
                f"{function}: {name} is of type {kind} beside lists; expected a list of arrays, one for each "
                f"parameter; pass lists of arrays for {', '.join(given)}, or for none"
            )
        _check_count(function, name, value, len(next(iter(given.values()))))
    return [f"[{position}]" for position in range(len(value))], [list(value) for value in given.values()]


def _check_count(function: str, name: str, value: Any, count: int) -> None:
    if len(value) != count:
        raise ValueError(
            f"{function}: len({name}) = {len(value)} does not fit; expected {count}, one for each parameter; "
            f"pass lists of one length"
        )


def _are_plain(row: list) -> bool:
    """Whether they are what the kernels want already: the usual case, to be found out quickly."""
    first = row[0]
    return (
        (type(first) is np.ndarray or (arrays.is_on_device(first) and arrays.computes_on_gpu()))
        and first.dtype in _DTYPES
        and all(
            type(one) is type(first) and one.dtype == first.dtype and one.shape == first.shape and arrays.is_plain(one)
            for one in row
        )
    )


def _converted(function: str, names: list[str], row: list, read: int) -> list[np.ndarray]:
    """The arrays of one parameter, checked; the first `read` of them are not written."""
    (first,) = validation.floats(function, **{names[0]: (row[0], "...")})
    converted = [first]
    for name, value in zip(names[1:read], row[1:read], strict=True):
        (value,) = validation.floats(function, **{name: (value, "...")})
        validation.shape(function, name, value, first.shape)
        converted.append(arrays.contiguous(value, first.dtype))
    for name, value in zip(names[read:], row[read:], strict=True):
        _check_written(function, name, value, names[0], first)
        converted.append(arrays.asarray(value))  # of a memory map, its array
    return converted


def _check_apart(function: str, names: list[str], suffix: str, row: list[np.ndarray], read: int) -> None:
    for other in range(read, len(row)):
        for one in range(other):
            if not arrays.may_share_memory(row[one], row[other]):
                continue
            if one == 0 and names[other] == "out" and _is_same(row[0], row[other]):
                continue
            raise ValueError(
                f"{function}: {names[one]}{suffix} and {names[other]}{suffix} share memory, so that one would "
                "overwrite the other; expected separate arrays (but out may be w itself); pass a copy of one"
            )


def _check_written(function: str, name: str, value: Any, origin: str, first: np.ndarray) -> None:
    known = isinstance(value, np.ndarray) or (arrays.is_on_device(value) and arrays.computes_on_gpu())
    if not known or value.dtype != first.dtype:
        what = f"{name}.dtype = {value.dtype}" if known else f"{name}={validation.brief(value)}"
        raise TypeError(
            f"{function}: {what} cannot be updated in place; expected a NumPy array of {first.dtype}, the dtype of "
            f"{origin}; make it with np.zeros_like({origin})"
        )
    validation.plain(function, name, value)
    validation.shape(function, name, value, first.shape)
    if not arrays.is_plain(value):
        raise ValueError(
            f"{function}: {name} cannot be updated in place: c_contiguous={value.flags.c_contiguous}, "
            f"aligned={value.flags.aligned}, writeable={value.flags.writeable}; expected True for each; "
            f"make it with np.zeros({origin}.shape, {origin}.dtype)"
        )


def _is_same(first: np.ndarray, second: np.ndarray) -> bool:
    return first is second or arrays.address(first) == arrays.address(second)

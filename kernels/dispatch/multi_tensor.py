"""Validation of arguments for many parameters at once: single arrays, or lists of arrays of equal length.

Variants take lists only, with one entry for each parameter. `suffixes` are appended to the names of arguments in
errors: "[0]", "[1]", ... for lists, "" for single arrays.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from . import arrays, validation

_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


def checked(function: str, read: dict[str, Any], written: dict[str, Any]) -> tuple[list[str], list[list[np.ndarray]]]:
    """Return the suffixes, and for each argument the list of its arrays, in the given order.

    The first array that is read sets the shape and dtype of its parameter. Arrays that are read are converted to the
    dtype, arrays that are written must have it already. A written array must not share memory with any other array of
    its parameter, except that `out` may be the first array. The arguments are lists if the first one and all written
    ones are.
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
    """Return `check(function, name, value, **limits)` for each parameter; value: one number for all, or a list."""
    if suffixes == [""] or not isinstance(value, (list, tuple)):
        return [check(function, name, value, **limits)] * len(suffixes)
    _check_count(function, name, value, len(suffixes))
    return [check(function, f"{name}{suffix}", one, **limits) for suffix, one in zip(suffixes, value, strict=True)]


def one_by_one(function: Callable) -> Callable:
    """Decorate a function of single arguments: take lists and call it for each entry."""

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
                f"{function}: {name} is of type {kind}, but {next(iter(given))} is a list; expected a list of "
                f"arrays, one for each parameter; pass lists of arrays for all of {', '.join(given)}, or single arrays"
            )
        _check_count(function, name, value, len(next(iter(given.values()))))
    return [f"[{position}]" for position in range(len(value))], [list(value) for value in given.values()]


def _check_count(function: str, name: str, value: Any, count: int) -> None:
    if len(value) != count:
        raise ValueError(
            f"{function}: len({name}) = {len(value)} does not fit; expected {count}, one for each parameter; "
            f"pass lists of equal length"
        )


def _are_plain(row: list) -> bool:
    """Whether the kernels can use the arrays as they are: the usual case, checked quickly."""
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
    """Return the checked arrays of one parameter; the first `read` of them are not written."""
    (first,) = validation.floats(function, **{names[0]: (row[0], "...")})
    converted = [first]
    for name, value in zip(names[1:read], row[1:read], strict=True):
        (value,) = validation.floats(function, **{name: (value, "...")})
        validation.shape(function, name, value, first.shape)
        converted.append(arrays.contiguous(value, first.dtype))
    for name, value in zip(names[read:], row[read:], strict=True):
        _check_written(function, name, value, names[0], first)
        converted.append(arrays.asarray(value))  # a memory map becomes a plain array
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
                "overwrite the other; expected separate arrays (only out may be w itself); pass a copy of one"
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

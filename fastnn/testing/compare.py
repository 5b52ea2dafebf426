"""Comparison of two results, and of a kernel with the naive loops in float64."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.kernels import use_backend


def tolerance(dtype: Any, terms: int = 1) -> float:
    """The allowed relative error of a sum of products: eps * (16 + 4*sqrt(terms)).

    dtype: float32 or float64
    terms: number of products
    """
    return float(np.finfo(dtype).eps) * (16 + 4 * math.sqrt(terms))


def assert_same(actual: Any, expected: Any, terms: int = 1, where: str = "result") -> None:
    """Raise AssertionError unless two results agree.

    actual, expected: arrays, numbers, None, or tuples and dicts of these
    terms: number of terms of the sums
    where: what the message calls the result

    Shapes, integers, and the positions of NaN and infinity must be equal; floats may differ by at most
    `tolerance(dtype of actual, terms)` times the largest finite expected magnitude (at least 1). The error is raised
    under `python -O` too.
    """
    if isinstance(expected, dict):
        if not (isinstance(actual, dict) and actual.keys() == expected.keys()):
            raise AssertionError(f"{where}: keys differ")
        for key in expected:
            assert_same(actual[key], expected[key], terms, f"{where}[{key!r}]")
        return
    if isinstance(expected, (tuple, list)):
        if not (isinstance(actual, (tuple, list)) and len(actual) == len(expected)):
            raise AssertionError(f"{where}: lengths differ")
        for position, pair in enumerate(zip(actual, expected, strict=True)):
            assert_same(*pair, terms, f"{where}[{position}]")
        return
    if expected is None:
        if actual is not None:
            raise AssertionError(f"{where}: {type(actual).__name__} where None was expected")
        return
    if actual is None:
        raise AssertionError(f"{where}: None where a {type(expected).__name__} was expected")
    actual, expected = np.asarray(actual), np.asarray(expected)
    if actual.shape != expected.shape:
        raise AssertionError(f"{where}: shape {actual.shape} where {expected.shape} was expected")
    if actual.dtype.kind != "f":
        if expected.dtype.kind == "f":
            raise AssertionError(f"{where}: dtype {actual.dtype} where {expected.dtype} was expected")
        np.testing.assert_array_equal(actual, expected, err_msg=where)
        return
    finite = np.abs(expected[np.isfinite(expected)], dtype=np.float64)
    scale = max(1.0, float(finite.max(initial=0.0)))
    np.testing.assert_allclose(
        actual.astype(np.float64), expected, rtol=0, atol=tolerance(actual.dtype, terms) * scale, err_msg=where
    )


def against_naive(function: Callable, *arguments: Any, terms: int = 1, **options: Any) -> Any:
    """Run a kernel on the active backend and compare it with the naive loops in float64.

    function: of `fastnn.kernels`, or one that calls such functions
    arguments, options: its arguments, by position and by name
    terms: number of terms of the sums

    Returns the active backend's result. Raises AssertionError, also under `python -O`, if the two differ, an argument
    was modified, or float results do not have the dtype of the float arguments.
    """
    named: dict[Any, Any] = {**dict(enumerate(arguments)), **options}
    before = {name: _copy(argument) for name, argument in named.items()}
    actual = function(*arguments, **options)
    for name, argument in named.items():
        if isinstance(argument, np.ndarray):
            np.testing.assert_array_equal(argument, before[name], err_msg=f"argument {name!r} was modified")
    wide = {name: _widened(copy) for name, copy in before.items()}
    with use_backend("naive"):
        expected = function(*[wide.pop(position) for position in range(len(arguments))], **wide)
    assert_same(actual, expected, terms)
    given = [a.dtype for a in named.values() if isinstance(a, np.ndarray) and a.dtype.kind == "f"]
    if given:
        dtype = np.result_type(*given)
        results = actual if isinstance(actual, tuple) else (actual,)
        for result in results:
            if isinstance(result, np.ndarray) and result.dtype.kind == "f" and result.dtype != dtype:
                raise AssertionError(f"result dtype {result.dtype} where {dtype} was expected")
    return actual


def _copy(argument: Any) -> Any:
    return argument.copy() if isinstance(argument, np.ndarray) else argument


def _widened(argument: Any) -> Any:
    if isinstance(argument, np.ndarray) and argument.dtype.kind == "f":
        return argument.astype(np.float64)
    return argument

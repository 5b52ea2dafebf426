"""Comparison of a kernel with the naive loops in float64, of its inputs before and after, and of repeated calls."""

import contextlib
import contextvars
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from fastnn.kernels import Unsupported
from fastnn.testing.compare import assert_same, tolerance

from .cases import Arguments, Case, WrongCount, make, outcome

REPEATS, THREADS = 8, 4


class Fault(NamedTuple):
    """A failure of one call.

    aspect: "error", "count", "form", "value", "input", "repeat" or "thread"
    where: the result or the argument concerned
    actual: all results by name, if there are any
    """

    aspect: str
    where: str
    message: str
    actual: dict[str, Any]


class Missing(Exception):
    """The backend lacks the function to be checked."""


def judge(kernel: Callable, case: Case) -> Fault | None:
    """Call the kernel once; return the fault, or None. Raises Unsupported if the kernel does."""
    given = case.fresh()
    try:
        actual = outcome(case.function, kernel, given)
    except (Missing, Unsupported):
        raise
    except WrongCount as error:
        return Fault("count", "", str(error), {})
    except Exception as error:  # a custom kernel may raise any exception
        return Fault("error", "", f"raises {type(error).__name__}: {_one_line(error)}", {})
    for name, expected in case.expected.items():
        if fault := _compared(case, name, actual[name], expected):
            return fault._replace(actual=actual)
    return _modified(case, given, actual)


def judge_again(kernel: Callable, case: Case) -> Fault | None:
    """Call the kernel repeatedly, then in several threads at once, and compare the bits with those of the first call.

    Threads alternate two cases, to expose shared buffers. They are skipped if no more threads can be started, or if
    the kernel uses numba's threading layer `workqueue`, which aborts on concurrent calls.
    """
    first = _bits(kernel, case)
    for _ in range(REPEATS):
        if fault := _differing("repeat", "a second call with the same arguments", case, first, _bits(kernel, case)):
            return fault
    with _one_thread() as ours:
        if ours and (fault := _differing("thread", "a call on one thread", case, first, _bits(kernel, case))):
            return fault
    if _ends_with_two_threads():
        return None
    other = make(case.function, {**case.plan, "draw": case.plan["draw"] + 1}) or case
    turns = [(case, first), (other, _bits(kernel, other))] * THREADS
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            calls = [pool.submit(contextvars.copy_context().run, _bits, kernel, turn) for turn, _ in turns]
    except RuntimeError as error:  # raised by `submit`; kernels run in the threads
        warnings.warn(
            f"check: {error}: kernels are not called in several threads at once; raise the process limit",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    for (turn, expected), call in zip(turns, calls, strict=True):
        if fault := _differing("thread", "a call concurrent with other threads", turn, expected, call.result()):
            return fault
    return None


def wrong_places(actual: np.ndarray, expected: np.ndarray, terms: int) -> np.ndarray:
    """A mask of the elements of two arrays of one shape that differ by more than `assert_same` allows."""
    if actual.dtype.kind != "f":
        return actual != expected
    finite = np.abs(expected[np.isfinite(expected)], dtype=np.float64)
    allowed = tolerance(actual.dtype, terms) * max(1.0, float(finite.max(initial=0.0)))
    return ~np.isclose(actual.astype(np.float64), expected, rtol=0, atol=allowed, equal_nan=True)


def _compared(case: Case, name: str, actual: Any, expected: Any) -> Fault | None:
    dtype = np.dtype(case.plan["dtype"])
    if case.function.operation == "linear_losses" and isinstance(actual, float):
        actual = dtype.type(actual)  # its scores are summed in the dtype of the inputs
    if case.function.mixes_infinity and isinstance(actual, np.ndarray) and np.shape(actual) == np.shape(expected):
        expected = _as_lenient(case, actual, expected)
    try:
        assert_same(actual, expected, case.terms, name)
    except AssertionError as error:
        return Fault(*_described(case, name, actual, expected, error), {})
    if isinstance(actual, np.ndarray) and actual.dtype.kind == "f" and np.asarray(expected).dtype.kind != "f":
        return Fault("form", name, f"{name} is {actual.dtype}; expected {np.asarray(expected).dtype}", {})
    if isinstance(actual, np.ndarray) and actual.dtype.kind == "f" and actual.dtype != dtype and actual.ndim:
        return Fault("form", name, f"{name} is {actual.dtype} for inputs of {dtype}; expected their dtype", {})
    return None


def _as_lenient(case: Case, actual: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """The expected values, with NaN and infinity interchangeable if an input is not finite."""
    floats = [value for value in case.arguments.values() if isinstance(value, np.ndarray) and value.dtype.kind == "f"]
    if all(np.isfinite(value).all() for value in floats):
        return expected
    passes = ~np.isfinite(actual) & ~np.isfinite(expected)
    return np.where(passes | (np.isnan(actual) & case.function.spreads_nan), actual, expected)


def _described(case: Case, name: str, actual: Any, expected: Any, error: AssertionError) -> tuple[str, str, str]:
    if not (isinstance(actual, (np.ndarray, float, np.generic)) and np.shape(actual) == np.shape(expected)):
        return "form", name, str(error)
    actual, expected = np.asarray(actual), np.asarray(expected)
    if actual.dtype.kind != expected.dtype.kind and "f" in (actual.dtype.kind, expected.dtype.kind):
        return "form", name, f"{name} is {actual.dtype}; expected {expected.dtype}"
    wrong = wrong_places(actual, expected, case.terms)
    index = tuple(int(axis) for axis in np.argwhere(wrong)[0])
    place = f"{name}[{', '.join(map(str, index))}]" if index else name
    count = f" ({np.count_nonzero(wrong)} of {wrong.size} elements are wrong)" if wrong.size > 1 else ""
    return "value", name, f"{place} = {actual[index]:.10g} where {expected[index]:.10g} was expected{count}"


def _modified(case: Case, given: Arguments, actual: dict[str, Any]) -> Fault | None:
    for name, before in case.arguments.items():
        if name in case.function.written or (name == "w" and case.plan.get("in_place")):
            continue
        if not isinstance(before, np.ndarray):
            continue
        if not np.array_equal(given[name], before, equal_nan=before.dtype.kind == "f"):
            return Fault("input", name, f"the argument {name} was modified", actual)
    return None


def _bits(kernel: Callable, case: Case) -> dict[str, bytes]:
    """The results of a call as bytes, or its error message."""
    try:
        results = outcome(case.function, kernel, case.fresh())
    except Exception as error:
        return dict.fromkeys(case.expected, f"{type(error).__name__}: {_one_line(error)}".encode())
    return {name: np.asarray(value).tobytes() for name, value in results.items()}


def _differing(aspect: str, call: str, case: Case, first: dict, other: dict) -> Fault | None:
    for name in first:
        if first[name] != other[name]:
            return Fault(aspect, name, f"{name} differs between two calls: {call} gives different bits", {})
    return None


@contextlib.contextmanager
def _one_thread() -> Iterator[bool]:
    """Run fastnn's compiled kernels on one thread, if they are loaded; yields whether they are."""
    threads = sys.modules.get("fastnn.kernels.cpu.threads")
    with threads.use_num_threads(1) if threads else contextlib.nullcontext():
        yield threads is not None


def _ends_with_two_threads() -> bool:
    numba = sys.modules.get("numba")
    try:
        return numba is not None and numba.threading_layer() == "workqueue"
    except ValueError:  # no kernel has started numba's own threads
        return False


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]

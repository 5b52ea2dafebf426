"""The check of one kernel: draw cases, compare, shrink a failing case, find its cause, time the kernel."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterable

from fastnn.kernels import Unsupported
from fastnn.kernels.dispatch import validation

from . import causes, shrinking, strategies, timing
from .cases import Case, drawn, make
from .compare import Fault, judge, judge_again
from .report import Report, WrongKernel
from .specs import FUNCTIONS, Function

DTYPES = ("float32", "float64")
CASES = 60

_WITNESSES, _MORE = 4, 40  # failing cases used to find the cause; calls made to find them


def check_kernel(
    kernel: Callable,
    like: str,
    *,
    cases: int = CASES,
    dtypes: Iterable[str] = DTYPES,
    seed: int = 0,
    timed: bool = True,
) -> Report:
    """Compare a custom kernel with a public function of `fastnn.kernels`.

    kernel: called with the arguments of that function, by position, in any memory layout; its signature may lack the
        last ones if they have a default there, such as need_dx
    like: the name of the function, such as "conv2d_forward", whose docstring is the contract
    cases: number of cases for each dtype: lengths, strides, layouts, ties, NaN, empty batches; the first few are fixed
        edge cases, the others are drawn with `seed`
    dtypes: names of dtypes, "float32" and "float64"
    seed: an integer
    timed: if the kernel is right, time it and compare it with the loops, NumPy and Numba
    Values and gradients are compared with the naive loops in float64 (see `fastnn.testing.assert_same`), dtypes too;
    inputs must not change, and repeated calls, also in several threads at once, must give the same bits.
    Returns a printable Report. Raises WrongKernel, an AssertionError whose message is the report with the smallest
    failing case and the probable cause; TypeError and ValueError for invalid arguments.
    """
    name = "check_kernel"
    if not callable(kernel):
        raise TypeError(
            f"{name}: kernel={kernel!r} is not a function; expected one; pass its name, without parentheses"
        )
    function = FUNCTIONS[validation.choice(name, "like", like, FUNCTIONS)]
    cases = validation.integer(name, "cases", cases, minimum=1)
    seed = validation.integer(name, "seed", seed, minimum=0)
    dtypes = tuple(validation.choice(name, "dtypes", dtype, DTYPES) for dtype in dtypes)
    called, fixed = fitted(name, kernel, function)
    title = getattr(kernel, "__name__", type(kernel).__name__)
    report = examine(called, title, function, cases, dtypes, seed, fixed)
    if not report.cases:
        raise ValueError(
            f"{name}: kernel={title} raises Unsupported in every case ({', '.join(report.lacks)}); expected some that "
            f"it supports; raise Unsupported only for unsupported arguments"
        )
    if not report.ok:
        raise WrongKernel(report)
    if not timed:
        return report
    title = f"{title} (yours)" if title in ("naive", "vectorized", "njit") else title
    seconds, size = timing.times(title, called, function, fixed)
    return dataclasses.replace(report, kernel=title, seconds=seconds, size=size)


def examine(
    kernel: Callable,
    title: str,
    function: Function,
    cases: int,
    dtypes: tuple[str, ...] = DTYPES,
    seed: int = 0,
    fixed: strategies.Plan | None = None,
    again: bool = True,
) -> Report:
    """Check a kernel that takes all arguments; as `check_kernel`, but a wrong kernel raises no error.

    Cases in which the kernel raises Unsupported are skipped; the report lists the arguments.
    again: also test large arrays, repeated calls and calls from several threads
    """
    tried, fixed, lacks = 0, fixed or {}, set()
    for dtype in dtypes:
        others = drawn(function, dtype, fixed, seed, cases)
        for case in others:
            try:
                fault = judge(kernel, case)
            except Unsupported as error:
                lacks.add(error.name)
                continue
            tried += 1
            if fault:
                return explained(kernel, title, function, dtypes, tried, judge, (case, fault), others)
        large = make(function, strategies.large(function, dtype, fixed))
        for judged in (judge, judge_again) if again else ():
            if large is None:
                break
            try:
                fault = judged(kernel, large)
            except Unsupported as error:
                lacks.add(error.name)
                break
            tried += 1
            if fault:
                return explained(kernel, title, function, dtypes, tried, judged, (large, fault), iter(()))
    return Report(title, function.name, tried, dtypes, lacks=tuple(sorted(lacks)))


def fitted(name: str, kernel: Callable, function: Function) -> tuple[Callable, strategies.Plan]:
    """A wrapper of the kernel that takes all arguments, and the fixed choices for parameters that it lacks."""
    parameters, defaults = list(function.parameters.values()), strategies.defaults(function)
    try:
        signature = inspect.signature(kernel)
    except (TypeError, ValueError):  # compiled code may have none
        return kernel, {}
    for count in range(len(parameters), -1, -1):
        try:
            signature.bind(*parameters[:count])
        except TypeError:
            continue
        left_out = parameters[count:]
        if all(one.name in defaults for one in left_out):
            fixed = {key: value for one in left_out for key, value in defaults[one.name].items()}
            return functools.partial(_first, kernel, count) if left_out else kernel, fixed
    wanted = ", ".join(str(one) for one in parameters)
    raise ValueError(
        f"{name}: kernel has the parameters {signature}; expected those of {function.name}: ({wanted}), by position; "
        f"only the last ones with a default may be missing"
    )


def _first(kernel: Callable, count: int, *arguments: object) -> object:
    return kernel(*arguments[:count])


def explained(
    kernel: Callable,
    title: str,
    function: Function,
    dtypes: tuple[str, ...],
    tried: int,
    judged: Callable[[Callable, Case], Fault | None],
    first: tuple[Case, Fault],
    others: Iterable[Case],
    again: bool = True,
) -> Report:
    """The report on a failing case, which is shrunk; other failing cases help to find the cause.

    again: also look whether repeated calls differ
    """

    def once(case: Case) -> Fault | None:
        try:
            return judged(kernel, case)
        except Unsupported:
            return None

    if again and first[1].aspect == "value" and (fault := judge_again(kernel, first[0])):
        judged, first = judge_again, (first[0], fault)  # the wrong values differ from call to call
    witnesses = [first]
    for _, case in zip(range(_MORE), others, strict=False):
        fault = once(case)
        if fault and fault.aspect == first[1].aspect:
            witnesses.append((case, fault))
        if len(witnesses) == _WITNESSES:
            break
    case, fault = shrinking.smallest(*first, once)
    takes = tuple(shrinking.traits(case, once))
    cause = causes.find([*witnesses, (case, fault)], takes)
    return Report(title, function.name, tried, dtypes, fault, case, takes, cause)

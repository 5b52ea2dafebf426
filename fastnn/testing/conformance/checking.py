"""All of it for one kernel: draw, judge, shrink, name the cause, time."""

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

_WITNESSES, _MORE = 4, 40  # failing cases that are asked for the cause; how many calls to find them


def check_kernel(
    kernel: Callable,
    like: str,
    *,
    cases: int = CASES,
    dtypes: Iterable[str] = DTYPES,
    seed: int = 0,
    timed: bool = True,
) -> Report:
    """Compare a kernel of your own with the public function of `fastnn.kernels` that it is like.

    kernel: called with the arguments of that function, by position, in any layout that it accepts; the last ones may be
        left out of its signature where they have a default there, such as need_dx
    like: the name of the function, such as "conv2d_forward", whose docstring is the contract
    cases: how many are drawn for each dtype: lengths, strides, layouts, ties, NaN, empty batches; the first few are
        the usual traps, the others follow from `seed`
    timed: time it too, beside the loops, NumPy and Numba, where it is right
    Values and gradients are compared with the naive loops in float64 (see `fastnn.testing.assert_same`), dtypes too;
    inputs are to stay untouched, and repeated calls, also in several threads at once, are to give the same bits.
    Returns a Report, to be printed. Raises WrongKernel, an AssertionError whose message is the report, with the
    smallest failing case and the probable cause; TypeError and ValueError for arguments that cannot be.
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
            f"it supports; raise Unsupported only for what it lacks"
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
    """Judge a kernel that takes all arguments; arguments and results as of `check_kernel`, but nothing is raised.

    Cases in which the kernel raises Unsupported are left out; the report says what it lacks.
    again: call it with large arrays too, time and again and in several threads
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
                return _explained(kernel, title, function, dtypes, tried, judge, (case, fault), others)
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
                return _explained(kernel, title, function, dtypes, tried, judged, (large, fault), iter(()))
    return Report(title, function.name, tried, dtypes, lacks=tuple(sorted(lacks)))


def fitted(name: str, kernel: Callable, function: Function) -> tuple[Callable, strategies.Plan]:
    """The kernel as one that takes all arguments, and the choices that are made where it lacks the last ones."""
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
        f"only last ones with a default may be missing"
    )


def _first(kernel: Callable, count: int, *arguments: object) -> object:
    return kernel(*arguments[:count])


def _explained(
    kernel: Callable,
    title: str,
    function: Function,
    dtypes: tuple[str, ...],
    tried: int,
    judged: Callable[[Callable, Case], Fault | None],
    first: tuple[Case, Fault],
    others: Iterable[Case],
) -> Report:
    """The report about a failing case: it is made smaller, and others like it are looked for."""

    def again(case: Case) -> Fault | None:
        try:
            return judged(kernel, case)
        except Unsupported:
            return None

    if first[1].aspect == "value" and (fault := judge_again(kernel, first[0])):
        judged, first = judge_again, (first[0], fault)  # what is wrong is another thing each time
    witnesses = [first]
    for _, case in zip(range(_MORE), others, strict=False):
        fault = again(case)
        if fault and fault.aspect == first[1].aspect:
            witnesses.append((case, fault))
        if len(witnesses) == _WITNESSES:
            break
    case, fault = shrinking.smallest(*first, again)
    takes = tuple(shrinking.traits(case, again))
    cause = causes.find([*witnesses, (case, fault)], takes)
    return Report(title, function.name, tried, dtypes, fault, case, takes, cause)

"""The verdict on one function of a student: compared with the naive loops, then with numeric gradients."""

import contextlib
import dataclasses
import linecache
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from fastnn.gradient_check import diagnose
from fastnn.kernels import Unsupported
from fastnn.testing.compare import assert_same
from fastnn.testing.conformance.cases import Arguments, Case, drawn, outcome
from fastnn.testing.conformance.checking import explained
from fastnn.testing.conformance.compare import Fault, Missing, judge

from .exercises import Exercise
from .student import ForwardFailed, Student, TimeLimit

RIGHT, WRONG, RAISES, SLOW, ENDED = "right", "wrong", "raises", "too slow", "ended the process"
MISSING, BLOCKED = "not implemented", "needs its forward pass"
CASES = 8  # for each plan of an exercise

_NO_MEMORY = "probably it takes too much memory, or ends the process"


@dataclasses.dataclass(frozen=True)
class Finding:
    """The verdict on a function.

    status: one of the words above; message: one sentence, "" if it is right; details: lines that explain it
    cause: a keyword of the probable cause, or None; line: where in the file an exception or the time limit came from
    remarks: sentences that do not change the verdict
    """

    function: str
    status: str
    message: str = ""
    details: tuple[str, ...] = ()
    cause: str | None = None
    line: int | None = None
    remarks: tuple[str, ...] = ()


def judge_function(
    exercise: Exercise, student: Student, seed: int, found: Callable[[Finding], None] = lambda finding: None
) -> Finding:
    """Judge a function of the student. found: called with a fault before it is explained, which may take long."""
    student.restart()
    if student.find(exercise.name) is None:
        return Finding(exercise.name, MISSING, f"the file has no function {exercise.name} of its own")
    if exercise.forward in student.failed:
        return Finding(exercise.name, BLOCKED, f"{exercise.forward} gives no cache")
    known: list[Finding] = []

    def note(finding: Finding) -> None:
        known.append(finding)
        found(finding)
        student.clock.restart()  # explaining takes further calls

    try:
        return _judged(exercise, student, seed, note)
    except TimeLimit:
        student.failed.add(exercise.name)
        text = "it takes longer than the time limit, perhaps without end"
        return known[0] if known else _at_line(Finding(exercise.name, SLOW, text, line=student.clock.line), student)
    except Missing:
        return known[0] if known else Finding(exercise.name, MISSING, "it returns None")
    except ForwardFailed as error:
        finding = _at_line(Finding(exercise.name, BLOCKED, str(error), line=student.line), student)
        return known[0] if known else finding
    except Exception as error:  # of a result that NumPy cannot compare
        text = f"its result cannot be compared: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
        return known[0] if known else Finding(exercise.name, WRONG, text)


def _judged(exercise: Exercise, student: Student, seed: int, found: Callable[[Finding], None]) -> Finding:
    kernel = _kernel(exercise, student)
    for plan in exercise.plans:
        cases = drawn(exercise.function, "float64", plan, seed, CASES)
        for case in cases:
            fault = judge(kernel, case)
            if fault is None:
                continue
            finding = _of_fault(exercise, fault, student)
            found(finding)
            report = explained(
                _skipping(kernel),
                exercise.name,
                exercise.function,
                ("float64",),
                1,
                judge,
                (case, fault),
                cases,
                again=False,
            )
            if report.fault is None or report.case is None or report.cause is None:
                return finding
            finding = _of_fault(exercise, report.fault, student)
            details, word = list(report.explanation), report.cause.word
            if fault.aspect == "error":  # its message says more than a guess
                details, word = details[:-1], None
            elif exercise.numeric:
                details += _numeric(exercise, student, report.case, word)
            return dataclasses.replace(finding, details=(*details, *finding.details), cause=word)
    modified = ", ".join(sorted(student.modified))
    remarks = (f"It writes into its argument {modified}, which others may still need; use a copy.",) if modified else ()
    return Finding(exercise.name, RIGHT, remarks=remarks)


def _kernel(exercise: Exercise, student: Student) -> Callable:
    forward = student.forward(exercise.forward) if exercise.forward else None
    return partial(exercise.call, student.own(exercise.name), forward)


def _skipping(kernel: Callable) -> Callable:
    """The kernel without the cases in which the forward pass fails."""

    def called(*arguments: Any) -> Any:
        try:
            return kernel(*arguments)
        except ForwardFailed as error:
            raise Unsupported("cache") from error

    return called


def _of_fault(exercise: Exercise, fault: Fault, student: Student) -> Finding:
    if fault.aspect == "error":
        return _at_line(Finding(exercise.name, RAISES, fault.message, line=student.line), student)
    return Finding(exercise.name, WRONG, fault.message)


def _at_line(finding: Finding, student: Student) -> Finding:
    """The finding with the text of its line."""
    if finding.line is None:
        return finding
    text = linecache.getline(str(student.path), finding.line).strip()
    return dataclasses.replace(finding, details=(f"Line {finding.line}: {text}",))


def _numeric(exercise: Exercise, student: Student, case: Case, word: str | None) -> list[str]:
    """Compare the wrong gradients with numeric ones of the student's own forward pass or loss."""
    verdicts, advice = {}, ""
    with contextlib.suppress(Exception, ForwardFailed, TimeLimit):  # numeric gradients are not possible there
        actual = outcome(exercise.function, _kernel(exercise, student), case.fresh())
        for name in exercise.function.results:
            if name[0] != "d" or _agree(case, actual[name], name):
                continue
            arguments = case.fresh()
            function, dout = _differentiated(exercise, student, arguments, name[1:])
            diagnosis = diagnose(function, arguments[name[1:]], np.asarray(actual[name]), dout=dout)
            verdicts[name] = "right" if diagnosis.ok else "wrong"
            advice = advice or ("" if diagnosis.ok else diagnosis.explanation)
    if not verdicts:
        return []
    forward = exercise.forward or "loss"
    if set(verdicts.values()) == {"right"}:
        if exercise.forward is None:
            return [f"{' and '.join(verdicts)} is the numeric gradient of this loss, so the loss itself is wrong."]
        return [f"It is the gradient of your {forward} by numeric differentiation, which is wrong: repair that first."]
    lines = [f"Numeric gradients of your {forward}: {', '.join(f'{name} is {v}' for name, v in verdicts.items())}."]
    return [*lines, advice] if advice and word is None else lines


def _agree(case: Case, actual: Any, name: str) -> bool:
    try:
        assert_same(actual, case.expected[name], case.terms)
    except AssertionError:
        return False
    return True


def _differentiated(exercise: Exercise, student: Student, arguments: Arguments, name: str) -> tuple[Callable, Any]:
    """The student's forward pass as a function of one argument, and dout; or the loss, and None."""
    results: list[Any] = []

    def kept(*given: Any) -> Any:
        results[:] = [run(*given)]
        return results[0]

    run = student.forward(exercise.forward) if exercise.forward else student.own(exercise.name)

    def function(x: np.ndarray) -> Any:
        changed = {**arguments, name: x}
        if exercise.forward:
            exercise.call(lambda dout, cache: None, kept, *changed.values())
        else:
            exercise.call(kept, None, *changed.values())
        return results[0][0]

    return function, arguments.get("dout")


def ended(function: str, code: int | None) -> Finding:
    """The finding if the process ended; code: its exit code, negative for a signal, None if it had to be ended."""
    if code is None:
        return Finding(function, SLOW, "it takes longer than the time limit, perhaps without end")
    what = f"by signal {-code}" if code < 0 else f"with exit code {code}"
    return Finding(function, ENDED, f"the process ended {what}: {_NO_MEMORY}")

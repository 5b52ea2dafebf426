"""The report on one kernel."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .cases import Arguments, Case
from .causes import Cause
from .compare import Fault

_SHOWN = 40  # elements of an array; of a larger one only the shape is shown


@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """The result of `check_kernel`; `str` gives it as text.

    kernel, like: the names of the checked kernel and of its contract
    dtypes: the dtypes of the cases
    cases: number of calls compared with the loops
    fault: the fault of the smallest failing case, or None if all are right
    case: that case; its `arguments` are a dict in the contract's order
    takes: its traits; without any one of them it does not fail
    cause: the probable cause: a keyword and an explanation (`cause.word` may be None)
    seconds: median seconds of one call, by name, if it was timed; size: the timed arguments
    lacks: the arguments for which it raises Unsupported; those cases are skipped
    """

    kernel: str
    like: str
    cases: int
    dtypes: tuple[str, ...]
    fault: Fault | None = None
    case: Case | None = None
    takes: tuple[str, ...] = ()
    cause: Cause | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    size: str = ""
    lacks: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no fault was found."""
        return self.fault is None

    @property
    def arguments(self) -> Arguments:
        """The arguments of the smallest failing case, as passed to the kernel; {} if all are right."""
        return self.case.fresh() if self.case else {}

    def __repr__(self) -> str:
        return "\n".join(self._right() if self.ok else self._wrong())

    def _right(self) -> list[str]:
        but = f" except for {' and '.join(self.lacks)}, which it does not support" if self.lacks else ""
        lines = [
            f"{self.kernel} does what {self.like} does{but}: {self.cases} cases in {' and '.join(self.dtypes)}, "
            f"with the same bits in repeated calls and in several threads at once."
        ]
        if self.seconds:
            own = self.seconds[self.kernel]
            width = max(map(len, self.seconds))
            lines.append(f"Time of one call on {self.size}, and the speedup of {self.kernel}:")
            for name, median in self.seconds.items():
                ratio = f"  {median / own:8.3g}x" if name != self.kernel else ""
                lines.append(f"  {name:{width}}  {median * 1e3:10.4g} ms{ratio}")
        return lines

    def _wrong(self) -> list[str]:
        return [
            f"{self.kernel} does not do what {self.like} does: {self.fault and self.fault.message}.",
            *self.explanation,
        ]

    @property
    def explanation(self) -> list[str]:
        """Lines on the smallest failing case and the probable cause; [] if all are right."""
        case, fault, cause = self.case, self.fault, self.cause
        if case is None or fault is None or cause is None:
            return []
        call = ", ".join(name if _is_array(value) else f"{name}={value!r}" for name, value in case.arguments.items())
        lines = [
            f"Smallest case found that fails: {self.like}({call})",
            *(_shown(name, value) for name, value in case.arguments.items() if _is_array(value)),
        ]
        if fault.aspect == "value":
            actual, expected = fault.actual[fault.where], case.expected[fault.where]
            lines += [_shown(f"{fault.where}, expected", expected), _shown(f"{fault.where}, actual", actual)]
        if self.takes:
            lines.append(f"It takes {', '.join(self.takes)}.")
        title = f"{cause.word}: " if cause.word else ""
        return [*lines, f"Probable cause: {title}{cause.words}."]


class WrongKernel(AssertionError):
    """A kernel violates its contract.

    report: the Report
    """

    def __init__(self, report: Report):
        super().__init__(str(report))
        self.report = report


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray)


def _shown(name: str, value: Any) -> str:
    array = np.asarray(value)
    if array.size > _SHOWN:
        return f"  {name}: {array.dtype} of shape {array.shape}"
    values = " ".join(np.array2string(array, separator=", ", max_line_width=10**6, precision=8).split())
    return f"  {name} = {values}" + (f", {array.dtype} of shape {array.shape}" if array.ndim else "")

"""What is said about one kernel, for programs and for readers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .cases import Arguments, Case
from .causes import Cause
from .compare import Fault

_SHOWN = 40  # elements of an array; of a larger one the shape tells more


@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """The result of `check_kernel`; printed, it says what a person should know.

    kernel, like: the names of what was checked, and of its contract
    cases: how many calls were compared with the loops
    fault: what is wrong with the smallest failing case, or None where all are right
    case: that case; its `arguments` are a dict in the contract's order
    takes: what is special about it: without each of these it does not fail
    cause: why it is wrong, in one word and in words (`cause.word` may be None)
    seconds: median of one call, by name, where it was timed; size: what was timed
    lacks: the arguments for whose values it raises Unsupported; these cases are left out
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
        """Whether nothing wrong was found."""
        return self.fault is None

    @property
    def arguments(self) -> Arguments:
        """The arguments of the smallest failing case, as the kernel gets them; {} where all are right."""
        return self.case.fresh() if self.case else {}

    def __repr__(self) -> str:
        return "\n".join(self._right() if self.ok else self._wrong())

    def _right(self) -> list[str]:
        but = f" but for {' and '.join(self.lacks)}, which it does not support" if self.lacks else ""
        lines = [
            f"{self.kernel} does what {self.like} does{but}: {self.cases} cases in {' and '.join(self.dtypes)}, "
            f"and the same bits again and in several threads at once."
        ]
        if self.seconds:
            own = self.seconds[self.kernel]
            width = max(map(len, self.seconds))
            lines.append(f"One call on {self.size}, and how many times as fast {self.kernel} is:")
            for name, median in self.seconds.items():
                ratio = f"  {median / own:8.3g}x" if name != self.kernel else ""
                lines.append(f"  {name:{width}}  {median * 1e3:10.4g} ms{ratio}")
        return lines

    def _wrong(self) -> list[str]:
        case, fault, cause = self.case, self.fault, self.cause
        if case is None or fault is None or cause is None:
            return []
        call = ", ".join(name if _is_array(value) else f"{name}={value!r}" for name, value in case.arguments.items())
        lines = [
            f"{self.kernel} does not do what {self.like} does: {fault.message}.",
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
    """A kernel does not do what its contract says; `report` holds what was found."""

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

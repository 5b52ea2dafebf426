"""What the doctor found, for programs and for readers."""

from dataclasses import dataclass

import numpy as np

VERDICTS = ("ok", "kink", "precision", "wrong")
UNTESTED = "untested"


@dataclass(frozen=True, eq=False, repr=False)
class Diagnosis:
    """The result of `diagnose`; printed, it says what a person should know.

    verdicts: strings in the shape of x: "ok", "kink", "precision", "wrong", or "untested" where only some were drawn
    numeric: the numeric gradient, float64, in the shape of x; NaN where untested
    analytic: the gradient that was judged
    errors: |analytic - numeric| / max(1e-8, |analytic| + |numeric|) in the shape of x; NaN where untested, infinite
        where the analytic value is not finite or its shape is not that of x
    cause: why elements are wrong, in one word (see `diagnose`), or None where none are or no cause fits
    explanation: the same for a reader, or what to do about elements whose verdict is "precision"; "" where all is well
    """

    verdicts: np.ndarray
    numeric: np.ndarray
    analytic: np.ndarray
    errors: np.ndarray
    cause: str | None
    explanation: str

    @property
    def ok(self) -> bool:
        """Whether every element tested is ok, or a kink: nothing is wrong, nothing remained undecided."""
        return self.counts["wrong"] == self.counts["precision"] == 0

    @property
    def counts(self) -> dict[str, int]:
        """How many elements have each verdict."""
        return {verdict: int(np.count_nonzero(self.verdicts == verdict)) for verdict in VERDICTS}

    @property
    def worst(self) -> tuple[int, ...]:
        """The index of the largest error among the elements of the gravest verdict that occurs."""
        gravest = next(verdict for verdict in ("wrong", "precision", "ok", "kink") if self.counts[verdict])
        errors = np.where(self.verdicts == gravest, np.nan_to_num(self.errors, nan=-1.0), -2.0)
        return tuple(int(axis) for axis in np.unravel_index(int(np.argmax(errors)), errors.shape))

    def __repr__(self) -> str:
        counts, index = self.counts, self.worst
        tested = sum(counts.values())
        state = "wrong" if counts["wrong"] else "right" if self.ok else "not decided"
        of = "" if tested == self.verdicts.size else f" of {self.verdicts.size}"
        lines = [
            f"The gradient is {state}: {', '.join(f'{counts[verdict]} {verdict}' for verdict in VERDICTS)} "
            f"({tested}{of} elements tested)."
        ]
        if self.analytic.shape == self.verdicts.shape:
            lines.append(
                f"Largest error: {self.verdicts[index]} at index {index}: analytic {self.analytic[index]:.6g}, numeric "
                f"{self.numeric[index]:.6g}, relative error {self.errors[index]:.1e}."
            )
        if counts["kink"]:
            lines.append(
                "Kinks: left and right of x the slope of f differs, and the analytic value is between the two. That is "
                "no fault."
            )
        if self.explanation:
            lines.append(self.explanation)
        return "\n".join(lines)

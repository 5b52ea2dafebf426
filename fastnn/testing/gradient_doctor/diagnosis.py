"""The result of the gradient doctor."""

from dataclasses import dataclass

import numpy as np

VERDICTS = ("ok", "kink", "precision", "wrong")
UNTESTED = "untested"


@dataclass(frozen=True, eq=False, repr=False)
class Diagnosis:
    """The result of `diagnose`; print it for a summary.

    verdicts: strings in the shape of x: "ok", "kink", "precision", "wrong" or "untested"
    numeric: the numeric gradient, float64, in the shape of x; NaN where untested
    analytic: the gradient that was tested
    errors: |analytic - numeric| / max(1e-8, |analytic| + |numeric|) in the shape of x; NaN where untested, infinite
        where the analytic value is not finite or its shape is not that of x
    cause: name of the cause of wrong elements (see `diagnose`), or None if there are none or no cause fits
    explanation: a sentence about the cause, or advice about elements with the verdict "precision"; "" if there is none
    """

    verdicts: np.ndarray
    numeric: np.ndarray
    analytic: np.ndarray
    errors: np.ndarray
    cause: str | None
    explanation: str

    @property
    def ok(self) -> bool:
        """Whether every tested element is "ok" or "kink"."""
        return self.counts["wrong"] == self.counts["precision"] == 0

    @property
    def counts(self) -> dict[str, int]:
        """The number of elements with each verdict."""
        return {verdict: int(np.count_nonzero(self.verdicts == verdict)) for verdict in VERDICTS}

    @property
    def worst(self) -> tuple[int, ...]:
        """The index of the largest error among the elements with the worst verdict."""
        worst_verdict = next(verdict for verdict in ("wrong", "precision", "ok", "kink") if self.counts[verdict])
        errors = np.where(self.verdicts == worst_verdict, np.nan_to_num(self.errors, nan=-1.0), -2.0)
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
                "Kinks: the left and right slopes of f at x differ, and the analytic value is between them. This "
                "is not an error."
            )
        if self.explanation:
            lines.append(self.explanation)
        return "\n".join(lines)

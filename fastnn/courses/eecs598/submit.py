"""`make_a1_submission` to `make_a6_submission`, which have nothing to hand in."""

import os
from collections.abc import Callable
from typing import Any

__all__ = [
    "make_a1_submission",
    "make_a2_submission",
    "make_a3_submission",
    "make_a4_submission",
    "make_a5_submission",
    "make_a6_submission",
]


def _submission(assignment: str) -> Callable[..., None]:
    def make(assignment_path: str | os.PathLike, uniquename: Any = None, umid: Any = None) -> None:
        """Print that there is nothing to submit: fastnn stands in for the files that a student would have written."""
        print(f"There is nothing to submit for {assignment}: its functions are those of fastnn.")

    make.__name__ = make.__qualname__ = f"make_{assignment.lower()}_submission"
    return make


make_a1_submission, make_a2_submission, make_a3_submission = map(_submission, ("A1", "A2", "A3"))
make_a4_submission, make_a5_submission, make_a6_submission = map(_submission, ("A4", "A5", "A6"))

"""Helpers of the assignment: toy data and plots, those of `fastnn.courses.eecs598.a2_helpers`."""

from fastnn.courses.eecs598.a2_helpers import *  # noqa: F403
from fastnn.courses.eecs598.a2_helpers import __all__  # noqa: F401


def hello_helper() -> None:  # type: ignore[no-redef]  # the other says a2_helpers
    """Print a line, to show that the module can be imported."""
    print("Hello from a3_helpers.py!")

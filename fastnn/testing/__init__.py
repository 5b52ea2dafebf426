"""Comparison of kernels with the naive loops in float64.

`check_kernel` tests a custom kernel, and raises WrongKernel, an AssertionError, if it fails; it is also available as a
pytest fixture of the same name.

    compare          `assert_same`, `against_naive`, `tolerance`
    conformance      `check_kernel`, and `fastnn check`
    gradient_doctor  `fastnn.gradient_check.diagnose`
    grading          `fastnn check --course`
"""

from typing import TYPE_CHECKING, Any

from .compare import against_naive, assert_same, tolerance

if TYPE_CHECKING:
    from .conformance.checking import Report, WrongKernel, check_kernel

__all__ = ["Report", "WrongKernel", "against_naive", "assert_same", "check_kernel", "tolerance"]


def __getattr__(name: str) -> Any:
    """Import the conformance tests on first access; comparisons do not need them."""
    if name in ("Report", "WrongKernel", "check_kernel"):
        import importlib

        return getattr(importlib.import_module(f"{__name__}.conformance.checking"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

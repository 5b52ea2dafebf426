"""Every public kernel by name, as the specifications of the operations describe it (`kernels/<operation>/spec.py`)."""

from fastnn.kernels import OPERATIONS
from fastnn.kernels.dispatch import specification
from fastnn.kernels.dispatch.specification import Function

FUNCTIONS: dict[str, Function] = {
    name: function for operation in OPERATIONS for name, function in specification.functions(operation).items()
}


def forward_of(function: Function) -> Function | None:
    """The forward function whose results a backward pass takes, or None."""
    return FUNCTIONS[function.forward] if function.forward else None


__all__ = ["FUNCTIONS", "Function", "forward_of"]

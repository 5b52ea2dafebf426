"""ITE4052, whose third assignment is the second of EECS 498/598, under this course's names.

The modules are those of `fastnn.courses.eecs598`; a3_helpers is its a2_helpers.
"""

from fastnn.courses.eecs598 import Solver, data, grad, reset_seed, submit, tensor_to_image, visualize_dataset

from . import a3_helpers

__all__ = [
    "Solver",
    "a3_helpers",
    "data",
    "grad",
    "reset_seed",
    "submit",
    "tensor_to_image",
    "visualize_dataset",
]

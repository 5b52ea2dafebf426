"""EECS 498/598, Deep Learning for Computer Vision (Michigan): its package and its notebooks' files, on torch tensors.

The package:   data, grad, vis, utils, solver, submit, a2_helpers
Assignment 1:  knn
Assignment 2:  linear_classifier, two_layer_net, and as linear_classifier_assignment, two_layer_net_assignment
Assignment 3:  a3_helper, fully_connected_networks, convolutional_networks

Where a notebook asks for a GPU that torch cannot use, these modules warn and compute on the CPU. Training that
diverges stops with a warning. Everything draws from torch's random state, and from that of `random`.
"""

try:
    import torch  # noqa: F401
except ImportError as error:
    raise ImportError(
        "fastnn.courses.eecs598: torch is not installed; expected it, since the course computes on its tensors; "
        "pip install torch"
    ) from error

from . import data, grad, submit
from .solver import Solver
from .utils import reset_seed
from .vis import tensor_to_image, visualize_dataset

__all__ = ["Solver", "data", "grad", "reset_seed", "submit", "tensor_to_image", "visualize_dataset"]

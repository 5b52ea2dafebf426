"""Helpers of assignment 3: loss functions, data and plots."""

import torch

from fastnn.layers import softmax_loss, svm_loss

from .a2_helpers import plot_acc_curves, plot_stats, show_net_weights, visualize_grid
from .data import preprocess_cifar10

__all__ = [
    "get_CIFAR10_data",
    "hello_helper",
    "plot_acc_curves",
    "plot_stats",
    "show_net_weights",
    "softmax_loss",
    "svm_loss",
    "visualize_grid",
]


def hello_helper() -> None:
    """Print a line, to show that the module can be imported."""
    print("Hello from a3_helper.py!")


def get_CIFAR10_data(validation_ratio: float = 0.02, flatten: bool = False) -> dict[str, torch.Tensor]:
    """Call `preprocess_cifar10` with images in float32, on a GPU if there is one, and examples drawn."""
    return preprocess_cifar10(validation_ratio=validation_ratio, flatten=flatten)

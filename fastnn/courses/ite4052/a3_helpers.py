"""Helpers of the assignment: toy data and plots, as in `fastnn.courses.eecs598.a2_helpers`."""

from fastnn.courses.eecs598.a2_helpers import (
    get_toy_data,
    plot_acc_curves,
    plot_stats,
    reset_seed,
    show_net_weights,
    visualize_grid,
)

__all__ = [
    "get_toy_data",
    "hello_helper",
    "plot_acc_curves",
    "plot_stats",
    "reset_seed",
    "show_net_weights",
    "visualize_grid",
]


def hello_helper() -> None:
    """Print a line, to show that the module can be imported."""
    print("Hello from a3_helpers.py!")

"""Helpers of assignment 2: toy data and plots."""

from typing import Any

import torch

from fastnn import vis_utils
from fastnn.vis_utils import figures

from . import toy
from .devices import usable
from .random_state import reset_seed

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
    print("Hello from a2_helpers.py!")


def get_toy_data(
    num_inputs: int = 5,
    input_size: int = 4,
    hidden_size: int = 10,
    num_classes: int = 3,
    dtype: torch.dtype = torch.float32,
    device: Any = "cuda",
) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    """Return inputs (N, D), labels (N,) and the parameters W1, b1, W2, b2 of a net with H hidden units and C classes.

    They are what a GPU draws after `reset_seed(0)`, on every device, so that the notebook's figures come out. The
    labels are 0, 1, 2, 2, 1, repeated.
    """
    there: Any = {"dtype": dtype, "device": usable("get_toy_data", device)}
    reset_seed(0)
    shapes = ((input_size, hidden_size), (hidden_size, num_classes), (num_inputs, input_size))
    W1, W2, X = (torch.from_numpy(toy.normal(shape, call)).to(**there) for call, shape in enumerate(shapes))
    params = {
        "W1": 1e-4 * W1,
        "b1": torch.zeros(hidden_size, **there),
        "W2": 1e-4 * W2,
        "b2": torch.zeros(num_classes, **there),
    }
    y = torch.tensor([0, 1, 2, 2, 1], device=there["device"]).repeat(-(-num_inputs // 5))[:num_inputs]
    return 10.0 * X, y % num_classes, params


def plot_stats(stat_dict: Any) -> Any:
    """Plot the losses and accuracies that `train` returned, or those of a Solver."""
    return figures.shown(vis_utils.plot_stats(stat_dict))


def plot_acc_curves(stat_dict: Any) -> Any:
    """Plot the accuracies of several runs: a dict from names to what `train` returned."""
    return figures.shown(vis_utils.plot_acc_curves(stat_dict))


def show_net_weights(net: Any) -> Any:
    """Draw the first layer's weights as images, one per hidden unit."""
    return figures.shown(vis_utils.show_net_weights(net.params["W1"].detach().cpu().numpy()))


def visualize_grid(Xs: torch.Tensor, ubound: float = 255.0, padding: int = 1) -> torch.Tensor:
    """Arrange images (N, H, W, C) in a grid, each scaled to the range from 0 to ubound."""
    grid = vis_utils.visualize_grid(Xs.detach().cpu().numpy(), ubound, padding)
    return torch.from_numpy(grid).to(Xs)

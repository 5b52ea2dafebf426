"""Images for matplotlib from torch tensors."""

import random
from collections.abc import Sequence

import numpy as np
import torch

__all__ = ["tensor_to_image", "visualize_dataset"]

_BORDER = 2


def tensor_to_image(tensor: torch.Tensor) -> np.ndarray:
    """Convert an image (3, H, W) with pixels from 0 to 1 to an array (H, W, 3), uint8."""
    return tensor.permute(1, 2, 0).mul(255).round().clamp(0, 255).to("cpu", torch.uint8).numpy()


def visualize_dataset(
    X_data: torch.Tensor, y_data: torch.Tensor, samples_per_class: int, class_list: Sequence[str]
) -> np.ndarray:
    """Arrange random images of each class in a row; the names of the classes are written to pyplot's current axes.

    X_data (N, 3, H, W): pixels from 0 to 1; y_data (N,): labels; images are drawn by `random`
    Returns an array (height, width, 3), uint8.
    """
    from matplotlib import pyplot

    height, rows = X_data.shape[2] + _BORDER, []
    for label, name in enumerate(class_list):
        pyplot.text(-4, height * label + height // 2 + 1, name, ha="right")
        (places,) = torch.nonzero(y_data == label, as_tuple=True)
        chosen = [X_data[places[random.randrange(len(places))]] for _ in range(samples_per_class)]
        rows.append(torch.cat([_framed(image) for image in chosen], dim=2))
    return tensor_to_image(torch.cat(rows, dim=1))


def _framed(image: torch.Tensor) -> torch.Tensor:
    """Return the image with a black border above and on the left."""
    return torch.nn.functional.pad(image, (_BORDER, 0, _BORDER, 0))

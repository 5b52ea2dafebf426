"""`reset_seed`, and functions that show images."""

from .random_state import reset_seed
from .vis import tensor_to_image, visualize_dataset

__all__ = ["reset_seed", "tensor_to_image", "visualize_dataset"]

"""Seeds."""

import random

import numpy as np
import torch

__all__ = ["reset_seed"]


def reset_seed(number: int) -> None:
    """Seed torch, `random` and NumPy's global state."""
    random.seed(number)
    torch.manual_seed(number)
    np.random.seed(number)

"""The device of tensors, where the course takes a GPU for granted."""

import warnings
from typing import Any

import torch


def usable(function: str, device: Any) -> torch.device:
    """Return the device; with a warning the CPU, if it is a GPU that torch cannot use."""
    chosen = torch.device(device)
    if chosen.type == "cuda" and not torch.cuda.is_available():
        warnings.warn(
            f"{function}: device={str(device)!r} cannot be used by torch; expected a machine with an NVIDIA GPU and "
            f"torch built for it; computing on the CPU; write 'cpu' for 'cuda' in the notebook",
            RuntimeWarning,
            stacklevel=3,
        )
        return torch.device("cpu")
    return chosen

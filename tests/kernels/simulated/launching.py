"""Launch single kernels on NumPy arrays."""

import numpy as np

from fastnn.kernels.gpu.memory import to_device, to_host


def launch(kernel, blocks, *arguments):
    """Launch a kernel, and copy what it writes back to the NumPy arrays."""
    placed = [to_device(value) if isinstance(value, np.ndarray) else value for value in arguments]
    kernel.launch(blocks, *placed)
    for value, there in zip(arguments, placed, strict=True):
        if isinstance(value, np.ndarray):
            value[...] = to_host(there)

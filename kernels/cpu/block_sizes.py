"""The sizes of blocks of the compiled kernels, for commands and checkpoints: the model, the file, and their name."""

from .simd.cpu_info import registers
from .simd.size_model import CLASSES, model
from .simd.sizes import identifier, is_used
from .simd.tuned_sizes import path, record, write

__all__ = ["CLASSES", "identifier", "is_used", "model", "path", "record", "registers", "write"]

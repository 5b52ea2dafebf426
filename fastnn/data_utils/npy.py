"""Safe reading of NumPy's npy format.

Unlike NumPy's own reader, this does not allocate as much memory as a header claims.
"""

import io
import math
from pathlib import Path

import numpy as np

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def parse(content: bytes) -> np.ndarray:
    """Parse the bytes of a file as an array of booleans or numbers. Raises ValueError if they are not one."""
    stream = io.BytesIO(content)
    try:
        shape, is_fortran, dtype = _HEADERS[np.lib.format.read_magic(stream)](stream)
    except Exception as error:  # the header is parsed as Python code
        raise ValueError("begins with no header of the npy format, version 1 or 2") from error
    size = len(content) - stream.tell()
    if dtype.kind not in "biufc":
        raise ValueError(f"has the dtype {dtype}, not one of numbers")
    if math.prod(shape) * dtype.itemsize != size or min(shape, default=0) < 0:
        raise ValueError(f"claims the shape {shape}, and has {size:,} bytes")
    array = np.frombuffer(content, dtype, offset=stream.tell())
    return array.reshape(shape, order="F" if is_fortran else "C").copy()


def read(path: Path) -> np.ndarray:
    """Read the array in a file. Raises ValueError for other files, OSError if it cannot be opened."""
    return parse(path.read_bytes())

"""Named arrays in the format of safetensors, which PyTorch and others read.

The package safetensors reads the header: offsets must cover the file without gaps and overlaps, and fit the shapes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

# kinds of numbers that NumPy has, in the format's byte order
_DTYPES = {
    **{f"F{8 * size}": f"<f{size}" for size in (2, 4, 8)},
    **{f"{kind}{8 * size}": f"<{kind.lower()}{size}" for kind in "IU" for size in (1, 2, 4, 8)},
    "BOOL": "|b1",
}
_METADATA = {"format": "pt"}  # the layouts are torch's


def pack(function: str, path: Path, arrays: Mapping[str, np.ndarray]) -> bytes:
    """The content of a file. Raises ModuleNotFoundError without the package, TypeError for other kinds of numbers."""
    _package(function, path)
    from safetensors.numpy import save

    entries = {}
    for key, array in arrays.items():
        dtype = array.dtype.newbyteorder("<")
        if dtype not in map(np.dtype, _DTYPES.values()):
            raise TypeError(
                f"{function}: {key!r} is {array.dtype}; expected a dtype that safetensors has, such as float32; "
                f"convert it, or choose a name that ends in .npz"
            )
        entries[key] = np.array(array, dtype, order="C")
    return save(entries, _METADATA)


def read(function: str, path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file.

    Raises FileNotFoundError if it does not exist, ModuleNotFoundError without the package, ValueError for other files.
    """
    package = _package(function, path)
    try:
        entries = dict(package.deserialize(path.read_bytes()))  # in any order
        return {key: _array(key, entries[key]) for key in sorted(entries)}
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{function}: name={str(path)!r} is not a file; expected one written by save; check the name and the folder"
        ) from error
    except (package.SafetensorError, ValueError) as error:
        raise ValueError(
            f"{function}: name={str(path)!r} is not a safetensors file with arrays of numbers ({error}); expected one "
            f"written by save, or by safetensors; check the name"
        ) from error


def _array(key: str, entry: Mapping[str, Any]) -> np.ndarray:
    dtype = _DTYPES.get(entry["dtype"])
    if dtype is None:
        raise ValueError(f"{key!r} is {entry['dtype']}, which NumPy does not have: convert it to F32 before")
    data = np.frombuffer(entry["data"], dtype)
    if dtype == "|b1" and data.view(np.uint8).max(initial=0) > 1:
        raise ValueError(f"{key!r} holds a boolean that is neither 0 nor 1")
    return data.reshape(entry["shape"]).astype(np.dtype(dtype).newbyteorder("="))


def _package(function: str, path: Path) -> Any:
    try:
        import safetensors
    except ImportError as error:
        raise ModuleNotFoundError(
            f"{function}: name={str(path)!r} needs the package safetensors, which cannot be imported ({error}); "
            f'expected it; pip install "fastnn-numba[safetensors]", or choose a name that ends in .npz'
        ) from error
    return safetensors

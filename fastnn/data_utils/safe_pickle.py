"""Pickles of plain data, read without running anything that they name.

A pickle is a program: it may import any function and call it. The Python version of CIFAR-10 comes as pickles, so they
are opened by an unpickler that knows dicts, lists, tuples, strings, bytes, numbers and the three NumPy names that occur
in a pickled array. Even these are stand-ins: NumPy's own would accept from a file a dtype whose numbers are pointers.
"""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np


def load_dict(path: Path) -> dict[str, Any]:
    """Read a pickled dict, written by Python 2 or 3.

    Returns it with its keys as str. Strings that Python 2 wrote come back as bytes; arrays among the values have a
    boolean, integer or floating dtype and are read-only.
    Raises ValueError for a file that names anything but data, that is damaged, or that holds no dict.
    """
    try:
        loaded = _Unpickler(io.BytesIO(path.read_bytes()), encoding="bytes").load()
        if not isinstance(loaded, dict):
            raise ValueError(f"it holds a {type(loaded).__name__}, not a dict")
        return {_text(key): value.array if isinstance(value, _Array) else value for key, value in loaded.items()}
    except OSError:
        raise
    except Exception as error:  # a damaged pickle may raise nearly anything
        raise ValueError(
            f"load_dict: {path} cannot be read as plain data: {str(error) or type(error).__name__}; expected a pickled "
            f"dict of lists, strings, numbers and NumPy arrays; replace the file with the original"
        ) from error


class _Unpickler(pickle._Unpickler):
    """The unpickler in Python rather than in C, which reserves as much memory as a damaged file asks for."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STAND_INS:
            raise ValueError(f"it asks for {module}.{name}, which is no data")
        return _STAND_INS[module, name]


class _Dtype:
    """Stands in for numpy.dtype."""

    __slots__ = ("dtype",)

    def __init__(self, code: Any, *_: Any):
        code = _text(code)
        if code[:1] not in "biuf" or not code[1:].isdigit():
            raise ValueError(f"its array has the dtype {code!r}, not one of plain numbers")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        self.dtype = self.dtype.newbyteorder(_text(state[1]))


class _Array:
    """Stands in for numpy.ndarray; `array` is there once the pickle has given shape, dtype and bytes."""

    __slots__ = ("array",)

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, data = state
        self.array = np.frombuffer(data, dtype.dtype).reshape(shape, order="F" if is_fortran else "C")


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _text(value: Any) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)


_STAND_INS = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): "numpy.ndarray",  # only ever handed to _reconstruct
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
}

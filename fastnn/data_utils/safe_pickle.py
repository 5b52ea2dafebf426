"""Pickles of plain data, read without running anything that they name.

A pickle is a program: it may import any function and call it. The Python version of CIFAR-10 comes as pickles, so they
are opened by an unpickler that knows dicts, lists, tuples, strings, bytes, numbers and the three NumPy names that occur
in a pickled array. Even these are stand-ins: NumPy's own would accept from a file a dtype whose numbers are pointers.
"""

import io
import pickle
from pathlib import Path
from typing import Any, ClassVar

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


_PythonUnpickler: Any = pickle._Unpickler  # its methods are known to no type checker


class _Unpickler(_PythonUnpickler):
    """The unpickler in Python rather than in C, which reserves as much memory as a damaged file asks for."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STAND_INS:
            raise ValueError(f"it asks for {module[:60]}.{name[:60]}, which is not data")
        return _STAND_INS[module, name]

    def _build(self) -> None:
        if type(self.stack[-2]) not in (_Dtype, _Array):
            raise ValueError("it sets attributes of what is not an array")
        super().load_build()

    def _set_item(self) -> None:
        self._check_keys([self.stack[-2]])
        super().load_setitem()

    def _set_items(self) -> None:
        self._check_keys(self.stack[::2])
        super().load_setitems()

    def _dict(self) -> None:
        self._check_keys(self.stack[::2])
        super().load_dict()

    def _check_keys(self, keys: list) -> None:
        """Tuples that hold one another twice, forty deep, would be hashed for hours."""
        if not all(isinstance(key, (str, bytes)) for key in keys):
            raise ValueError("it has a dict with keys that are not text")

    def _refuse(self) -> None:
        raise ValueError("it takes a step that leads to no plain data")

    dispatch: ClassVar[dict[int, Any]] = {
        **_PythonUnpickler.dispatch,
        pickle.BUILD[0]: _build,
        pickle.SETITEM[0]: _set_item,
        pickle.SETITEMS[0]: _set_items,
        pickle.DICT[0]: _dict,
        # memory that is claimed, names that are not looked up in find_class, sets
        **dict.fromkeys([code[0] for code in (pickle.BYTEARRAY8, pickle.EXT1, pickle.EXT2, pickle.EXT4)], _refuse),
        **dict.fromkeys([code[0] for code in (pickle.EMPTY_SET, pickle.FROZENSET)], _refuse),
    }


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
    if not isinstance(value, (str, bytes)):
        raise ValueError(f"it has a {type(value).__name__} in place of text")
    return value.decode("latin1") if isinstance(value, bytes) else value


_STAND_INS = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): "numpy.ndarray",  # only ever handed to _reconstruct
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
}

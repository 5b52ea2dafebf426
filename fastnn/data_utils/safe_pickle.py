"""Safe reading of pickles that contain plain data.

A pickle can import and call any function. The Python version of CIFAR-10 consists of pickles, so they are read by an
unpickler that supports only dicts, lists, tuples, strings, bytes, numbers and the four NumPy names that occur in a
pickled array. These names are replaced by stand-ins, since NumPy's own would accept a dtype of object pointers.
"""

import io
import pickle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np


def load_dict(path: Path) -> dict[str, Any]:
    """Read a pickled dict, written by Python 2 or 3.

    Returns the dict with str keys. Strings written by Python 2 become bytes; arrays have a boolean, integer or floating
    dtype and are read-only.
    Raises ValueError if the file refers to anything other than data, is damaged, or contains no dict.
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


_PythonUnpickler: Any = pickle._Unpickler  # unknown to type checkers


class _Unpickler(_PythonUnpickler):
    """The Python unpickler; the one in C allocates as much memory as a damaged file claims."""

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
        """Allow only text as keys: hashing deeply nested tuples could take hours."""
        if not all(isinstance(key, (str, bytes)) for key in keys):
            raise ValueError("it has a dict with keys that are not text")

    def _bytearray(self) -> None:
        """Read a bytearray as bytes, which take no more memory than the file."""
        self.append(self.read(int.from_bytes(self.read(8), "little")))

    def _reject(self) -> None:
        raise ValueError("it uses an operation that plain data do not need")

    dispatch: ClassVar[dict[int, Any]] = {
        **_PythonUnpickler.dispatch,
        pickle.BUILD[0]: _build,
        pickle.SETITEM[0]: _set_item,
        pickle.SETITEMS[0]: _set_items,
        pickle.DICT[0]: _dict,
        pickle.BYTEARRAY8[0]: _bytearray,
        # names that bypass find_class, sets
        **dict.fromkeys([code[0] for code in (pickle.EXT1, pickle.EXT2, pickle.EXT4)], _reject),
        **dict.fromkeys([code[0] for code in (pickle.EMPTY_SET, pickle.FROZENSET)], _reject),
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
    """Stands in for numpy.ndarray; `array` is set when the pickle supplies shape, dtype and bytes."""

    __slots__ = ("array",)

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, data = state
        self.array = np.frombuffer(data, dtype.dtype).reshape(shape, order="F" if is_fortran else "C")


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _frombuffer(data: bytes, dtype: _Dtype, shape: tuple, order: str) -> _Array:
    array = _Array()
    array.__setstate__((1, shape, dtype, order == "F", data))
    return array


def _text(value: Any) -> str:
    if not isinstance(value, (str, bytes)):
        raise ValueError(f"it has a {type(value).__name__} in place of text")
    return value.decode("latin1") if isinstance(value, bytes) else value


_STAND_INS = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): "numpy.ndarray",  # only passed to _reconstruct
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.numeric", "_frombuffer"): _frombuffer,  # of protocol 5
    ("numpy._core.numeric", "_frombuffer"): _frombuffer,
}

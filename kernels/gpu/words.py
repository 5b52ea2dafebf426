"""Words for the types of a kernel's arguments: "*f4" is a float32 array, "i4" an int32."""

from collections.abc import Iterable
from typing import Any

import numpy as np

# names of Numba's types; a boolean is a byte of 0 or 1, because Numba cannot access booleans by address
TYPES = {
    "f2": "float16", "f4": "float32", "f8": "float64", "i1": "int8", "i2": "int16", "i4": "int32", "i8": "int64",
    "u1": "uint8", "u2": "uint16", "u4": "uint32", "u8": "uint64", "b1": "uint8",
}  # fmt: skip


def of(function: str, arguments: Iterable[Any]) -> tuple[str, ...]:
    """Return the words of arrays and NumPy scalars. Raises TypeError for dtypes that kernels cannot take."""
    return tuple(_word(function, value) for value in arguments)


def _word(function: str, value: Any) -> str:
    word = f"{value.dtype.kind}{value.dtype.itemsize}"
    if word not in TYPES:
        raise TypeError(
            f"{function}: an argument of dtype {value.dtype} is not supported on a GPU; expected real numbers of at "
            f"most 64 bits; convert it"
        )
    return word if isinstance(value, np.generic) else f"*{word}"

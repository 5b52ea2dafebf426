"""Arrays of several modules under one set of names."""

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import numpy as np

from fastnn.kernels.dispatch import validation
from fastnn.kernels.dispatch.arrays import copy, on_same_device

_SINGULAR = {"params": "parameter", "buffers": "buffer"}


class NamedArrays(MutableMapping):
    """The parameters or buffers of several modules as one dict: each name stands for a key of a module's own dict.

    Reading gives the module's array itself; assigning puts a copy, in that array's dtype, into the module. No name can
    be added or removed. Raises KeyError for an unknown name, ValueError for another shape.
    """

    def __init__(self, kind: str, places: dict[str, tuple[MutableMapping[str, np.ndarray], str]]) -> None:
        self._kind = kind
        self._places = places

    def __getitem__(self, name: str) -> np.ndarray:
        arrays, key = self._place(name)
        return arrays[key]

    def __setitem__(self, name: str, value: Any) -> None:
        arrays, key = self._place(name)
        arrays[key] = fitting(self._kind, name, arrays[key], value)

    def __delitem__(self, name: str) -> None:
        raise TypeError(
            f"{self._kind}: {name!r} cannot be removed; expected every {_SINGULAR[self._kind]} to stay; "
            f"assign to it instead"
        )

    def copy(self) -> dict[str, np.ndarray]:
        """A plain dict of the arrays themselves, as `dict.copy` gives it."""
        return dict(self)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __repr__(self) -> str:
        lines = (f"{name!r}: {value.dtype} {value.shape}" for name, value in self.items())
        return f"{{{', '.join(lines)}}}"

    def _place(self, name: str) -> tuple[MutableMapping[str, np.ndarray], str]:
        if name not in self._places:
            raise KeyError(
                f"{self._kind}: there is no {_SINGULAR[self._kind]} {name!r}; expected one of {list(self._places)}"
                f"{validation.suggestion(name, self._places)}"
            )
        return self._places[name]


def all_fitting(
    function: str, kind: str, arrays: Mapping[str, np.ndarray], values: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Copies of `values` in the dtypes of `arrays`; ValueError where the names or a shape differ."""
    values = validation.keys(function, kind, values, required=arrays)
    return {name: fitting(function, name, arrays[name], values[name]) for name in arrays}


def fitting(function: str, name: str, current: np.ndarray, value: Any) -> np.ndarray:
    """A copy of `value` in the dtype of `current`; ValueError for another shape, TypeError for other than numbers."""
    value = validation.array(function, repr(name), value)
    if value.shape != current.shape:
        raise ValueError(
            f"{function}: {name!r} has shape {value.shape}; expected {current.shape}, the shape in this model; "
            f"pass the arrays of a model of the same sizes"
        )
    if not np.can_cast(value.dtype, current.dtype, "same_kind"):
        raise TypeError(f"{function}: {name!r} has dtype {value.dtype}; expected {current.dtype}; convert it yourself")
    return on_same_device(copy(value, current.dtype, "C"), current)

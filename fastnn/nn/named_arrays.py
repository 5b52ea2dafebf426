"""A dict of the arrays of several modules."""

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import numpy as np

from fastnn.kernels.dispatch import validation
from fastnn.kernels.dispatch.arrays import copy, on_same_device

_SINGULAR = {"params": "parameter", "buffers": "buffer"}


class NamedArrays(MutableMapping):
    """The parameters or buffers of several modules as one dict; each name refers to an entry of a module's own dict.

    Reading returns the module's array itself; assigning stores a copy in the module, in the dtype of the old array.
    Names cannot be added or removed. Raises KeyError for an unknown name, ValueError for another shape.
    """

    def __init__(self, kind: str, entries: dict[str, tuple[MutableMapping[str, np.ndarray], str]]) -> None:
        self._kind = kind
        self._entries = entries

    def __getitem__(self, name: str) -> np.ndarray:
        arrays, key = self._entries.get(name) or self._entry(name)
        return arrays[key]

    def __setitem__(self, name: str, value: Any) -> None:
        arrays, key = self._entry(name)
        arrays[key] = fitting(self._kind, name, arrays[key], value)

    def __delitem__(self, name: str) -> None:
        raise TypeError(
            f"{self._kind}: {name!r} cannot be removed; expected every {_SINGULAR[self._kind]} to stay; "
            f"assign to it instead"
        )

    @property
    def places(self) -> dict[str, tuple[MutableMapping[str, np.ndarray], str]]:
        """The dict that holds each array, and its key there; not to be changed."""
        return self._entries

    def copy(self) -> dict[str, np.ndarray]:
        """Return a shallow copy: a plain dict of the arrays themselves."""
        return dict(self)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        lines = (f"{name!r}: {value.dtype} {value.shape}" for name, value in self.items())
        return f"{{{', '.join(lines)}}}"

    def _entry(self, name: str) -> tuple[MutableMapping[str, np.ndarray], str]:
        if name not in self._entries:
            raise KeyError(
                f"{self._kind}: there is no {_SINGULAR[self._kind]} {name!r}; expected one of {list(self._entries)}"
                f"{validation.suggestion(name, self._entries)}"
            )
        return self._entries[name]


def all_fitting(
    function: str, kind: str, arrays: Mapping[str, np.ndarray], values: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Copy `values` in the dtypes of `arrays`. Raises ValueError if names or shapes differ."""
    values = validation.keys(function, kind, values, required=arrays)
    return {name: fitting(function, name, arrays[name], values[name]) for name in arrays}


def fitting(function: str, name: str, current: np.ndarray, value: Any) -> np.ndarray:
    """Copy `value` in the dtype of `current`. Raises ValueError for another shape, TypeError for an unsafe dtype."""
    value = validation.array(function, repr(name), value)
    if value.shape != current.shape:
        raise ValueError(
            f"{function}: {name!r} has shape {value.shape}; expected {current.shape}, the shape in this model; "
            f"pass the arrays of a model of the same sizes"
        )
    if not np.can_cast(value.dtype, current.dtype, "same_kind"):
        raise TypeError(
            f"{function}: {name!r} has dtype {value.dtype}; expected {current.dtype}; convert it with astype"
        )
    return on_same_device(copy(value, current.dtype, "C"), current)

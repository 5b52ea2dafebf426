"""The arrays of a network with torch's names and layouts."""

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, NamedTuple

import numpy as np

from fastnn.kernels import to_numpy
from fastnn.kernels.dispatch import validation

from .named_arrays import fitting


class Differences(NamedTuple):
    """The names that are missing from the given values, and the names that the module does not have."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Entry(NamedTuple):
    """An array of a module: the dict that holds it, its key, and whether torch has its transpose."""

    arrays: MutableMapping[str, np.ndarray]
    key: str
    transposed: bool

    @property
    def value(self) -> np.ndarray:
        """The array in torch's layout."""
        array = to_numpy(self.arrays[self.key])
        return array.T if self.transposed else array


def collect(module: Any) -> dict[str, np.ndarray]:
    """Implement `Module.state_dict`."""
    return {name: np.array(entry.value, order="C") for name, entry in _entries(module)}


def restore(module: Any, values: Mapping[str, Any], strict: bool) -> Differences:
    """Implement `Module.load_state_dict`."""
    function = f"{type(module).__name__}.load_state_dict"
    entries, strict = dict(_entries(module)), validation.flag(function, "strict", strict)
    if not isinstance(values, Mapping):
        raise TypeError(
            f"{function}: values={validation.brief(values)} is not a dict; expected arrays under {list(entries)}; pass "
            f"a state_dict()"
        )
    differences = Differences(
        [name for name in entries if name not in values], [name for name in values if name not in entries]
    )
    if strict and any(differences):
        missing, unexpected = differences
        raise KeyError(
            f"{function}: values lack {missing} and have unexpected {unexpected}; expected the names of "
            f"this model's state_dict(); pass that of a network with the same layers, or strict=False to load what fits"
        )
    checked = {
        name: fitting(function, name, entry.value, values[name]) for name, entry in entries.items() if name in values
    }
    for name, value in checked.items():
        arrays, key, transposed = entries[name]
        arrays[key] = np.ascontiguousarray(value.T) if transposed else value
    return differences


def _entries(module: Any, prefix: str = "") -> Iterator[tuple[str, Entry]]:
    for name, (arrays, key) in module._own("params").items():
        yield prefix + name, Entry(arrays, key, name in module.transposed)
    for name, (arrays, key) in module._own("buffers").items():
        if name not in module.non_persistent and getattr(vars(module).get(name), "persistent", True):
            yield prefix + name, Entry(arrays, key, False)
    for name, child in module.named_children().items():
        yield from _entries(child, f"{prefix}{name}.")

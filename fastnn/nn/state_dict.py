"""The arrays of a network as torch writes them: its names, its layouts."""

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, NamedTuple

import numpy as np

from fastnn.kernels import to_numpy
from fastnn.kernels.dispatch import validation

from .named_arrays import fitting


class Differences(NamedTuple):
    """The names that a module has and the given values lack, and the names that they have beyond it."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Place(NamedTuple):
    """Where an array is: in a module's own dict, under a key; and whether torch has its transpose."""

    arrays: MutableMapping[str, np.ndarray]
    key: str
    transposed: bool

    @property
    def value(self) -> np.ndarray:
        """The array in torch's layout."""
        array = to_numpy(self.arrays[self.key])
        return array.T if self.transposed else array


def collect(module: Any) -> dict[str, np.ndarray]:
    """See `Module.state_dict`."""
    return {name: np.array(place.value, order="C") for name, place in _places(module)}


def restore(module: Any, values: Mapping[str, Any], strict: bool) -> Differences:
    """See `Module.load_state_dict`."""
    function = f"{type(module).__name__}.load_state_dict"
    places, strict = dict(_places(module)), validation.flag(function, "strict", strict)
    if not isinstance(values, Mapping):
        raise TypeError(
            f"{function}: values={validation.brief(values)} is not a dict; expected arrays under {list(places)}; pass "
            f"a state_dict()"
        )
    differences = Differences(
        [name for name in places if name not in values], [name for name in values if name not in places]
    )
    if strict and any(differences):
        missing, unexpected = differences
        raise KeyError(
            f"{function}: values lack {missing} and have {unexpected} beyond; expected the names of "
            f"this model's state_dict(); pass that of a network with the same layers, or strict=False to take what fits"
        )
    checked = {
        name: fitting(function, name, place.value, values[name]) for name, place in places.items() if name in values
    }
    for name, value in checked.items():
        arrays, key, transposed = places[name]
        arrays[key] = np.ascontiguousarray(value.T) if transposed else value
    return differences


def _places(module: Any, prefix: str = "") -> Iterator[tuple[str, Place]]:
    children = module.named_children()
    for name, child in children.items():
        yield from _places(child, f"{prefix}{name}.")
    if not children:
        for key in module.params:
            yield prefix + key, Place(module.params, key, key in module.transposed)
        for key in module.buffers:
            if key not in module.non_persistent:
                yield prefix + key, Place(module.buffers, key, False)

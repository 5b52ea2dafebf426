"""Seeds of dropout masks: a different one for each mask, derived from a key and a counter."""

import importlib
from typing import Any

import numpy as np

from ..dispatch import arrays, validation

_LARGEST = 2**64 - 1


def of_mask(key: Any, draws: Any) -> Any:
    """Return the seed of mask number `draws` of a key.

        seed = numpy.random.SeedSequence((key, draws)).generate_state(1, numpy.uint64)[0]

    key, draws: integers from 0 to 2**64 - 1. If both are device arrays of one uint64, so is the seed, (1,), and the
    counter can stay on the GPU.
    """
    words = word("of_mask", "key", key), word("of_mask", "draws", draws)
    if all(map(arrays.is_on_device, words)):
        return importlib.import_module(".seeds_cuda", __package__).of_mask(*words)
    numbers = [arrays.to_numpy(one).item() for one in words]
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


def word(function: str, name: str, value: Any) -> Any:
    """Check an unsigned 64-bit integer; on cuda, a device array of one uint64 stays on the GPU."""
    if not arrays.is_on_device(value):
        return validation.integer(function, name, value, minimum=0, maximum=_LARGEST)
    if value.dtype != np.uint64 or value.size != 1:
        raise TypeError(
            f"{function}: {name} is a device array of {value.dtype} of shape {value.shape}; expected one element "
            f"of uint64, or an integer; convert it"
        )
    value = arrays.asarray(value)
    return value if arrays.is_on_device(value) else value.item()

"""Arrays in the memory of a GPU, for loops of your own: a Solver moves what it trains with by itself."""

import contextlib
from collections.abc import Iterator, MutableMapping
from typing import Any

import numpy as np

from fastnn.kernels.dispatch import arrays, signatures
from fastnn.kernels.dispatch.arrays import Transfers

from . import arguments

__all__ = ["to_device", "to_numpy", "transfers"]


@signatures.checked
def to_device(array: Any) -> Any:
    """The array where the active backend computes: on cuda in a GPU's memory, else as one of NumPy's.

    What is there already is returned as it is. Kernels return arrays of the GPU where they are given one.
    Raises TypeError for what is not an array of real numbers.
    """
    return arrays.to_device(arguments.real("to_device", "array", array))


@signatures.checked
def to_numpy(array: Any) -> np.ndarray:
    """The array in the host's memory, as one of NumPy's. Raises TypeError for what is not an array of real numbers."""
    return arrays.to_numpy(arguments.real("to_numpy", "array", array))


def transfers() -> Transfers:
    """The bytes that fastnn moved to a GPU and from it in this process: (to_device, to_host)."""
    return arrays.transfers()


def placed(data: Any) -> Any:
    """Data where the active backend computes; what would fill more than half of what is free there, or lies in a file,
    stays where it is, and its batches move.
    """
    fits = isinstance(data, np.ndarray) and data.nbytes <= arrays.free_memory() // 2
    return arrays.to_device(data) if fits else data


@contextlib.contextmanager
def params_on_device(params: MutableMapping[str, np.ndarray]) -> Iterator[None]:
    """Inside the block the arrays of a dict are where the active backend computes; then the old ones have their values.

    Those that cannot be written to are replaced.
    """
    given = dict(params)
    try:
        params.update({name: arrays.to_device(value) for name, value in given.items()})
        yield
    finally:
        for name, value in given.items():
            if arrays.is_on_device(params[name]):
                result = arrays.to_numpy(params[name])
                if value.flags.writeable:
                    value[...], result = result, value
                params[name] = result


def is_ours(value: Any) -> bool:
    """Whether a function, or the class of an object, is one of fastnn's own, which leave arithmetic to the kernels."""
    return getattr(value, "__module__", "").partition(".")[0] == "fastnn"

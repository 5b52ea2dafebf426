"""Transfer of arrays between the host and a GPU, for custom training loops.

A Solver moves its model and data by itself.
"""

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
    """Return an array on the device of the active backend: in GPU memory for cuda, else a NumPy array.

    array: real numbers of any shape
    An array that is already there is returned unchanged. Given a device array, kernels return device arrays.
    Raises TypeError if `array` is not an array of real numbers.
    """
    return arrays.to_device(arguments.real("to_device", "array", array))


@signatures.checked
def to_numpy(array: Any) -> np.ndarray:
    """Return an array in host memory, as a NumPy array.

    array: real numbers of any shape
    Raises TypeError if it is not an array of real numbers.
    """
    return arrays.to_numpy(arguments.real("to_numpy", "array", array))


def transfers() -> Transfers:
    """Return the bytes transferred to and from the GPU in this process: (to_device, to_host)."""
    return arrays.transfers()


def place(data: Any) -> Any:
    """Move data to the device of the active backend, if they are in memory and fit into half of its free memory.

    Other data are returned unchanged; their batches are transferred one by one.
    """
    fits = isinstance(data, np.ndarray) and data.nbytes <= arrays.free_memory() // 2
    return arrays.to_device(data) if fits else data


@contextlib.contextmanager
def params_on_device(params: MutableMapping[str, np.ndarray]) -> Iterator[None]:
    """Move the arrays of a dict to the device of the active backend; copy the values back into the originals on exit.

    Originals that are read-only are replaced instead.
    """
    originals = dict(params)
    try:
        params.update({name: arrays.to_device(value) for name, value in originals.items()})
        yield
    finally:
        for name, value in originals.items():
            if arrays.is_on_device(params[name]):
                result = arrays.to_numpy(params[name])
                if value.flags.writeable:
                    value[...], result = result, value
                params[name] = result


def is_ours(value: Any) -> bool:
    """Whether a function, or the class of an object, is fastnn's own, which leaves all arithmetic to the kernels."""
    return getattr(value, "__module__", "").partition(".")[0] == "fastnn"

"""New Tensors, in the memory of the active backend."""

from typing import Any

import numpy as np

from fastnn import rng
from fastnn.kernels.dispatch import arrays, signatures, validation

from .operands import lengths
from .tensor import Tensor


@signatures.checked
def tensor(data: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Copy an array, numbers or lists of numbers into a Tensor.

    dtype: by default that of an array, float32 for Python's floats, int64 for its integers
    """
    array = validation.array("tensor", "data", data.data if isinstance(data, Tensor) else data)
    if dtype is None and not hasattr(data, "dtype") and array.dtype == np.float64:
        dtype = np.float32
    return Tensor(arrays.copy(array, dtype), requires_grad)


def zeros(*shape: Any, dtype: Any = np.float32, requires_grad: bool = False) -> Tensor:
    """Zeros of a shape, given as lengths or as a tuple."""
    return Tensor(np.zeros(lengths(shape), dtype), requires_grad)


def ones(*shape: Any, dtype: Any = np.float32, requires_grad: bool = False) -> Tensor:
    """Ones of a shape, given as lengths or as a tuple."""
    return Tensor(np.ones(lengths(shape), dtype), requires_grad)


def randn(*shape: Any, dtype: Any = np.float32, requires_grad: bool = False, generator: Any = None) -> Tensor:
    """Numbers from the standard normal distribution; generator: a seed, see `fastnn.rng`."""
    return Tensor(rng.generator(generator).standard_normal(lengths(shape)).astype(dtype), requires_grad)


def rand(*shape: Any, dtype: Any = np.float32, requires_grad: bool = False, generator: Any = None) -> Tensor:
    """Numbers drawn evenly from 0 to 1; generator: a seed, see `fastnn.rng`."""
    return Tensor(rng.generator(generator).random(lengths(shape)).astype(dtype), requires_grad)

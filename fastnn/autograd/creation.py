"""New Tensors, in the memory of the active backend: the switch decides, and `device` is only there for torch's form."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn import arguments, rng
from fastnn.kernels.dispatch import arrays, signatures, validation

from .operands import lengths
from .tensor import Tensor


@signatures.checked
def tensor(data: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Copy an array, numbers or lists of numbers into a Tensor.

    dtype: by default that of an array, float32 for Python's floats, int64 for its integers
    """
    array = validation.array("tensor", "data", data.data if isinstance(data, Tensor) else data)
    if dtype is None and not hasattr(data, "dtype") and array.dtype == np.float64:
        dtype = np.float32
    return Tensor(arrays.copy(array, dtype), requires_grad)


@signatures.checked
def zeros(*shape: Any, dtype: Any = np.float32, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros of a shape, given as lengths or as a tuple."""
    return Tensor(np.zeros(_shape("zeros", shape), dtype), requires_grad)


@signatures.checked
def ones(*shape: Any, dtype: Any = np.float32, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones of a shape, given as lengths or as a tuple."""
    return Tensor(np.ones(_shape("ones", shape), dtype), requires_grad)


@signatures.checked
def randn(
    *shape: Any, dtype: Any = np.float32, device: Any = None, requires_grad: bool = False, generator: Any = None
) -> Tensor:
    """Numbers from the standard normal distribution; generator: a seed, see `fastnn.rng`."""
    return _drawn("randn", lambda source, size: source.standard_normal(size), shape, dtype, requires_grad, generator)


@signatures.checked
def rand(
    *shape: Any, dtype: Any = np.float32, device: Any = None, requires_grad: bool = False, generator: Any = None
) -> Tensor:
    """Numbers drawn evenly from 0 to 1; generator: a seed, see `fastnn.rng`."""
    return _drawn("rand", lambda source, size: source.random(size), shape, dtype, requires_grad, generator)


@signatures.checked
def arange(start: int, stop: int | None = None, step: int = 1, *, dtype: Any = np.int64, device: Any = None) -> Tensor:
    """Numbers from start (0 if only one is given) up to, not including, stop."""
    ends = (0, start) if stop is None else (start, stop)
    low, high = (validation.integer("arange", name, value) for name, value in zip(("start", "stop"), ends, strict=True))
    step = validation.integer("arange", "step", step, minimum=1)
    return Tensor(np.arange(low, high, step).astype(dtype))


def _drawn(name: str, draw: Callable, shape: tuple, dtype: Any, requires_grad: bool, generator: Any) -> Tensor:
    dtype = arguments.dtype(name, dtype, np.float32, np.float64)
    return Tensor(np.asarray(draw(rng.generator(generator), _shape(name, shape))).astype(dtype), requires_grad)


def _shape(name: str, given: tuple) -> tuple[int, ...]:
    """Check the lengths of the axes, also those of none."""
    return tuple(validation.integer(name, "shape", length, minimum=0) for length in lengths(given))

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
    """Return a Tensor with a copy of an array, numbers or lists of numbers.

    data: an array, a number, or lists of numbers, also nested
    dtype: by default that of an array, float32 for Python's floats, int64 for its integers
    device: ignored, since the switch of backends decides
    requires_grad: record operations on it
    """
    array = validation.array("tensor", "data", data.data if isinstance(data, Tensor) else data)
    if dtype is None and not hasattr(data, "dtype") and array.dtype == np.float64:
        dtype = np.float32
    return Tensor(arrays.copy(array, dtype), requires_grad)


@signatures.checked
def zeros(*shape: Any, dtype: Any = np.float32, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Return zeros of a shape.

    shape: lengths, or a tuple of them
    dtype: of the elements
    device: ignored, since the switch of backends decides
    requires_grad: record operations on it
    """
    return Tensor(np.zeros(_shape("zeros", shape), dtype), requires_grad)


@signatures.checked
def ones(*shape: Any, dtype: Any = np.float32, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Return ones of a shape; arguments as of `zeros`."""
    return Tensor(np.ones(_shape("ones", shape), dtype), requires_grad)


@signatures.checked
def randn(
    *shape: Any, dtype: Any = np.float32, device: Any = None, requires_grad: bool = False, generator: Any = None
) -> Tensor:
    """Return numbers from the standard normal distribution; arguments as of `zeros`.

    dtype: float32 or float64
    generator: a seed, see `fastnn.rng`
    """
    return _drawn("randn", lambda source, size: source.standard_normal(size), shape, dtype, requires_grad, generator)


@signatures.checked
def rand(
    *shape: Any, dtype: Any = np.float32, device: Any = None, requires_grad: bool = False, generator: Any = None
) -> Tensor:
    """Return numbers drawn evenly from 0 to 1; arguments as of `zeros`.

    dtype: float32 or float64
    generator: a seed, see `fastnn.rng`
    """
    return _drawn("rand", lambda source, size: source.random(size), shape, dtype, requires_grad, generator)


@signatures.checked
def arange(start: int, stop: int | None = None, step: int = 1, *, dtype: Any = np.int64, device: Any = None) -> Tensor:
    """Return numbers from start up to, not including, stop.

    start, stop: integers; if only one is given, it is stop, and start is 0
    step: at least 1
    dtype: of the elements
    device: ignored, since the switch of backends decides
    """
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

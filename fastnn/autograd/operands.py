"""Checks of the operands of an operation, and its errors."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn import arguments
from fastnn.kernels.dispatch import arrays, validation


def operand(name: str, value: Any, others: Sequence[Any]) -> Any:
    """Check a constant operand: an array, or a number, which has no dtype of its own beside a Tensor."""
    if isinstance(value, np.ndarray) or arrays.is_on_device(value):
        return value
    if not isinstance(value, (bool, int, float, np.bool_, np.integer, np.floating)):
        raise TypeError(
            f"{name}: an operand is {validation.brief(value)}; expected a Tensor, an array or a number; convert it "
            f"with autograd.tensor"
        )
    number = value.item() if isinstance(value, np.generic) else value
    like = next((x.data for x in others if hasattr(x, "grad_fn")), None)
    if isinstance(like, np.ndarray) and like.ndim == 0 and like.dtype.kind == "f":
        return np.asarray(number, like.dtype)  # an old NumPy computes in float64 where both have no axes
    return number


def one_device(name: str, values: Sequence[Any]) -> None:
    """Raise TypeError if there are arrays in the memory of a GPU and of the host."""
    places = {arrays.is_on_device(value) for value in values if hasattr(value, "shape")}
    if len(places) > 1:
        raise TypeError(
            f"{name}: operands are in GPU memory and in host memory; expected one of them; move them with "
            f"fastnn.to_device, or make Tensors under the backend that computes"
        )


def misfit(name: str, values: Sequence[Any], arguments: Sequence[Any], options: dict, error: Exception) -> str:
    shapes = ", ".join(str(value.shape) for value in values if hasattr(value, "shape"))
    more = [validation.brief(value) for value in arguments]
    more += [f"{key}={validation.brief(value)}" for key, value in options.items()]
    what = " ".join(str(error).split()).replace(";", ",")
    return (
        f"{name}: shape {shapes}{' and ' if more else ''}{', '.join(more)} do not fit ({what}); expected shapes that "
        f"broadcast, and axes and indices that exist; print x.shape of the operands"
    )


def first_gradient(data: Any, gradient: Any) -> Any:
    """The gradient with which `backward` begins, in the shape of the data; 1 for a single element."""
    if gradient is None:
        if data.size != 1:
            raise ValueError(
                f"backward: gradient=None does not fit a Tensor of shape {data.shape}; expected a single element, such "
                f"as a loss; reduce it with sum() or mean(), or pass the gradient of a loss with respect to it"
            )
        return arrays.module(data).ones(data.shape, data.dtype)
    gradient = arrays.to_device(arguments.real("backward", "gradient", gradient))
    validation.shape("backward", "gradient", gradient, data.shape)
    return gradient.astype(data.dtype, copy=False)


def key(value: Any, like: Any) -> Any:
    """An index for the array `like`: arrays in place of Tensors and lists, copied, since the tape keeps them."""
    if isinstance(value, tuple):
        return tuple(key(one, like) for one in value)
    if isinstance(value, list):
        value = np.asarray(value) if value else np.asarray(value, np.int64)
    value = value.data if hasattr(value, "grad_fn") else value
    return arrays.on_same_device(arrays.copy(value), like) if hasattr(value, "shape") else value


def lengths(given: tuple) -> tuple[int, ...]:
    """The lengths of f(2, 3), f((2, 3)) and f([2, 3])."""
    return tuple(given[0]) if len(given) == 1 and isinstance(given[0], (tuple, list)) else given


def cuts(length: int, size: Any) -> list[slice]:
    """The slices of an axis that is cut into parts of one size, or of several sizes."""
    sizes = (
        list(size)
        if isinstance(size, (tuple, list))
        else [size] * -(-length // validation.integer("split", "split_size", size, minimum=1))
    )
    if isinstance(size, (tuple, list)) and sum(sizes) != length:
        raise ValueError(
            f"split: split_size={validation.brief(size)} adds up to {sum(sizes)}; expected {length}, the length "
            f"of the axis; pass lengths of all parts"
        )
    ends = list(itertools.accumulate(sizes))
    return [slice(end - one, min(end, length)) for one, end in zip(sizes, ends, strict=True)]

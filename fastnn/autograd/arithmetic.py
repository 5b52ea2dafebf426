"""Arithmetic on arrays, each function with its derivative: `return result, gradients`.

`gradients` holds a function of dout for each input, or is one function `f(dout, needed)` for all. What broadcasting
adds to a gradient is undone by the tape, and so is a change of dtype.
"""

import operator
from collections.abc import Callable
from typing import Any

from fastnn.kernels import activations, affine
from fastnn.kernels.dispatch import arrays

Result = tuple[Any, Any]


def add(x: Any, y: Any) -> Result:
    """x + y."""
    return x + y, (lambda dout: dout, lambda dout: dout)


def subtract(x: Any, y: Any) -> Result:
    """x - y."""
    return x - y, (lambda dout: dout, lambda dout: -dout)


def multiply(x: Any, y: Any) -> Result:
    """x * y."""
    return x * y, (lambda dout: dout * y, lambda dout: dout * x)


def divide(x: Any, y: Any) -> Result:
    """x / y."""
    return x / y, (lambda dout: dout / y, lambda dout: -dout * x / (y * y))


def power(x: Any, y: Any) -> Result:
    """x ** y; the gradient of y is 0 where x is 0."""
    out = x**y

    def dx(dout: Any) -> Any:
        slope = y * x ** (y - 1)
        return dout * (arrays.module(out).where(y == 0, 0, slope) if hasattr(y, "shape") else slope if y else x * 0)

    def dy(dout: Any) -> Any:
        xp = arrays.module(out)
        return dout * xp.where(out == 0, 0, out * xp.log(xp.where(out == 0, 1, x)))

    return out, (dx, dy)


def negative(x: Any) -> Result:
    """-x."""
    return -x, (lambda dout: -dout,)


def matmul(x: Any, y: Any) -> Result:
    """x @ y of 2-d arrays or stacks of them, (..., N, K) @ (..., K, M).

    If y is 2-d, all rows of x are multiplied at once by the kernel of `kernels.affine`.
    """
    if y.ndim > 2 or x.ndim < 2 or not x.dtype.kind == y.dtype.kind == "f":
        return x @ y, (lambda dout: dout @ y.swapaxes(-1, -2), lambda dout: x.swapaxes(-1, -2) @ dout)
    rows = x.reshape(-1, x.shape[-1]) if x.ndim > 2 else x
    bias = arrays.zeros(y.shape[-1], like=y)

    def gradients(dout: Any, needed: list[bool]) -> Any:
        dx, dy, _ = affine.affine_backward(dout.reshape(-1, y.shape[-1]), rows, y, need_dx=needed[0])
        return dx if dx is None else dx.reshape(x.shape), dy

    return affine.affine_forward(rows, y, bias).reshape(*x.shape[:-1], y.shape[-1]), gradients


def exp(x: Any) -> Result:
    """The exponential of x (...)."""
    out = arrays.module(x).exp(x)
    return out, (lambda dout: dout * out,)


def log(x: Any) -> Result:
    """The natural logarithm of x (...)."""
    return arrays.module(x).log(x), (lambda dout: dout / x,)


def sqrt(x: Any) -> Result:
    """The square root of x (...)."""
    out = arrays.module(x).sqrt(x)
    return out, (lambda dout: dout / (2 * out),)


def abs(x: Any) -> Result:
    """The absolute value of x (...); the gradient at 0 is 0."""
    xp = arrays.module(x)
    return xp.abs(x), (lambda dout: dout * xp.sign(x),)


def tanh(x: Any) -> Result:
    """The hyperbolic tangent of x (...), by the kernel."""
    out = activations.tanh_forward(x)
    return out, (lambda dout: activations.tanh_backward(dout, out),)


def sigmoid(x: Any) -> Result:
    """The logistic function 1 / (1 + exp(-x)) of x (...), by the kernel."""
    out = activations.sigmoid_forward(x)
    return out, (lambda dout: activations.sigmoid_backward(dout, out),)


def relu(x: Any) -> Result:
    """max(x, 0), by the kernel."""
    return activations.relu_forward(x), (lambda dout: activations.relu_backward(dout, x),)


def clamp(x: Any, min: Any = None, max: Any = None) -> Result:
    """The elements of x (...), limited; the gradient is that of x from min to max, and 0 outside.

    min, max: numbers or None
    """
    xp = arrays.module(x)
    low, high = (bound if bound is None or x.dtype.kind != "f" else x.dtype.type(bound) for bound in (min, max))
    out = x if low is None else xp.maximum(x, low)
    out = out if high is None else xp.minimum(out, high)
    return out, (lambda dout: xp.where(out == x, dout, 0),)


def maximum(x: Any, y: Any) -> Result:
    """The larger of two elements of x (...) and y (...); equal ones share the gradient."""
    xp = arrays.module(x, y)
    return xp.maximum(x, y), (lambda dout: _larger(dout, x, y), lambda dout: _larger(dout, y, x))


def minimum(x: Any, y: Any) -> Result:
    """The smaller of two elements of x (...) and y (...); equal ones share the gradient."""
    xp = arrays.module(x, y)
    return xp.minimum(x, y), (lambda dout: _larger(dout, y, x), lambda dout: _larger(dout, x, y))


def _larger(dout: Any, x: Any, y: Any) -> Any:
    """dout where x > y, half of it where they are equal."""
    where = arrays.module(dout).where
    return where(x == y, dout / 2, where(x > y, dout, 0))


def where(condition: Any, x: Any, y: Any) -> Result:
    """The elements of x (...) where the condition holds, else those of y (...).

    condition: a boolean array
    """
    where = arrays.module(condition, x, y).where
    gradients = (None, lambda dout: where(condition, dout, 0), lambda dout: where(condition, 0, dout))
    return where(condition, x, y), gradients


def astype(x: Any, dtype: Any) -> Result:
    """x in another dtype."""
    return x.astype(dtype, copy=False), (lambda dout: dout,)


def _comparison(name: str) -> Callable:
    """A comparison, whose result is boolean and has no derivative."""

    def compare(x: Any, y: Any) -> Result:
        return getattr(operator, name)(x, y), ()

    compare.__name__ = name
    return compare


COMPARISONS = [_comparison(name) for name in ("lt", "le", "gt", "ge", "eq", "ne")]

"""Sums, means and extremes over axes, and the softmax, each with its derivative; see `arithmetic` for the form.

`dim` is an axis, a tuple of axes, or None for all of them; with `keepdim` reduced axes stay, with length 1.
"""

import math
from typing import Any, NamedTuple

from fastnn.kernels.dispatch import arrays

from .arithmetic import Result

Axes = int | tuple[int, ...] | None


class Extreme(NamedTuple):
    """The largest or smallest elements along an axis, and their positions."""

    values: Any
    indices: Any


def sum(x: Any, dim: Axes = None, keepdim: bool = False) -> Result:
    """The sum of x (...) over axes.

    dim: an axis or several; None: all
    keepdim: keep them with length 1
    """
    return x.sum(axis=dim, keepdims=keepdim), (lambda dout: _stretch(dout, x, dim, keepdim),)


def mean(x: Any, dim: Axes = None, keepdim: bool = False) -> Result:
    """The mean of x (...) over axes; arguments as of `sum`."""
    return x.mean(axis=dim, keepdims=keepdim), (lambda dout: _stretch(dout / _count(x, dim), x, dim, keepdim),)


def var(x: Any, dim: Axes = None, correction: int = 1, keepdim: bool = False, unbiased: bool | None = None) -> Result:
    """The variance of x (...) over axes: the sum of squared differences from the mean, divided by count - correction.

    correction: 1 for the unbiased variance; dim and keepdim as of `sum`
    unbiased: torch's older word for it, True for correction=1 and False for correction=0
    """
    difference = x - x.mean(axis=dim, keepdims=True)
    count = _count(x, dim) - (correction if unbiased is None else int(unbiased))
    out = ((difference * difference).sum(axis=dim, keepdims=keepdim) / count).astype(difference.dtype, copy=False)
    return out, (lambda dout: _stretch(dout * 2 / count, x, dim, keepdim) * difference,)


def amax(x: Any, dim: Axes = None, keepdim: bool = False) -> Result:
    """The largest element over axes; equal ones share the gradient."""
    return _extreme(x, x.max(axis=dim, keepdims=True), dim, keepdim)


def amin(x: Any, dim: Axes = None, keepdim: bool = False) -> Result:
    """The smallest element over axes; equal ones share the gradient."""
    return _extreme(x, x.min(axis=dim, keepdims=True), dim, keepdim)


def _extreme(x: Any, found: Any, dim: Axes, keepdim: bool) -> Result:
    def gradient(dout: Any) -> Any:
        chosen = (x == found).astype(x.dtype)
        return _stretch(dout, x, dim, keepdim) * chosen / chosen.sum(axis=dim, keepdims=True)

    return found if keepdim else found.reshape(_shape(x, dim)), (gradient,)


def argmax(x: Any, dim: int | None = None, keepdim: bool = False) -> Result:
    """The position of the largest element, along an axis or among all elements."""
    return arrays.module(x).argmax(x, axis=dim, keepdims=keepdim), ()


def argmin(x: Any, dim: int | None = None, keepdim: bool = False) -> Result:
    """The position of the smallest element, along an axis or among all elements."""
    return arrays.module(x).argmin(x, axis=dim, keepdims=keepdim), ()


def at_index(x: Any, index: Any, dim: int) -> Result:
    """The elements along an axis at an index, which keeps that axis with length 1, as of the largest."""
    positions = arrays.module(x).arange(x.shape[dim]).reshape(-1, *[1] * (-dim - 1 if dim < 0 else x.ndim - dim - 1))
    where = arrays.module(x).where
    chosen = positions == index
    return where(chosen, x, 0).sum(axis=dim), (lambda dout: where(chosen, arrays.module(x).expand_dims(dout, dim), 0),)


def logsumexp(x: Any, dim: Axes, keepdim: bool = False) -> Result:
    """The logarithm of sum(exp(x)) over axes, for x (...), relative to the largest element, so that nothing overflows.

    Arguments as of `sum`.
    Source: Blanchard, Higham & Higham, Accurately computing the log-sum-exp and softmax functions (2021).
    """
    largest, powers, total = _powers(x, dim)
    out = arrays.module(x).log(total) + largest
    out = out if keepdim else out.reshape(_shape(x, dim))
    return out, (lambda dout: _stretch(dout, x, dim, keepdim) * (powers / total),)


def softmax(x: Any, dim: Axes) -> Result:
    """The softmax exp(x) / sum(exp(x)) of x (...) along an axis.

    dim: the axis
    """
    _, powers, total = _powers(x, dim)
    out = powers / total
    return out, (lambda dout: out * (dout - (dout * out).sum(axis=dim, keepdims=True)),)


def log_softmax(x: Any, dim: Axes) -> Result:
    """The logarithm of the softmax of x (...), x - logsumexp(x).

    dim: the axis
    """
    largest, powers, total = _powers(x, dim)
    out = (x - largest) - arrays.module(x).log(total)
    return out, (lambda dout: dout - powers / total * dout.sum(axis=dim, keepdims=True),)


def _powers(x: Any, dim: Axes) -> tuple[Any, Any, Any]:
    """The largest elements, exp(x - largest), and the sum of these."""
    xp, largest = arrays.module(x), x.max(axis=dim, keepdims=True)
    largest = xp.where(xp.isfinite(largest), largest, 0)
    powers = xp.exp(x - largest)
    return largest, powers, powers.sum(axis=dim, keepdims=True)


def _axes(x: Any, dim: Axes) -> tuple[int, ...]:
    """The axes as numbers from 0."""
    given = range(x.ndim) if dim is None else dim if isinstance(dim, tuple) else (dim,)
    return tuple(axis % x.ndim for axis in given)


def _count(x: Any, dim: Axes) -> int:
    """How many elements are reduced to one."""
    return math.prod(x.shape[axis] for axis in _axes(x, dim))


def _shape(x: Any, dim: Axes, kept: bool = False) -> tuple[int, ...]:
    """The shape of x after a reduction; kept: with reduced axes of length 1."""
    reduced = _axes(x, dim)
    lengths = [1 if axis in reduced else length for axis, length in enumerate(x.shape)]
    return tuple(length for axis, length in enumerate(lengths) if kept or axis not in reduced)


def _stretch(dout: Any, x: Any, dim: Axes, keepdim: bool) -> Any:
    """Repeat the gradient of a reduction over the axes that it reduced: in the shape of x."""
    dout = dout if keepdim else dout.reshape(_shape(x, dim, kept=True))
    return arrays.module(x).broadcast_to(dout, x.shape)

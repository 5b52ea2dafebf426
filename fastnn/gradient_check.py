"""Numeric gradients by central differences, (f(x + h) - f(x - h)) / 2h, for checking analytic gradients.

Every function changes one element of x at a time in place, since f may read that array directly (a model's parameter),
and restores it, also if f raises. x is a float array of any layout; use float64, for which h = 1e-5 gives about nine
correct digits. `diagnose` chooses h itself, and explains why two gradients differ.
"""

import random
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn import arguments
from fastnn.kernels.dispatch import arrays, signatures, validation

from .testing.gradient_doctor import Diagnosis, diagnose

__all__ = [
    "Diagnosis",
    "compute_numeric_gradient",
    "diagnose",
    "eval_numerical_gradient",
    "eval_numerical_gradient_array",
    "eval_numerical_gradient_blobs",
    "eval_numerical_gradient_net",
    "grad_check_sparse",
    "rel_error",
]


@signatures.checked
def eval_numerical_gradient(f: Callable, x: np.ndarray, verbose: bool = True, h: float = 1e-5) -> np.ndarray:
    """Compute the gradient of a scalar function f at x.

    f: function of x that returns a number
    x (...): array of floats, restored after each call of f
    verbose: print each index and its derivative
    h: step of the difference quotient
    Returns an array in the shape of x. Calls f twice per element. Raises TypeError if x is not an array of floats.
    """
    function = "eval_numerical_gradient"
    x, h = _checked(function, f, x, h)
    verbose, gradient = validation.flag(function, "verbose", verbose), _zeros(x)
    for index in np.ndindex(x.shape):
        gradient[index] = _slope(_difference(f, x, index, h), 1, h)
        if verbose:
            print(index, gradient[index])
    return gradient


@signatures.checked
def eval_numerical_gradient_array(f: Callable, x: np.ndarray, df: Any, h: float = 1e-5) -> np.ndarray:
    """Compute the gradient of sum(f(x) * df) at x.

    f: function of x that returns an array
    x (...): array of floats, restored after each call of f
    df: gradient of a loss with respect to f(x), in its shape
    h: step of the difference quotient
    Returns an array in the shape of x.
    """
    return _of_array("eval_numerical_gradient_array", "df", f, x, df, h)


@signatures.checked
def eval_numerical_gradient_blobs(f: Callable, inputs: tuple, output: Any, h: float = 1e-5) -> list[np.ndarray]:
    """Compute the gradients of sum(output.vals * output.diffs) with respect to each input's `vals`.

    A blob is an object with the arrays `vals` (values) and `diffs` (gradient).

    f: function, of which `f(*inputs, output)` computes output.vals from the inputs
    inputs: blobs
    output: a blob
    h: step of the difference quotient
    Returns an array in the shape of `vals` for each input.
    """

    function = "eval_numerical_gradient_blobs"
    arguments.function(function, "f", f)
    blobs = _blobs(function, inputs, output)

    def values(_: np.ndarray) -> np.ndarray:
        f(*inputs, output)
        return output.vals

    return [_of_array(function, "diffs", values, blob.vals, output.diffs, h, "vals") for blob in blobs]


@signatures.checked
def eval_numerical_gradient_net(net: Any, inputs: tuple, output: Any, h: float = 1e-5) -> list[np.ndarray]:
    """Call `eval_numerical_gradient_blobs` for a net.

    net: an object whose `forward()` computes output.vals from the inputs that it holds
    inputs: blobs
    output: a blob
    h: step of the difference quotient
    Returns an array in the shape of `vals` for each input.
    """
    function = "eval_numerical_gradient_net"
    arguments.attributes(function, "net", net, "forward", expected="a net with forward()")
    blobs = tuple(_blobs(function, inputs, output))
    h = validation.number(function, "h", h, above=0)
    return eval_numerical_gradient_blobs(lambda *_: net.forward(), blobs, output, h)


@signatures.checked
def grad_check_sparse(
    f: Callable, x: np.ndarray, analytic_grad: np.ndarray, num_checks: int = 10, h: float = 1e-5
) -> None:
    """Print numeric and analytic derivatives of f at random elements of x.

    f: function of x that returns a number
    x (...): array of floats, restored after each call of f
    analytic_grad (...): gradient in the shape of x
    num_checks: number of elements
    h: step of the difference quotient

    As in the courses, the elements are drawn from Python's `random`, so that NumPy's global state does not change.
    """
    function = "grad_check_sparse"
    x, h = _checked(function, f, x, h)
    (analytic_grad,) = validation.floats(function, analytic_grad=(analytic_grad, "..."))
    validation.shape(function, "analytic_grad", analytic_grad, x.shape)
    for _ in range(validation.integer(function, "num_checks", num_checks, minimum=1)):
        index = tuple(random.randrange(length) for length in x.shape)
        numerical = float(_difference(f, x, index, h)) / (2 * h)
        analytic = float(arrays.to_numpy(analytic_grad[index]))
        error = abs(numerical - analytic) / ((abs(numerical) + abs(analytic)) or 1.0)
        print(f"numerical: {numerical:f} analytic: {analytic:f}, relative error: {error:e}")


@signatures.checked
def compute_numeric_gradient(f: Callable, x: np.ndarray, dLdf: Any = None, h: float = 1e-7) -> np.ndarray:
    """Compute the gradient of sum(f(x) * dLdf) at x.

    f: function of x that returns an array or a number
    x (...): array of floats, restored after each call of f
    dLdf: gradient of a loss with respect to f(x), in its shape; None: 1
    h: step of the difference quotient
    Returns an array in the shape of x.
    """
    return _of_array("compute_numeric_gradient", "dLdf", f, x, 1 if dLdf is None else dLdf, h)


@signatures.quiet
@signatures.checked
def rel_error(x: Any, y: Any) -> float:
    """Return the largest relative error, max |x - y| / max(1e-8, |x| + |y|); 0 for empty arrays.

    x, y: numbers or arrays of one shape
    """
    x, y = (arrays.to_numpy(arguments.real("rel_error", name, value)) for name, value in (("x", x), ("y", y)))
    _check_together("rel_error", "y", y, x.shape)
    return float(np.max(np.abs(x - y) / np.maximum(1e-8, np.abs(x) + np.abs(y)), initial=0.0))


def _checked(function: str, f: Any, x: Any, h: Any, name: str = "x") -> tuple[np.ndarray, float]:
    arguments.function(function, "f", f)
    return arguments.movable(function, name, x), validation.number(function, "h", h, above=0)


@signatures.checked
def _of_array(function: str, weights: str, f: Callable, x: Any, df: Any, h: Any, name: str = "x") -> np.ndarray:
    """Compute the gradient of sum(f(x) * df); errors call df `weights` and x `name`."""
    x, h = _checked(function, f, x, h, name)
    df, gradient = arrays.to_numpy(arguments.real(function, weights, df)), _zeros(x)
    for index in np.ndindex(x.shape):
        difference = _difference(f, x, index, h)
        _check_together(function, weights, df, difference.shape)
        gradient[index] = _slope(difference, df, h)
    return gradient


@signatures.quiet
def _slope(difference: np.ndarray, df: Any, h: float) -> np.ndarray:
    return np.sum(difference * df) / (2 * h)


def _zeros(x: Any) -> np.ndarray:
    """A gradient in the shape of x, in host memory."""
    return np.zeros(x.shape, x.dtype) if arrays.is_on_device(x) else np.zeros_like(x)


def _check_together(function: str, name: str, value: np.ndarray, shape: tuple[int, ...]) -> None:
    """Check that the array can be broadcast with that shape."""
    try:
        np.broadcast_shapes(value.shape, shape)
    except ValueError:
        raise ValueError(
            f"{function}: {name}.shape = {value.shape} does not fit the shape {shape}; expected equal shapes; pass "
            f"arrays that belong together"
        ) from None


def _blobs(function: str, inputs: Any, output: Any) -> list:
    """Check the input blobs and the output blob; return the inputs as a list."""
    blob = {"expected": "a blob with the arrays vals and diffs"}
    arguments.attributes(function, "output", output, "vals", "diffs", **blob)
    return [
        arguments.attributes(function, "inputs", one, "vals", "diffs", **blob)
        for one in arguments.listed(function, "inputs", inputs, "blobs")
    ]


def _difference(f: Callable, x: np.ndarray, index: tuple[int, ...], h: float) -> np.ndarray:
    """f with h added to one element of x, minus f with h subtracted; x is restored afterwards."""
    before = arrays.to_numpy(x[index])[()]
    try:
        _move(x, index, before, h)
        above = arrays.to_numpy(f(x)).copy()  # f may return the same array again
        _move(x, index, before, -h)
        below = arrays.to_numpy(f(x))
        with np.errstate(all="ignore"):
            return above - below
    finally:
        x[index] = before


@signatures.quiet
def _move(x: np.ndarray, index: tuple[int, ...], before: Any, h: float) -> None:
    x[index] = before + h

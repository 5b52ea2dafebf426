"""Numeric gradients by central differences, (f(x + h) - f(x - h)) / 2h, to compare analytic ones with.

Every function changes one element of x at a time, in place, since f often reads the very array (a model's parameter),
and puts it back, also where f raises. x is a float array of any layout; use float64, where h = 1e-5 gives about
nine correct digits. `diagnose` chooses h itself, and tells why two gradients differ.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn import arguments
from fastnn.gradient_doctor import Diagnosis, diagnose

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


def eval_numerical_gradient(f: Callable, x: np.ndarray, verbose: bool = True, h: float = 1e-5) -> np.ndarray:
    """The gradient of the number f(x), in the shape of x.

    verbose: print each index and its derivative. Cost: two calls of f per element.
    Raises TypeError where x is not an array of floats.
    """
    gradient = np.zeros_like(arguments.movable("eval_numerical_gradient", "x", x))
    for index in np.ndindex(x.shape):
        gradient[index] = _difference(f, x, index, h) / (2 * h)
        if verbose:
            print(index, gradient[index])
    return gradient


def eval_numerical_gradient_array(f: Callable, x: np.ndarray, df: Any, h: float = 1e-5) -> np.ndarray:
    """The gradient of sum(f(x) * df), where f returns an array and df is the gradient of a loss with respect to it."""
    gradient = np.zeros_like(arguments.movable("eval_numerical_gradient_array", "x", x))
    for index in np.ndindex(x.shape):
        gradient[index] = np.sum(_difference(f, x, index, h) * df) / (2 * h)
    return gradient


def eval_numerical_gradient_blobs(f: Callable, inputs: tuple, output: Any, h: float = 1e-5) -> list[np.ndarray]:
    """The gradients of sum(output.vals * output.diffs) with respect to each input's `vals`.

    A blob is an object with the arrays `vals` (values) and `diffs` (gradient); `f(*inputs, output)` computes
    output.vals from the inputs.
    """

    def values(_: np.ndarray) -> np.ndarray:
        f(*inputs, output)
        return output.vals

    return [eval_numerical_gradient_array(values, blob.vals, output.diffs, h) for blob in inputs]


def eval_numerical_gradient_net(net: Any, inputs: tuple, output: Any, h: float = 1e-5) -> list[np.ndarray]:
    """`eval_numerical_gradient_blobs` for a net whose `forward()` computes output.vals from the inputs it holds."""
    return eval_numerical_gradient_blobs(lambda *_: net.forward(), inputs, output, h)


def grad_check_sparse(
    f: Callable, x: np.ndarray, analytic_grad: np.ndarray, num_checks: int = 10, h: float = 1e-5
) -> None:
    """Print numeric and analytic derivative of f at some elements of x, drawn from NumPy's global state."""
    arguments.movable("grad_check_sparse", "x", x)
    for _ in range(num_checks):
        index = tuple(np.random.randint(length) for length in x.shape)
        numerical, analytic = float(_difference(f, x, index, h)) / (2 * h), float(analytic_grad[index])
        error = abs(numerical - analytic) / ((abs(numerical) + abs(analytic)) or 1.0)
        print(f"numerical: {numerical:f} analytic: {analytic:f}, relative error: {error:e}")


def compute_numeric_gradient(f: Callable, x: np.ndarray, dLdf: Any = None, h: float = 1e-7) -> np.ndarray:
    """The gradient of sum(f(x) * dLdf), of sum(f(x)) where dLdf is None, in the shape of x."""
    return eval_numerical_gradient_array(
        f, arguments.movable("compute_numeric_gradient", "x", x), 1 if dLdf is None else dLdf, h
    )


def rel_error(x: Any, y: Any) -> float:
    """The largest relative error between two results: max |x - y| / max(1e-8, |x| + |y|); 0 for empty ones."""
    x, y = np.asarray(x), np.asarray(y)
    return float(np.max(np.abs(x - y) / np.maximum(1e-8, np.abs(x) + np.abs(y)), initial=0.0))


def _difference(f: Callable, x: np.ndarray, index: tuple[int, ...], h: float) -> np.ndarray:
    """f with h added to one element of x, minus f with h taken away; x is afterwards as before."""
    before = x[index]
    try:
        x[index] = before + h
        above = np.array(f(x))
        x[index] = before - h
        return above - np.asarray(f(x))
    finally:
        x[index] = before

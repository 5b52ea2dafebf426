"""Functions of Tensors as functions of arrays."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.autograd import Tensor, grad, no_grad
from fastnn.kernels import to_device, to_numpy
from fastnn.kernels.dispatch import validation


def as_arrays(function: str, f: Callable, x: Tensor, analytic: Any, dout: Any) -> tuple[Callable, np.ndarray, Any, Any]:
    """Return f as a function of x's array in host memory, that array, the gradient by `backward`, and dout as an array.

    The gradient is zero if f(x) does not depend on x, and is only computed if it is not given. No Tensor's `grad`
    changes. Raises TypeError if f does not return a Tensor.
    """
    dout = to_numpy(dout.data) if isinstance(dout, Tensor) else dout
    if analytic is None:
        leaf = x if x.is_leaf and x.requires_grad else x.detach().requires_grad_()
        out = f(leaf)
        if not isinstance(out, Tensor):
            raise TypeError(
                f"{function}: f(x)={validation.brief(out)} is not a Tensor; expected the result of operations on the "
                f"Tensor x; let f compute with Tensors, or pass the gradient as analytic"
            )
        (found,) = grad(out, leaf, dout) if out.requires_grad else (None,)
        analytic = np.zeros(x.shape, x.dtype) if found is None else found.data
    analytic = to_numpy(analytic.data if isinstance(analytic, Tensor) else analytic)
    values = to_numpy(x.data)

    def of_array(moved: np.ndarray) -> Any:
        if x.data is not moved:  # on a GPU
            x.data[...] = to_device(moved)
        with no_grad():
            out = f(x)
        return to_numpy(out.data) if isinstance(out, Tensor) else out

    return of_array, values, analytic, dout

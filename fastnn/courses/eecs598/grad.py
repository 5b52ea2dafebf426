"""Numeric gradients of functions of torch tensors."""

from collections.abc import Callable

import torch

from fastnn import gradient_check
from fastnn.gradient_check import compute_numeric_gradient

from .random_state import reset_seed

__all__ = ["compute_numeric_gradient", "grad_check_sparse", "rel_error"]


def grad_check_sparse(
    f: Callable, x: torch.Tensor, analytic_grad: torch.Tensor, num_checks: int = 10, h: float = 1e-7
) -> None:
    """Print numeric and analytic derivatives of f at `num_checks` elements of x, always the same: it resets the seeds.

    See `fastnn.gradient_check.grad_check_sparse`.
    """
    reset_seed(0)
    gradient_check.grad_check_sparse(f, x, analytic_grad, num_checks, h)


def rel_error(x: torch.Tensor, y: torch.Tensor, eps: float = 1e-10) -> float:
    """Return max |x - y| / max(|x| + |y|, eps), a maximum over all elements above and below."""
    return ((x - y).abs().max() / (x.abs() + y.abs()).clamp(min=eps).max()).item()

"""The softmax loss of a linear classifier, as the course names it: `f(W, X, y, reg) -> (loss, dW)`.

`softmax_loss_naive` is the plain loops whatever the backend; `softmax_loss_vectorized` the active backend, and never
the loops.
"""

from fastnn import fixed_backend
from fastnn.kernels.linear_losses import linear_softmax_loss

__all__ = ["softmax_loss_naive", "softmax_loss_vectorized"]

softmax_loss_naive = fixed_backend.to_loops(linear_softmax_loss, "softmax_loss_naive", __name__)
softmax_loss_vectorized = fixed_backend.to_fast(linear_softmax_loss, "softmax_loss_vectorized", __name__)

"""The softmax loss of a linear classifier under the course's names: `f(W, X, y, reg) -> (loss, dW)`.

`softmax_loss_naive` always runs as naive loops; `softmax_loss_vectorized` runs on the active backend, but never as
naive loops.
"""

from fastnn import fixed_backend
from fastnn.kernels.linear_losses import linear_softmax_loss

__all__ = ["softmax_loss_naive", "softmax_loss_vectorized"]

softmax_loss_naive = fixed_backend.to_loops(linear_softmax_loss, "softmax_loss_naive", __name__)
softmax_loss_vectorized = fixed_backend.to_fast(linear_softmax_loss, "softmax_loss_vectorized", __name__)

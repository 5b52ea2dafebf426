"""The SVM loss of a linear classifier under the course's names: `f(W, X, y, reg) -> (loss, dW)`.

`svm_loss_naive` always runs as naive loops; `svm_loss_vectorized` runs on the active backend, but never as naive loops.
"""

from fastnn import fixed_backend
from fastnn.kernels.linear_losses import linear_svm_loss

__all__ = ["svm_loss_naive", "svm_loss_vectorized"]

svm_loss_naive = fixed_backend.to_loops(linear_svm_loss, "svm_loss_naive", __name__)
svm_loss_vectorized = fixed_backend.to_fast(linear_svm_loss, "svm_loss_vectorized", __name__)

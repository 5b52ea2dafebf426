"""The SVM loss of a linear classifier, as the course names it: `f(W, X, y, reg) -> (loss, dW)`.

`svm_loss_naive` is the plain loops whatever the backend; `svm_loss_vectorized` the active backend, and never the loops.
"""

from fastnn import fixed_backend
from fastnn.kernels.linear_losses import linear_svm_loss

__all__ = ["svm_loss_naive", "svm_loss_vectorized"]

svm_loss_naive = fixed_backend.to_loops(linear_svm_loss, "svm_loss_naive", __name__)
svm_loss_vectorized = fixed_backend.to_fast(linear_svm_loss, "svm_loss_vectorized", __name__)

"""`linear_losses` on a GPU: scores and dW are matrix products on tiles, and a warp computes the loss of each row.

Scores and dW are summed in the dtype of the inputs, losses of rows in float64, see `gpu.row_losses`.
"""

from numba import cuda

from ..gpu import row_losses
from ..gpu.launch import kernel
from ..gpu.memory import with_loss, xp
from ..gpu.products import columns_of, multiply, rows_of
from ..gpu.reduce import total_of_squares


@with_loss
def linear_svm_loss(W, X, y, reg):
    return _loss_and_gradient(row_losses.hinge, W, X, y, reg)


@with_loss
def linear_softmax_loss(W, X, y, reg):
    return _loss_and_gradient(row_losses.softmax, W, X, y, reg)


def _loss_and_gradient(loss_of, W, X, y, reg):
    """Return loss plus penalty, and dW."""
    (N, D), K = X.shape, W.shape[1]
    out, dW = xp.empty((N, K), W.dtype), xp.empty_like(W)
    multiply(rows_of(X, N, D), columns_of(W, D, K), rows_of(out, N, K))
    loss, slopes = loss_of(out, y)
    multiply(columns_of(X, N, D), columns_of(slopes, N, K), rows_of(dW, D, K))  # X.T @ slopes
    return loss + _penalise(W, dW, reg), dW


def _penalise(W, dW, reg):
    """Return the penalty, and add its gradient to dW."""
    if reg == 0:
        return 0.0
    _add_scaled(dW.size, dW.size, W.dtype.type(2 * reg), W, dW)
    return reg * total_of_squares([W])


@kernel
def _add_scaled(count, strength, W, dW):
    i = cuda.grid(1)
    if i < count:
        dW[i] += strength * W[i]

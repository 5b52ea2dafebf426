"""`linear_losses` on a GPU, plainly: each thread computes one score, then one row's loss, then one element of dW.

Scores and dW are summed in the dtype of the inputs; what has one number for each row is float64, and one thread adds
it up, in order.
"""

import math

from numba import cuda, float64

from ..gpu.launch import kernel, split
from ..gpu.memory import with_loss, xp


@with_loss
def linear_svm_loss(W, X, y, reg):
    total, dW = _through(_hinge_rows, W, X, y)
    return total / max(1, len(X)) + _penalise(W, dW, reg), dW


@with_loss
def linear_softmax_loss(W, X, y, reg):
    loss, dW = _through(_softmax_rows, W, X, y)
    return loss + _penalise(W, dW, reg), dW


def _through(rows, W, X, y):
    """The sum of the rows' losses, and dW; `rows`: the kernel from scores to losses and to the slopes of the loss."""
    (N, D), K, zero = X.shape, W.shape[1], W.dtype.type(0)
    scores, slopes, losses, dW = xp.empty((N, K), W.dtype), xp.empty((N, K), W.dtype), xp.empty(N), xp.empty_like(W)
    _scores(scores.size, scores.size, D, K, X, W, zero, scores)
    rows(N, N, K, scores, y, losses, slopes)
    _weight_gradients(dW.size, dW.size, N, D, K, X, slopes, zero, dW)
    return _sum(losses), dW


def _penalise(W, dW, reg):
    """The penalty; its gradient is added to dW."""
    if reg == 0:
        return 0.0
    (D, K), squares = W.shape, xp.empty(len(W))
    _square_rows(D, D, K, W, squares)
    _add_scaled(dW.size, dW.size, W.dtype.type(2 * reg), W, dW)
    return reg * _sum(squares)


def _sum(values):
    """The sum, which stays on the device."""
    out = xp.empty(())
    _add_up(1, len(values), values, out)
    return out


@kernel
def _add_up(count, values, out):
    if cuda.grid(1) == 0:
        total = 0.0
        for i in range(count):
            total += values[i]
        out[0] = total


@kernel
def _scores(count, D, K, X, W, zero, scores):
    """scores[n, k] = sum_d X[n, d] * W[d, k]"""
    i = cuda.grid(1)
    if i < count:
        n, k = split(i, K)
        total = zero
        for d in range(D):
            total += X[n * D + d] * W[d * K + k]
        scores[i] = total


@kernel
def _hinge_rows(N, K, scores, y, losses, slopes):
    """The margins of a row of scores that are violated, and how often each score counts, divided by N."""
    n = cuda.grid(1)
    if n < N:
        row, label = n * K, y[n]
        loss, violations, share = 0.0, 0, 1.0 / N
        for k in range(K):
            slopes[row + k] = 0
            if k != label:
                margin = float64(scores[row + k]) - float64(scores[row + label]) + 1.0
                if not margin <= 0.0:  # so NaN is added
                    loss += margin
                if margin > 0.0:
                    slopes[row + k] = share
                    violations += 1
        slopes[row + label] = -violations * share
        losses[n] = loss


@kernel
def _softmax_rows(N, K, scores, y, losses, slopes):
    """-log(p[y[n]]) / N and (p[k] - (k == y[n])) / N of a row of scores, p their softmax."""
    n = cuda.grid(1)
    if n < N:
        row = n * K
        largest = float64(scores[row])
        for k in range(K):
            score = float64(scores[row + k])
            if score > largest or score != score:
                largest = score
        total = 0.0
        for k in range(K):
            total += math.exp(float64(scores[row + k]) - largest)
        own = float64(scores[row + y[n]])
        gap = largest - own
        if gap > 1e308 and own > -math.inf:
            gap = 1e308  # the mean of such gaps is finite
        losses[n] = (math.log(total) + gap) / N
        for k in range(K):
            target = 1.0 if k == y[n] else 0.0
            slopes[row + k] = (math.exp(float64(scores[row + k]) - largest) / total - target) / N


@kernel
def _weight_gradients(count, N, D, K, X, slopes, zero, dW):
    """dW[d, k] = sum_n X[n, d] * slopes[n, k]"""
    i = cuda.grid(1)
    if i < count:
        d, k = split(i, K)
        total = zero
        for n in range(N):
            total += X[n * D + d] * slopes[n * K + k]
        dW[i] = total


@kernel
def _square_rows(D, K, W, squares):
    """The sum of a row's squares."""
    d = cuda.grid(1)
    if d < D:
        total = 0.0
        for i in range(d * K, (d + 1) * K):
            total += float64(W[i]) * float64(W[i])
        squares[d] = total


@kernel
def _add_scaled(count, strength, W, dW):
    i = cuda.grid(1)
    if i < count:
        dW[i] += strength * W[i]

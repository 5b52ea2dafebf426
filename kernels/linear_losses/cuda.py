"""`linear_losses` on a GPU: scores and dW are products on tiles, and a warp computes the loss of a row between them.

Scores and dW are summed in the dtype of the inputs; what has one number for each row is float64, see `gpu.reduce`.
"""

import math

from numba import cuda, float64

from ..gpu.launch import kernel, split
from ..gpu.memory import with_loss, xp
from ..gpu.products import columns_of, multiply, rows_of
from ..gpu.reduce import total, total_of_squares, warp_max, warp_sum
from ..gpu.warp import WARP


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
    (N, D), K = X.shape, W.shape[1]
    scores, slopes, losses, dW = xp.empty((N, K), W.dtype), xp.empty((N, K), W.dtype), xp.empty(N), xp.empty_like(W)
    multiply(rows_of(X, N, D), columns_of(W, D, K), rows_of(scores, N, K))
    rows(N * WARP, N, K, scores, y, losses, slopes)
    multiply(columns_of(X, N, D), columns_of(slopes, N, K), rows_of(dW, D, K))  # X.T @ slopes
    return total(losses), dW


def _penalise(W, dW, reg):
    """The penalty; its gradient is added to dW."""
    if reg == 0:
        return 0.0
    _add_scaled(dW.size, dW.size, W.dtype.type(2 * reg), W, dW)
    return reg * total_of_squares([W])


@kernel
def _hinge_rows(N, K, scores, y, losses, slopes):
    """The margins of a row of scores that are violated, and how often each score counts, divided by N."""
    n, lane = split(cuda.grid(1), WARP)
    if n < N:
        row, label = n * K, y[n]
        is_label = 0 <= label < K
        own = float64(scores[row + label]) if is_label else math.nan
        loss, violations, share = 0.0, 0.0, 1.0 / N
        for k in range(lane, K, WARP):
            margin = float64(scores[row + k]) - own + 1.0
            if k != label:
                if not margin <= 0.0:  # so NaN is added
                    loss += margin
                if margin > 0.0:
                    violations += 1.0
                slopes[row + k] = share if margin > 0.0 else 0.0
        loss, violations = warp_sum(loss), warp_sum(violations)
        if lane == 0:
            losses[n] = loss
            if is_label:
                slopes[row + label] = -violations * share


@kernel
def _softmax_rows(N, K, scores, y, losses, slopes):
    """-log(p[y[n]]) / N and (p[k] - (k == y[n])) / N of a row of scores, p their softmax."""
    n, lane = split(cuda.grid(1), WARP)
    if n < N:
        row, label = n * K, y[n]
        largest = float64(scores[row])
        for k in range(lane, K, WARP):
            score = float64(scores[row + k])
            if score > largest or score != score:
                largest = score
        largest, mass = warp_max(largest), 0.0
        for k in range(lane, K, WARP):
            mass += math.exp(float64(scores[row + k]) - largest)
        mass = warp_sum(mass)
        if lane == 0:
            own = float64(scores[row + label]) if 0 <= label < K else math.nan
            gap = largest - own
            if gap > 1e308 and own > -math.inf:
                gap = 1e308  # the mean of such gaps is finite
            losses[n] = (math.log(mass) + gap) / N
        for k in range(lane, K, WARP):
            target = 1.0 if k == label else 0.0
            slopes[row + k] = (math.exp(float64(scores[row + k]) - largest) / mass - target) / N


@kernel
def _add_scaled(count, strength, W, dW):
    i = cuda.grid(1)
    if i < count:
        dW[i] += strength * W[i]

"""Softmax and SVM loss of one row of scores, for `losses` and `linear_losses`. The gradient may overwrite the scores.

Rows are positions in flat arrays, because Numba counts references to slices.
"""

import math

import numpy as np

from .. import threads
from .elementary import exponentials

U = np.uintp  # unsigned indices need no wrap-around of negative ones
GRAIN = 512  # minimum rows of a part of the softmax loss
WRONG_LABEL = 1 << 16  # no status of Numba


@threads.serial
def softmax_row(scores, at, K, label, N, smoothing, gradient):
    """Return the loss of scores[at : at + K], divided by N, and write its gradient."""
    dtype, first, own = gradient.dtype.type, U(at), U(at + label)
    largest = np.float64(scores[first])
    for k in range(first + U(1), first + U(K)):
        largest = max(largest, np.float64(scores[k]))
    gap = largest - np.float64(scores[own])
    mean = (1 - smoothing) * _limited(gap, scores[own])
    if smoothing > 0:
        for k in range(first, first + U(K)):
            mean += smoothing / K * _limited(largest - np.float64(scores[k]), scores[k])
    total = 0.0
    for k in range(first, first + U(K)):
        exponential = exponentials(np.float64(scores[k]) - largest)[0]
        gradient[k] = dtype(exponential)
        total += exponential
    scale, share = dtype(1 / (total * N)), dtype(smoothing / K / N)
    for k in range(first, first + U(K)):
        gradient[k] = gradient[k] * scale - share
    gradient[own] = dtype((exponentials(-gap)[0] / total - (1 - smoothing) - smoothing / K) / N)
    return (math.log(total) + mean) / N


@threads.serial
def _limited(gap, score):
    """Limit the gap between finite scores to 1e308, so that the mean of gaps is finite."""
    return 1e308 if gap > 1e308 and score > -np.inf else gap


@threads.serial
def svm_row(scores, at, K, label, N, gradient):
    """Return the loss of scores[at : at + K], not divided by N, and write its gradient, divided by N."""
    dtype, first, own = gradient.dtype.type, U(at), U(at + label)
    zero, step, score = dtype(0), dtype(1 / N), np.float64(scores[own])
    loss, violations = 0.0, 0
    for k in range(first, first + U(K)):
        gap = np.float64(scores[k]) - score
        other = k != own
        loss += gap + 1.0 if other and not gap <= -1.0 else 0.0  # NaN is added too
        violated = other and gap > -1.0
        violations += 1 if violated else 0
        gradient[k] = step if violated else zero
    gradient[own] = dtype(-violations / N)
    return loss


@threads.parallel(GRAIN)
def softmax_loss(start, stop, K, x, y, smoothing, losses, dx):
    for n in range(start, stop):
        losses[n] = softmax_row(x, n * K, K, y[n], len(y), smoothing, dx)


softmax_rows = softmax_loss.kernel  # type: ignore[attr-defined]

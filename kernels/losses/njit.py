"""`losses` row by row on all cores; the rows' losses are added in order, so the sum does not depend on the cores.

Exponentials come from `simd.elementary`: the C library's exp is a call, which keeps a loop from vectorising.
"""

import math

import numpy as np

from .. import threads
from ..simd.elementary import exponentials

CHUNKS = 64  # as many, whatever the number of threads


@threads.parallel(grain=64)
def _softmax_loss(start, stop, x, y, smoothing, losses, dx):
    N, K = x.shape
    dtype = dx.dtype.type
    for n in range(start, stop):
        largest = np.float64(x[n, 0])
        for k in range(1, K):
            largest = max(largest, np.float64(x[n, k]))
        total = 0.0
        for k in range(K):
            exponential = exponentials(np.float64(x[n, k]) - largest)[0]
            dx[n, k] = dtype(exponential)
            total += exponential
        gap = largest - np.float64(x[n, y[n]])
        mean = (1 - smoothing) * _limited(gap, x[n, y[n]])
        if smoothing > 0:
            for k in range(K):
                mean += smoothing / K * _limited(largest - np.float64(x[n, k]), x[n, k])
        losses[n] = (math.log(total) + mean) / N
        scale, share = dtype(1 / (total * N)), dtype(smoothing / K / N)
        for k in range(K):
            dx[n, k] = dx[n, k] * scale - share
        dx[n, y[n]] = dtype((exponentials(-gap)[0] / total - (1 - smoothing) - smoothing / K) / N)


@threads.serial
def _limited(gap, score):
    """Between finite scores at most 1e308, so that the mean of gaps is finite."""
    return 1e308 if gap > 1e308 and score > -np.inf else gap


def softmax_loss(x, y, label_smoothing):
    losses, dx = np.empty(len(x)), np.empty_like(x)
    _softmax_loss(len(x), x, y, label_smoothing, losses, dx)
    return float(losses.sum()), dx


@threads.parallel(grain=64)
def _svm_loss(start, stop, x, y, losses, dx):
    N, K = x.shape
    zero, step = dx.dtype.type(0), dx.dtype.type(1 / N)
    for n in range(start, stop):
        label = y[n]
        score = np.float64(x[n, label])
        loss, violations = 0.0, 0
        for k in range(K):
            gap = np.float64(x[n, k]) - score
            other = k != label
            loss += gap + 1.0 if other and not gap <= -1.0 else 0.0  # so NaN is added
            violated = other and gap > -1.0
            violations += 1 if violated else 0
            dx[n, k] = step if violated else zero
        losses[n] = loss
        dx[n, label] = dx.dtype.type(-violations / N)


def svm_loss(x, y):
    losses, dx = np.empty(len(x)), np.empty_like(x)
    _svm_loss(len(x), x, y, losses, dx)
    return float(losses.sum() / len(x)), dx


@threads.parallel(grain=4)
def _mse_loss(start, stop, x, target, N, losses, dx):
    dtype = dx.dtype.type
    for chunk in range(start, stop):
        first, last = chunk * x.size // CHUNKS, (chunk + 1) * x.size // CHUNKS
        values, wanted, gradients = x[first:last], target[first:last], dx[first:last]
        loss = 0.0
        for i in range(last - first):
            difference = np.float64(values[i]) - np.float64(wanted[i])
            loss += difference * difference
            gradients[i] = dtype(difference / N)
        losses[chunk] = loss


def mse_loss(x, target):
    losses, dx = np.empty(CHUNKS), np.empty_like(x)
    _mse_loss(CHUNKS, x.reshape(-1), target.reshape(-1), float(len(x)), losses, dx.reshape(-1))
    return float(losses.sum() / (2 * len(x))), dx

"""`losses` row by row on all cores; the rows' losses are added in order, so the sum does not depend on the cores."""

import numpy as np

from .. import threads
from ..simd.scores import softmax_row, svm_row

CHUNKS = 64  # as many, whatever the number of threads


@threads.parallel(grain=64)
def _softmax_loss(start, stop, x, y, smoothing, losses, dx):
    for n in range(start, stop):
        losses[n] = softmax_row(x[n], y[n], len(x), smoothing, dx[n])


def softmax_loss(x, y, label_smoothing):
    losses, dx = np.empty(len(x)), np.empty_like(x)
    _softmax_loss(len(x), x, y, label_smoothing, losses, dx)
    return float(losses.sum()), dx


@threads.parallel(grain=64)
def _svm_loss(start, stop, x, y, losses, dx):
    for n in range(start, stop):
        losses[n] = svm_row(x[n], y[n], len(x), dx[n])


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

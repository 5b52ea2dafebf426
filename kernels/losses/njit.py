"""`losses` row by row on all cores; losses of rows are added in order, so no bit depends on the number of threads."""

import numpy as np

from ..cpu import threads
from ..cpu.simd.scores import GRAIN, softmax_rows, svm_row

CHUNKS = 64  # maximum number of chunks, independent of the number of threads
CHUNK = 1 << 13  # minimum elements of a chunk


@threads.serial
def _sum(losses):
    total = 0.0
    for i in range(np.uintp(losses.size)):
        total += losses[i]
    return total


@threads.serial
def _softmax_sum(slots, count, parts, x, y, smoothing, losses, dx):
    """Return a status and the sum of all losses."""
    size = x.size
    status = softmax_rows(slots, count, parts, x.shape[1], x.reshape(size), y, smoothing, losses, dx.reshape(size))
    total = 0.0
    for n in range(np.uintp(losses.size)):
        total += losses[n]
    return status, total


def softmax_loss(x, y, label_smoothing):
    losses, dx = np.empty(len(x)), np.empty(x.shape, x.dtype)
    status, total = _softmax_sum(*threads.split(len(x), GRAIN), x, y, label_smoothing, losses, dx)
    if status:
        raise MemoryError(f"{__name__}: softmax_loss ran out of memory; use smaller batches")
    return total, dx


@threads.parallel(grain=2048)
def _svm_loss(start, stop, K, x, y, losses, dx):
    for n in range(start, stop):
        losses[n] = svm_row(x, n * K, K, y[n], len(y), dx)


def svm_loss(x, y):
    losses, dx = np.empty(len(x)), np.empty_like(x)
    _svm_loss(len(x), x.shape[1], x.reshape(-1), y, losses, dx.reshape(-1))
    return _sum(losses) / len(x), dx


@threads.parallel(grain=8)
def _mse_loss(start, stop, x, target, N, losses, dx):
    dtype = dx.dtype.type
    for chunk in range(start, stop):
        first, last = chunk * x.size // losses.size, (chunk + 1) * x.size // losses.size
        values, wanted, gradients = x[first:last], target[first:last], dx[first:last]
        loss = 0.0
        for i in range(np.uintp(last - first)):
            difference = np.float64(values[i]) - np.float64(wanted[i])
            loss += difference * difference
            gradients[i] = dtype(difference / N)
        losses[chunk] = loss


def mse_loss(x, target):
    losses, dx = np.empty(min(CHUNKS, -(-x.size // CHUNK))), np.empty_like(x)
    _mse_loss(losses.size, x.reshape(-1), target.reshape(-1), float(len(x)), losses, dx.reshape(-1))
    return _sum(losses) / (2 * len(x)), dx

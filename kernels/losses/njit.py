"""`losses` row by row on all cores; losses of rows are added in order, so no bit depends on the number of threads."""

import numpy as np

from ..cpu import threads
from ..cpu.simd.scores import softmax_row, svm_row

CHUNKS = 64  # maximum number of chunks, independent of the number of threads
CHUNK = 1 << 13  # minimum elements of a chunk
GRAIN = 512  # minimum rows of a part of the softmax loss


@threads.serial
def _sum(losses):
    total = 0.0
    for i in range(np.uintp(losses.size)):
        total += losses[i]
    return total


@threads.parallel(GRAIN)
def _softmax_loss(start, stop, K, x, y, smoothing, losses, dx):
    for n in range(start, stop):
        losses[n] = softmax_row(x, n * K, K, y[n], len(y), smoothing, dx)


_softmax_rows = _softmax_loss.kernel  # type: ignore[attr-defined]
_WRONG_LABEL = 1 << 16  # no status of Numba


@threads.serial
def _softmax_sum(slots, count, parts, x, y, smoothing, losses, dx):
    """Return a status and the sum of all losses. Labels out of range are found before anything is computed."""
    K = x.shape[1]
    for n in range(np.uintp(y.size)):
        if y[n] < 0 or y[n] >= K:
            return _WRONG_LABEL, 0.0
    status = _softmax_rows(slots, count, parts, K, x.reshape(x.size), y, smoothing, losses, dx.reshape(x.size))
    total = 0.0
    for n in range(np.uintp(losses.size)):
        total += losses[n]
    return status, total


def softmax_loss(x, y, label_smoothing):
    losses, dx = np.empty(len(x)), np.empty(x.shape, x.dtype)
    status, total = _softmax_sum(*threads.split(len(x), GRAIN), x, y, label_smoothing, losses, dx)
    if status == _WRONG_LABEL:
        return None  # for `fused`, which does not check them
    if status:
        raise MemoryError("softmax_loss ran out of memory; use smaller batches")
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

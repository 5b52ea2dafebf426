"""`losses` row by row on all cores; rows' losses are added in order, so the sum does not depend on the number of cores.

The C library's exp is a call, which keeps a loop from vectorising; the series below makes softmax of 1000
classes 3.6 times faster, of 10 classes 1.7 times.
"""

import math

import numba
import numpy as np
from numba import prange

from .. import threads

HIGH, LOW = 0.6931471803691238, 1.9082149292705877e-10  # ln(2); n * HIGH is exact, HIGH having few bits
PER_LN2 = 1 / math.log(2)
SHIFT = 1.5 * 2**52 + 1023  # adding it rounds to whole numbers n and leaves n + 1023 in the lowest bits
TAYLOR = tuple(1 / math.factorial(k) for k in range(13, -1, -1))
CHUNKS = 64  # as many, whatever the number of threads


# No reassociation in here: it would cancel the roundings.
@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"}, forceinline=True)
def _exp(v):
    """exp(v) for v <= 0 or NaN, as 2**n * exp(r) with |r| <= ln(2)/2 (Cody & Waite 1980, chapter 6); 0 below -708."""
    kept = -708.0 if v < -708.0 else v
    shifted = kept * PER_LN2 + SHIFT
    n = shifted - SHIFT
    r = (kept - n * HIGH) - n * LOW
    series = 0.0
    for coefficient in TAYLOR:
        series = series * r + coefficient
    power = np.uint64(np.float64(shifted).view(np.uint64) << np.uint64(52)).view(np.float64)
    return 0.0 if v < -708.0 else power * series


@threads.parallel
def _softmax_loss(x, y, losses, dx):
    N, K = x.shape
    dtype = dx.dtype.type
    for n in prange(N):
        largest = np.float64(x[n, 0])
        for k in range(1, K):
            largest = max(largest, np.float64(x[n, k]))
        total = 0.0
        for k in range(K):
            exponential = _exp(np.float64(x[n, k]) - largest)
            dx[n, k] = dtype(exponential)
            total += exponential
        score = np.float64(x[n, y[n]])
        gap = largest - score
        if gap > 1e308 and score > -np.inf:
            gap = 1e308  # the mean of such gaps is finite
        losses[n] = (math.log(total) + gap) / N
        scale = dtype(1 / (total * N))
        for k in range(K):
            dx[n, k] *= scale
        dx[n, y[n]] = dtype((_exp(-gap) / total - 1) / N)


def softmax_loss(x, y):
    losses, dx = np.empty(len(x)), np.empty_like(x)
    _softmax_loss(x, y, losses, dx)
    return float(losses.sum()), dx


@threads.parallel
def _svm_loss(x, y, losses, dx):
    N, K = x.shape
    zero, step = dx.dtype.type(0), dx.dtype.type(1 / N)
    for n in prange(N):
        label = y[n]
        score = np.float64(x[n, label])
        loss, violations = 0.0, 0
        for k in range(K):
            gap = np.float64(x[n, k]) - score
            other = k != label
            loss += gap + 1.0 if other and not gap <= -1.0 else 0.0  # so NaN is added
            violated = other and gap > -1.0
            violations += violated
            dx[n, k] = step if violated else zero
        losses[n] = loss
        dx[n, label] = dx.dtype.type(-violations / N)


def svm_loss(x, y):
    losses, dx = np.empty(len(x)), np.empty_like(x)
    _svm_loss(x, y, losses, dx)
    return float(losses.sum() / len(x)), dx


@threads.parallel
def _mse_loss(x, target, N, losses, dx):
    dtype = dx.dtype.type
    for chunk in prange(CHUNKS):
        start, stop = chunk * x.size // CHUNKS, (chunk + 1) * x.size // CHUNKS
        values, wanted, gradients = x[start:stop], target[start:stop], dx[start:stop]
        loss = 0.0
        for i in range(stop - start):
            difference = np.float64(values[i]) - np.float64(wanted[i])
            loss += difference * difference
            gradients[i] = dtype(difference / N)
        losses[chunk] = loss


def mse_loss(x, target):
    losses, dx = np.empty(CHUNKS), np.empty_like(x)
    _mse_loss(x.reshape(-1), target.reshape(-1), float(len(x)), losses, dx.reshape(-1))
    return float(losses.sum() / (2 * len(x))), dx

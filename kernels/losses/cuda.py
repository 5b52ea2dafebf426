"""`losses` on a GPU, plainly: each thread computes a row, its loss in float64; one thread adds these up, in order."""

import math

import numpy as np
from numba import cuda, float64

from ..gpu.launch import kernel
from ..gpu.memory import with_loss, xp


@with_loss
def softmax_loss(x, y, label_smoothing):
    (N, K), losses, dx = x.shape, xp.empty(len(x)), xp.empty_like(x)
    _softmax_rows(N, N, K, x, y, np.float64(label_smoothing), losses, dx)
    return _sum(losses), dx


@with_loss
def svm_loss(x, y):
    (N, K), losses, dx = x.shape, xp.empty(len(x)), xp.empty_like(x)
    _svm_rows(N, N, K, x, y, losses, dx)
    return _sum(losses) / N, dx


@with_loss
def mse_loss(x, target):
    N, losses, dx = len(x), xp.empty(len(x)), xp.empty_like(x)
    _squared_rows(N, N, x.size // N, x, target, losses, dx)
    return _sum(losses), dx


def _sum(values):
    """The sum, which stays on the device."""
    out = xp.empty(())
    _add_up(1, len(values), values, out)
    return out


@kernel
def _add_up(count, values, out):
    if cuda.grid(1) == 0:
        total = float64(0)
        for i in range(count):
            total += values[i]
        out[0] = total


@kernel
def _softmax_rows(N, K, x, y, smoothing, losses, dx):
    """-sum_k target[k] * log(p[k]) / N and (p - target) / N of a row of scores, p their softmax."""
    n = cuda.grid(1)
    if n < N:
        row = n * K
        largest = x[row]
        for k in range(K):
            if x[row + k] > largest or x[row + k] != x[row + k]:
                largest = x[row + k]
        total = float64(0)
        for k in range(K):
            total += math.exp(float64(x[row + k]) - float64(largest))
        loss = float64(0)
        for k in range(K):
            target = smoothing / K
            if k == y[n]:
                target += 1.0 - smoothing
            gap = float64(largest) - float64(x[row + k])
            if target > 0.0:
                if gap > 1e308 and x[row + k] > -math.inf and largest < math.inf:
                    gap = 1e308
                loss += target * gap
            dx[row + k] = (math.exp(-gap) / total - target) / N
        losses[n] = (math.log(total) + loss) / N


@kernel
def _svm_rows(N, K, x, y, losses, dx):
    """The margins of a row of scores that are violated, and how often each score counts."""
    n = cuda.grid(1)
    if n < N:
        row, label = n * K, y[n]
        loss, violations, share = float64(0), 0, 1.0 / N
        for k in range(K):
            dx[row + k] = 0
            if k != label:
                margin = float64(x[row + k]) - float64(x[row + label]) + 1.0
                if not margin <= 0.0:
                    loss += margin
                if margin > 0.0:
                    dx[row + k] = share
                    violations += 1
        dx[row + label] = -violations * share
        losses[n] = loss


@kernel
def _squared_rows(N, D, x, target, losses, dx):
    """Half the squared distance of two rows, over N."""
    n = cuda.grid(1)
    if n < N:
        loss = float64(0)
        for i in range(n * D, (n + 1) * D):
            difference = float64(x[i]) - float64(target[i])
            loss += difference * difference / (2.0 * N)
            dx[i] = difference / N
        losses[n] = loss

"""`losses` on a GPU: a warp computes a row, its loss in float64; then these are added up, see `gpu.reduce`."""

import math

import numpy as np
from numba import cuda, float64

from ..gpu.launch import kernel, split
from ..gpu.memory import with_loss, xp
from ..gpu.reduce import total, warp_max, warp_sum
from ..gpu.warp import WARP


@with_loss
def softmax_loss(x, y, label_smoothing):
    (N, K), losses, dx = x.shape, xp.empty(len(x)), xp.empty_like(x)
    _softmax_rows(N * WARP, N, K, x, y, np.float64(label_smoothing), losses, dx)
    return total(losses), dx


@with_loss
def svm_loss(x, y):
    (N, K), losses, dx = x.shape, xp.empty(len(x)), xp.empty_like(x)
    _svm_rows(N * WARP, N, K, x, y, losses, dx)
    return total(losses) / N, dx


@with_loss
def mse_loss(x, target):
    N, losses, dx = len(x), xp.empty(len(x)), xp.empty_like(x)
    _squared_rows(N * WARP, N, x.size // N, x, target, losses, dx)
    return total(losses), dx


@kernel
def _softmax_rows(N, K, x, y, smoothing, losses, dx):
    """-sum_k target[k] * log(p[k]) / N and (p - target) / N of a row of scores, p their softmax."""
    n, lane = split(cuda.grid(1), WARP)
    if n < N:
        row, label = n * K, y[n]
        largest = x[row]
        for k in range(lane, K, WARP):
            if x[row + k] > largest or x[row + k] != x[row + k]:
                largest = x[row + k]
        largest = warp_max(largest)
        mass = float64(0)
        for k in range(lane, K, WARP):
            mass += math.exp(float64(x[row + k]) - float64(largest))
        mass = warp_sum(mass)
        loss = float64(0)
        for k in range(lane, K, WARP):
            target = smoothing / K
            if k == label:
                target += 1.0 - smoothing
            gap = float64(largest) - float64(x[row + k])
            if target > 0.0:
                if gap > 1e308 and x[row + k] > -math.inf and largest < math.inf:
                    gap = 1e308
                loss += target * gap
            dx[row + k] = (math.exp(-gap) / mass - target) / N
        loss = warp_sum(loss)
        if lane == 0:
            losses[n] = (math.log(mass) + loss) / N if 0 <= label < K else math.nan


@kernel
def _svm_rows(N, K, x, y, losses, dx):
    """The margins of a row of scores that are violated, and how often each score counts."""
    n, lane = split(cuda.grid(1), WARP)
    if n < N:
        row, label = n * K, y[n]
        is_label = 0 <= label < K
        own = float64(x[row + label]) if is_label else math.nan
        loss, violations, share = float64(0), float64(0), 1.0 / N
        for k in range(lane, K, WARP):
            margin = float64(x[row + k]) - own + 1.0
            if k != label:
                if not margin <= 0.0:
                    loss += margin
                if margin > 0.0:
                    violations += 1.0
                dx[row + k] = share if margin > 0.0 else 0.0
        loss, violations = warp_sum(loss), warp_sum(violations)
        if lane == 0:
            losses[n] = loss
            if is_label:
                dx[row + label] = -violations * share


@kernel
def _squared_rows(N, D, x, target, losses, dx):
    """Half the squared distance of two rows, over N."""
    n, lane = split(cuda.grid(1), WARP)
    if n < N:
        loss = float64(0)
        for k in range(lane, D, WARP):
            i = n * D + k
            difference = float64(x[i]) - float64(target[i])
            loss += difference * difference / (2.0 * N)
            dx[i] = difference / N
        loss = warp_sum(loss)
        if lane == 0:
            losses[n] = loss

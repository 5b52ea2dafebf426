"""Softmax and SVM loss of rows of scores, and their gradients: one warp computes a row, in float64 (see `reduce`).

A label out of range makes the loss of its row NaN; it never causes a read past the row.
"""

import math

import numpy as np
from numba import cuda, float64

from .launch import kernel, split
from .memory import xp
from .reduce import total, warp_max, warp_sum
from .warp import WARP


def softmax(scores, y, smoothing=0.0):
    """Return the mean cross-entropy of the rows, with label smoothing, and its gradient."""
    (N, K), losses, slopes = scores.shape, xp.empty(len(scores)), xp.empty_like(scores)
    _softmax_rows(N * WARP, N, K, scores, y, np.float64(smoothing), losses, slopes)
    return total(losses), slopes


def hinge(scores, y):
    """Return the mean hinge loss of the rows, and its gradient."""
    (N, K), losses, slopes = scores.shape, xp.empty(len(scores)), xp.empty_like(scores)
    _hinge_rows(N * WARP, N, K, scores, y, losses, slopes)
    return total(losses) / max(1, N), slopes


@kernel
def _softmax_rows(N, K, scores, y, smoothing, losses, slopes):
    """loss = -sum_k target[k] * log(p[k]) / N, slope = (p - target) / N for a row of scores with softmax p"""
    n, lane = split(cuda.grid(1), WARP)
    if n < N:
        row, label = n * K, y[n]
        largest = scores[row]
        for k in range(lane, K, WARP):
            if scores[row + k] > largest or scores[row + k] != scores[row + k]:
                largest = scores[row + k]
        largest = warp_max(largest)
        mass = float64(0)
        for k in range(lane, K, WARP):
            mass += math.exp(float64(scores[row + k]) - float64(largest))
        mass = warp_sum(mass)
        loss = float64(0)
        for k in range(lane, K, WARP):
            target = smoothing / K
            if k == label:
                target += 1.0 - smoothing
            gap = float64(largest) - float64(scores[row + k])
            if target > 0.0:
                if gap > 1e308 and scores[row + k] > -math.inf and largest < math.inf:
                    gap = 1e308  # so that the mean of gaps is finite
                loss += target * gap
            slopes[row + k] = (math.exp(-gap) / mass - target) / N
        loss = warp_sum(loss)
        if lane == 0:
            losses[n] = (math.log(mass) + loss) / N if 0 <= label < K else math.nan


@kernel
def _hinge_rows(N, K, scores, y, losses, slopes):
    """loss = the sum of violated margins of a row, slope = how often each score counts, divided by N"""
    n, lane = split(cuda.grid(1), WARP)
    if n < N:
        row, label = n * K, y[n]
        is_label = 0 <= label < K
        own = float64(scores[row + label]) if is_label else math.nan
        loss, violations, share = float64(0), float64(0), 1.0 / N
        for k in range(lane, K, WARP):
            margin = float64(scores[row + k]) - own + 1.0
            if k != label:
                if not margin <= 0.0:  # NaN is added too
                    loss += margin
                if margin > 0.0:
                    violations += 1.0
                slopes[row + k] = share if margin > 0.0 else 0.0
        loss, violations = warp_sum(loss), warp_sum(violations)
        if lane == 0:
            losses[n] = loss
            if is_label:
                slopes[row + label] = -violations * share

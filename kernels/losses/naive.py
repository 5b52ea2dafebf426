"""The specification of `losses`: one score at a time, in Python floats."""

import math

import numpy as np


def softmax_loss(x, y, label_smoothing):
    N, K = x.shape
    loss, dx = 0.0, np.empty_like(x)
    for n in range(N):
        scores, label = x[n].tolist(), int(y[n])
        largest = max(scores)
        exponentials = [math.exp(score - largest) for score in scores]
        total = sum(exponentials)
        targets = [(1 - label_smoothing) * (k == label) + label_smoothing / K for k in range(K)]
        gaps = [target * _gap(largest, score) for target, score in zip(targets, scores, strict=True) if target > 0]
        loss += (math.log(total) + sum(gaps)) / N
        for k in range(K):
            dx[n, k] = (exponentials[k] / total - targets[k]) / N
    return loss, dx


def _gap(largest, score):
    """Return largest - score, for a finite score limited to 1e308, so that the mean of gaps is finite."""
    gap = largest - score
    return 1e308 if gap > 1e308 and math.isfinite(score) else gap


def svm_loss(x, y):
    N, K = x.shape
    loss, dx = 0.0, np.zeros_like(x)
    for n in range(N):
        scores, label, violations = x[n].tolist(), y[n], 0
        for k in range(K):
            if k == label:
                continue
            margin = scores[k] - scores[label] + 1
            if not margin <= 0:  # NaN is added too
                loss += margin
            if margin > 0:
                dx[n, k] = 1 / N
                violations += 1
        dx[n, label] = -violations / N
    return loss / N, dx


def mse_loss(x, target):
    N = len(x)
    loss, dx = 0.0, np.empty_like(x)
    flat = dx.reshape(-1)
    for i, (value, wanted) in enumerate(zip(x.reshape(-1).tolist(), target.reshape(-1).tolist(), strict=True)):
        difference = value - wanted
        loss += difference * difference / (2 * N)
        flat[i] = difference / N
    return loss, dx

"""The specification of `linear_losses`: one image and one class at a time."""

import math

import numpy as np


def linear_svm_loss(W, X, y, reg):
    N, K = len(X), W.shape[1]
    loss, dW = 0.0, np.zeros_like(W)
    for n in range(N):
        scores, label = _scores(W, X[n]), y[n]
        slopes = [0.0] * K
        for k in range(K):
            if k == label:
                continue
            margin = scores[k] - scores[label] + 1
            if not margin <= 0:  # so NaN is added
                loss += margin
            if margin > 0:
                slopes[k] += 1 / N
                slopes[label] -= 1 / N
        for k in range(K):
            dW[:, k] += slopes[k] * X[n]
    return loss / max(1, N) + _penalize(W, dW, reg), dW


def linear_softmax_loss(W, X, y, reg):
    N, K = len(X), W.shape[1]
    loss, dW = 0.0, np.zeros_like(W)
    for n in range(N):
        scores, label = _scores(W, X[n]), y[n]
        largest = max(scores)
        exponentials = [math.exp(score - largest) for score in scores]
        total = sum(exponentials)
        gap = largest - scores[label]
        if gap > 1e308 and math.isfinite(scores[label]):
            gap = 1e308  # the mean of such gaps is finite
        loss += (math.log(total) + gap) / N
        for k in range(K):
            dW[:, k] += (exponentials[k] / total - (k == label)) / N * X[n]
    return loss + _penalize(W, dW, reg), dW


def _scores(W, x):
    return [float(np.sum(x * W[:, k])) for k in range(W.shape[1])]


def _penalize(W, dW, reg):
    """The penalty; its gradient is added to dW."""
    if reg == 0:
        return 0.0
    penalty = 0.0
    for k in range(W.shape[1]):
        penalty += reg * float(np.sum(np.square(W[:, k], dtype=np.float64)))
        dW[:, k] += 2 * reg * W[:, k]
    return penalty

"""The specification of `linear_losses`: one image and one class at a time, as a course writes it."""

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
            if not margin <= 0:  # NaN is added too
                loss += margin
            if margin > 0:
                slopes[k] += 1 / N
                slopes[label] -= 1 / N
        _add_gradient(dW, X[n], slopes)
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
            gap = 1e308  # so that the mean of gaps is finite
        loss += (math.log(total) + gap) / N
        _add_gradient(dW, X[n], [(exponentials[k] / total - (k == label)) / N for k in range(K)])
    return loss + _penalize(W, dW, reg), dW


def _scores(W, x):
    """Return the scores of one image, as Python floats."""
    return [float(np.dot(x, W[:, k])) for k in range(W.shape[1])]


def _add_gradient(dW, x, slopes):
    """Add the gradient of one image to dW, given the gradient of the loss with respect to its scores."""
    for k in range(dW.shape[1]):
        dW[:, k] += dW.dtype.type(slopes[k]) * x


def _penalize(W, dW, reg):
    """Return the penalty, and add its gradient to dW."""
    if reg == 0:
        return 0.0
    dW += W.dtype.type(2 * reg) * W
    return reg * float(np.sum(np.square(W, dtype=np.float64)))

"""The losses of one image's scores, which `losses` and `linear_losses` share. The gradient may overwrite the scores."""

import math

import numpy as np

from .. import threads
from .elementary import exponentials


@threads.serial
def softmax_row(scores, label, N, smoothing, gradient):
    """The loss of an image, divided by N, and its gradient."""
    K, dtype = scores.size, gradient.dtype.type
    largest = np.float64(scores[0])
    for k in range(1, K):
        largest = max(largest, np.float64(scores[k]))
    gap = largest - np.float64(scores[label])
    mean = (1 - smoothing) * _limited(gap, scores[label])
    if smoothing > 0:
        for k in range(K):
            mean += smoothing / K * _limited(largest - np.float64(scores[k]), scores[k])
    total = 0.0
    for k in range(K):
        exponential = exponentials(np.float64(scores[k]) - largest)[0]
        gradient[k] = dtype(exponential)
        total += exponential
    scale, share = dtype(1 / (total * N)), dtype(smoothing / K / N)
    for k in range(K):
        gradient[k] = gradient[k] * scale - share
    gradient[label] = dtype((exponentials(-gap)[0] / total - (1 - smoothing) - smoothing / K) / N)
    return (math.log(total) + mean) / N


@threads.serial
def _limited(gap, score):
    """Between finite scores at most 1e308, so that the mean of gaps is finite."""
    return 1e308 if gap > 1e308 and score > -np.inf else gap


@threads.serial
def svm_row(scores, label, N, gradient):
    """The loss of an image, not divided by N, and its gradient."""
    dtype, score = gradient.dtype.type, np.float64(scores[label])
    zero, step = dtype(0), dtype(1 / N)
    loss, violations = 0.0, 0
    for k in range(scores.size):
        gap = np.float64(scores[k]) - score
        other = k != label
        loss += gap + 1.0 if other and not gap <= -1.0 else 0.0  # so NaN is added
        violated = other and gap > -1.0
        violations += 1 if violated else 0
        gradient[k] = step if violated else zero
    gradient[label] = dtype(-violations / N)
    return loss

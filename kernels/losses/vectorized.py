"""`losses` with NumPy: operations on whole float64 arrays."""

import numpy as np


def softmax_loss(x, y, label_smoothing):
    N, K = x.shape
    rows = np.arange(N)
    largest = x.max(axis=1)
    p = np.subtract(x, largest[:, None], dtype=np.float64)
    gaps = _limited(-p[rows, y], x[rows, y])
    if label_smoothing:
        gaps *= 1 - label_smoothing
        gaps += np.sum(_limited(-p, x) * (label_smoothing / K), axis=1)
    np.exp(p, out=p)
    totals = p.sum(axis=1)
    loss = np.sum((np.log(totals) + gaps) / N)
    p /= totals[:, None]
    p[rows, y] -= 1 - label_smoothing
    p -= label_smoothing / K
    p /= N
    return float(loss), p.astype(x.dtype, copy=False)


def _limited(gaps, scores):
    """Limit the gaps of finite scores to 1e308, in place, so that their mean is finite."""
    np.copyto(gaps, 1e308, where=(gaps > 1e308) & np.isfinite(scores))
    return gaps


def svm_loss(x, y):
    N = len(x)
    rows = np.arange(N)
    margins = np.subtract(x, x[rows, y][:, None], dtype=np.float64)
    margins += 1
    margins[rows, y] = 0
    violated = margins > 0
    dx = violated.astype(x.dtype)
    dx[rows, y] = -np.count_nonzero(violated, axis=1)
    dx /= N
    return float(np.sum(np.maximum(margins, 0, out=margins)) / N), dx


def mse_loss(x, target):
    N = len(x)
    differences = np.subtract(x, target, dtype=np.float64)
    loss = np.sum(np.square(differences)) / (2 * N)
    differences /= N
    return float(loss), differences.astype(x.dtype, copy=False)

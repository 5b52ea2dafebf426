"""`linear_losses` with NumPy: two matrix products, and between them operations on whole float64 arrays."""

import numpy as np


def linear_svm_loss(W, X, y, reg):
    N, rows = max(1, len(X)), np.arange(len(X))
    scores = X @ W
    margins = np.subtract(scores, scores[rows, y][:, None], dtype=np.float64)
    margins += 1
    margins[rows, y] = 0
    violated = margins > 0
    loss = float(np.sum(np.maximum(margins, 0, out=margins)) / N)
    slopes = violated.astype(W.dtype)
    slopes[rows, y] = -np.count_nonzero(violated, axis=1)
    slopes /= N
    return _with_penalty(loss, X.T @ slopes, W, reg)


def linear_softmax_loss(W, X, y, reg):
    N, rows = max(1, len(X)), np.arange(len(X))
    scores = X @ W
    p = np.subtract(scores, scores.max(axis=1)[:, None], dtype=np.float64)
    gaps = -p[rows, y]
    np.copyto(gaps, 1e308, where=(gaps > 1e308) & np.isfinite(scores[rows, y]))
    np.exp(p, out=p)
    totals = p.sum(axis=1)
    loss = float(np.sum((np.log(totals) + gaps) / N))
    p /= totals[:, None]
    p[rows, y] -= 1
    p /= N
    return _with_penalty(loss, X.T @ p.astype(W.dtype, copy=False), W, reg)


def _with_penalty(loss, dW, W, reg):
    if reg:
        loss += reg * float(np.sum(np.square(W, dtype=np.float64)))
        dW += W.dtype.type(2 * reg) * W
    return loss, dW

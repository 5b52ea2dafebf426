"""The specification of `distances`: one pair of rows at a time."""

import numpy as np


def squared_distances(x, y):
    out = np.empty((len(x), len(y)), x.dtype)
    for n in range(len(x)):
        for m in range(len(y)):
            out[n, m] = np.sum((x[n] - y[m]) ** 2)
    return out


def nearest_neighbors(x, y, k):
    x, y = x.astype(np.float64), y.astype(np.float64)
    index = np.empty((len(x), k), np.int64)
    for n in range(len(x)):
        distances = [np.sum((x[n] - y[m]) ** 2) for m in range(len(y))]
        order = sorted(range(len(y)), key=lambda m: (np.isnan(distances[m]), distances[m], m))
        index[n] = order[:k]
    return index

"""`linear_losses` in one pass over X: what a block of images needs is done while the block is in the cache.

That is: its scores, on `dot_tile`s of images times classes; its losses and the gradients of its scores; its share of
dW, on `outer_tile`s of classes times features. Both want W and dW as (K, D), so that the features lie in a row.
Chunks of images have a dW of their own, as many chunks whatever the number of threads, added up in order.
"""

import numpy as np

from .. import threads
from ..simd import host
from ..simd.scores import softmax_row, svm_row
from ..simd.tiles import dot_tile, dot_tile_shape, outer_tile, outer_tile_vectors

CHUNKS = 16  # at most
ROWS = 32  # images of a block, of which 3073 float32 features take 393 KB
FEATURES = 256  # of W and dW that are put back into (D, K) at a time

U = np.uintp  # an unsigned index cannot be negative: no wrap-around is compiled in, and the loop vectorises


def linear_svm_loss(W, X, y, reg):
    return _loss(W, X, y, reg, True)


def linear_softmax_loss(W, X, y, reg):
    return _loss(W, X, y, reg, False)


def _loss(W, X, y, reg, hinge):
    (N, D), K, dtype = X.shape, W.shape[1], W.dtype
    chunks = min(CHUNKS, -(-N // ROWS))
    _, vectors, lanes = host.dot_tile(dtype)
    weights = np.zeros((-(-K // vectors) * vectors, D), dtype)  # with classes that nobody reads, to fill the last tile
    weights[:K] = W.T
    losses, parts, dW = np.empty(N), np.zeros((chunks, K, D), dtype), np.empty_like(W)
    tables = np.arange(0, D - lanes + 1, lanes), np.arange(vectors) * D, np.arange(ROWS) * D
    _over_chunks(chunks, weights, X, y, hinge, *tables, lanes, losses, parts)
    squares = np.empty(-(-D // FEATURES))
    _finish(squares.size, W, parts, reg, dW, squares)
    loss = losses.sum() / max(1, N) if hinge else losses.sum()
    return float(loss + (reg * squares.sum() if reg else 0.0)), dW


@threads.parallel(grain=1)
def _over_chunks(start, stop, weights, X, y, hinge, steps, classes, images, lanes, losses, parts):
    N, chunks, K = len(X), parts.shape[0], parts.shape[1]
    scores = np.empty((ROWS + 4, weights.shape[0]), X.dtype)
    for chunk in range(start, stop):
        last = (chunk + 1) * N // chunks
        for first in range(chunk * N // chunks, last, ROWS):
            count = min(ROWS, last - first)
            _score(X, first, count, weights, steps, classes, lanes, scores)
            for i in range(count):
                n = first + i
                if hinge:
                    losses[n] = svm_row(scores[i, :K], y[n], N, scores[i, :K])
                else:
                    losses[n] = softmax_row(scores[i, :K], y[n], N, 0.0, scores[i, :K])
            _add_gradient(X, first, count, scores, images, lanes, parts[chunk])


@threads.serial
def _score(X, first, count, weights, steps, classes, lanes, scores):
    """scores[i, k] = sum_d X[first + i, d] * weights[k, d] for i < count; what is behind them is overwritten."""
    D, K, zero, size = X.shape[1], weights.shape[0], X.dtype.type(0), X.itemsize
    rows, vectors = dot_tile_shape(zero)
    i = 0
    while i < count:
        whole = i + rows <= count  # else one image in all rows of the tile, of which the first counts
        scores[i : i + rows] = zero
        if steps.size:
            for k in range(0, K, vectors):
                dot_tile(
                    zero, weights[k].ctypes.data, steps.ctypes.data, classes.ctypes.data,
                    X[first + i].ctypes.data, D if whole else 0, steps.ctypes.data, steps.size,
                    scores.ctypes.data + (i * K + k) * size, K,
                )  # fmt: skip
        i += rows if whole else 1
    for i in range(count):
        for d in range(steps.size * lanes, D):
            x = X[first + i, d]
            for k in range(K):
                scores[i, k] += x * weights[k, d]


@threads.serial
def _add_gradient(X, first, count, slopes, images, lanes, dW):
    """dW[k, d] += sum_i slopes[i, k] * X[first + i, d] for i < count."""
    K, D = dW.shape
    zero, size = X.dtype.type(0), X.itemsize
    width = outer_tile_vectors(zero) * lanes
    positions = np.arange(0, width, lanes)
    factors, tile, start = np.empty(count * K, X.dtype), np.empty(4 * width, X.dtype), np.zeros(4, X.dtype)
    for k in range(0, K, 4):
        rows = min(4, K - k)
        for i in range(count):
            for row in range(rows):
                factors[k * count + i * rows + row] = slopes[i, k + row]
    whole = D // width * width
    for d in range(0, whole, width):
        for k in range(0, K, 4):
            rows = min(4, K - k)
            outer_tile(
                rows, X.dtype.type(-np.inf), X[first].ctypes.data + d * size, positions.ctypes.data,
                images.ctypes.data, factors.ctypes.data + k * count * size, count,
                tile.ctypes.data, width, positions.ctypes.data, start.ctypes.data,
            )  # fmt: skip
            for row in range(rows):
                for j in range(width):
                    dW[U(k + row), U(d + j)] += tile[U(row * width + j)]
    for i in range(count):
        for k in range(K):
            slope = slopes[i, k]
            for d in range(U(whole), U(D)):
                dW[k, d] += slope * X[first + i, d]


@threads.parallel(grain=1)
def _finish(start, stop, W, parts, reg, dW, squares):
    """dW = the sum of the parts, and 2 * reg * W; the sum of W * W of each block of features."""
    D, K = W.shape
    strength = W.dtype.type(2 * reg)
    for block in range(start, stop):
        first, last = block * FEATURES, min((block + 1) * FEATURES, D)
        for k in range(K):
            total = np.zeros(last - first, W.dtype)
            for chunk in range(parts.shape[0]):
                part = parts[chunk, k, first:last]
                for d in range(total.size):
                    total[d] += part[d]
            for d in range(total.size):
                dW[U(first + d), U(k)] = total[d]
        square = 0.0
        if reg != 0:
            own, out = W[first:last].reshape(-1), dW[first:last].reshape(-1)
            for place in range(own.size):
                square += np.float64(own[place]) ** 2
                out[place] += strength * own[place]
        squares[block] = square

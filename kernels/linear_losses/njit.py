"""`linear_losses` in one pass over X, one block of images at a time while it is in the cache.

For each block: scores, on `dot_tile`s of images x classes; losses and gradients of the scores; and its part of dW, on
`outer_tile`s of classes x features. Both tiles use W and dW as (K, D), so that features are contiguous. Each chunk of
images has its own dW, and these are added in order; the number of chunks does not depend on the number of threads.
"""

import numpy as np

from ..cpu import threads
from ..cpu.simd import cpu_info
from ..cpu.simd.scores import softmax_row, svm_row
from ..cpu.simd.tiles import dot_tile, outer_tile

CHUNKS = 16  # maximum chunks of images
ROWS = 32  # images of a block: 393 KB for 3073 float32 features
STEPS = 16  # minimum vectors of features of a part of the packing
FEATURES = 256  # features that are transposed back to (D, K) at a time

U = np.uintp  # unsigned indices need no wrap-around of negative ones, so loops vectorise


def linear_svm_loss(W, X, y, reg):
    return _loss(W, X, y, reg, True)


def linear_softmax_loss(W, X, y, reg):
    return _loss(W, X, y, reg, False)


def _loss(W, X, y, reg, hinge):
    (N, D), K, dtype = X.shape, W.shape[1], W.dtype
    chunks = min(CHUNKS, -(-N // ROWS))
    dots, outer = cpu_info.dot_tile(K, dtype), cpu_info.outer_tile(K, ROWS, dtype)
    losses, parts, dW = np.empty(N), np.zeros((chunks, K, D), dtype), np.empty_like(W)
    tables = np.arange(0, D - dots.lanes + 1, dots.lanes), np.arange(ROWS) * D
    _over_chunks(chunks, _packed(W, *dots), W, X, y, hinge, *tables, dots.vectors, outer, losses, parts)
    penalties = np.empty(-(-D // FEATURES))
    _finish(penalties.size, W, parts, reg, dW, penalties)
    loss = losses.sum() / max(1, N) if hinge else losses.sum()
    return float(loss + (reg * penalties.sum() if reg else 0.0)), dW


def _packed(W, rows, vectors, lanes):
    """Pack the classes as rows of `dot_tile`: (tiles, D // lanes, rows, lanes), padded with zeros."""
    D, K = W.shape
    packed = np.empty((-(-K // rows), D // lanes, rows, lanes), W.dtype)
    _pack(packed.shape[1], W, packed)
    return packed


@threads.parallel(grain=STEPS)
def _pack(start, stop, W, packed):
    zero, K = W.dtype.type(0), W.shape[1]
    tiles, _, rows, lanes = packed.shape
    for tile in range(tiles):
        for step in range(start, stop):
            for row in range(rows):
                k = tile * rows + row
                for lane in range(lanes):
                    packed[tile, step, row, lane] = W[step * lanes + lane, k] if k < K else zero


@threads.parallel(grain=1)
def _over_chunks(start, stop, packed, W, X, y, hinge, steps, images, vectors, outer, losses, parts):
    N, chunks, K = len(X), parts.shape[0], parts.shape[1]
    scores = np.empty((ROWS, K), X.dtype)
    flat = scores.reshape(-1)
    for chunk in range(start, stop):
        last = (chunk + 1) * N // chunks
        for first in range(chunk * N // chunks, last, ROWS):
            count = min(ROWS, last - first)
            _score(X, first, count, packed, W, steps, vectors, scores)
            for i in range(count):
                n = first + i
                if hinge:
                    losses[n] = svm_row(flat, i * K, K, y[n], N, flat)
                else:
                    losses[n] = softmax_row(flat, i * K, K, y[n], N, 0.0, flat)
            _add_gradient(X, first, count, scores, images, outer, parts[chunk])


@threads.serial
def _score(X, first, count, packed, W, steps, vectors, scores):
    """scores[i, k] = sum_d X[first + i, d] * W[d, k] for i < count."""
    (D, K), zero, (tiles, length, rows, lanes) = W.shape, X.dtype.type(0), packed.shape
    tile, offsets = np.empty(vectors * rows, X.dtype), np.empty(vectors, np.int64)
    for i in range(0, count, vectors):
        for q in range(vectors):
            offsets[q] = min(i + q, count - 1) * D
        for block in range(tiles):
            tile[:] = zero
            if length:
                dot_tile(
                    rows, zero, X[first].ctypes.data, steps.ctypes.data, offsets.ctypes.data, packed[block].ctypes.data,
                    length, tile.ctypes.data,
                )  # fmt: skip
            for q in range(min(vectors, count - i)):
                for k in range(block * rows, min((block + 1) * rows, K)):
                    scores[i + q, k] = tile[q * rows + k - block * rows]
    for i in range(count):
        for d in range(length * lanes, D):
            for k in range(K):
                scores[i, k] += X[first + i, d] * W[d, k]


@threads.serial
def _add_gradient(X, first, count, slopes, images, outer, dW):
    """dW[k, d] += sum_i slopes[i, k] * X[first + i, d] for i < count."""
    (K, D), (rows, vectors, lanes) = dW.shape, outer
    size, width = X.itemsize, vectors * lanes
    blocks, whole = (K + rows - 1) // rows, D // width * width
    positions = np.arange(0, width, lanes)
    factors, tile = np.empty((blocks, count, rows), X.dtype), np.empty(rows * width, X.dtype)
    start = np.zeros(rows, X.dtype)
    for block in range(blocks):
        for i in range(count):
            for row in range(rows):
                factors[block, i, row] = slopes[i, min(block * rows, K - rows) + row]
    for d in range(0, whole, width):
        for block in range(blocks):
            k = min(block * rows, K - rows)
            outer_tile(
                rows, width // lanes, X.dtype.type(-np.inf), X[first].ctypes.data + d * size, positions.ctypes.data,
                images.ctypes.data, factors[block].ctypes.data, count, tile.ctypes.data, width,
                positions.ctypes.data, start.ctypes.data,
            )  # fmt: skip
            for row in range(block * rows - k, rows):  # the last block overlaps the previous one
                for j in range(width):
                    dW[U(k + row), U(d + j)] += tile[U(row * width + j)]
    for i in range(count):
        for k in range(K):
            slope = slopes[i, k]
            for d in range(U(whole), U(D)):
                dW[k, d] += slope * X[first + i, d]


@threads.parallel(grain=1)
def _finish(start, stop, W, parts, reg, dW, penalties):
    """dW = the sum of the parts + 2 * reg * W; also write the sum of W * W of each block of features."""
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
            for i in range(own.size):
                square += np.float64(own[i]) ** 2
                out[i] += strength * own[i]
        penalties[block] = square

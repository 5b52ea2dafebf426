"""Group norm, one image of x (N, C, S) and one group at a time, with ReLU fused.

A group is contiguous in memory. Sums are computed in blocks of 1024 elements in the dtype of the arrays, and the blocks
are added in float64. Statistics are those of x - center, where center is the mean rounded to that dtype. If S = 1
(layer norm), loops run over the channels of a group, else over the positions of a channel; if S is small, every
position is treated as a channel. dgamma and dbeta are summed over chunks of images, whose number does not depend on the
number of threads.
"""

import math

import numpy as np

from .. import threads
from . import norm_sums, norm_vectors

CHUNKS = 16  # maximum number of chunks of images, each with partial sums of dgamma and dbeta
CHUNK = 1 << 14  # minimum number of elements of a chunk
GRAIN = 1 << 13  # minimum number of elements of a part
POSITIONS = 32  # minimum length of a loop over the positions of a channel

U = np.uintp  # unsigned indices need no wrap-around of negative ones


def forward(x, gamma, beta, groups, epsilon, relu=False):
    """Normalise x (N, C, S), with ReLU if `relu`; return out, mean and var (N, groups)."""
    N, _, S = x.shape
    out, mean, var = np.empty_like(x), np.empty((N, groups), x.dtype), np.empty((N, groups), x.dtype)
    if 1 < S < POSITIONS:
        gamma, beta, S = np.repeat(gamma, S), np.repeat(beta, S), 1
    floor = x.dtype.type(0 if relu else -np.inf)
    rows = max(1, GRAIN // max(1, x[:1].size))
    _forward(-(-N // rows), rows, N, x.reshape(-1), gamma, beta, groups, S, epsilon, floor, out.reshape(-1), mean, var)
    return out, mean, var


def backward(dout, x, gamma, groups, mean, var, epsilon, relu=None):
    """Return dx, dgamma and dbeta; `relu` is the output of the ReLU after it, or None."""
    N, _, S = x.shape
    dx, mask = np.empty_like(x), dout[:0] if relu is None else relu
    factors, positions = (np.repeat(gamma, S), 1) if 1 < S < POSITIONS else (gamma, S)
    parts = np.zeros((min(CHUNKS, -(-x.size // CHUNK)), 2, factors.size))
    _backward(
        len(parts), N, dout.reshape(-1), mask.reshape(-1), x.reshape(-1), factors, groups, positions, mean, var,
        epsilon, dx.reshape(-1), parts,
    )  # fmt: skip
    dgamma, dbeta = np.empty_like(gamma), np.empty_like(gamma)
    _collect(parts, dgamma, dbeta)
    return dx, dgamma, dbeta


@threads.serial
def _collect(parts, dgamma, dbeta):
    """Add the chunks, and the positions of a channel that were treated as channels."""
    positions = parts.shape[2] // max(1, dgamma.size)
    for c in range(dgamma.size):
        slope, shift = 0.0, 0.0
        for chunk in range(parts.shape[0]):
            for i in range(U(c * positions), U((c + 1) * positions)):
                slope += parts[chunk, 0, i]
                shift += parts[chunk, 1, i]
        dgamma[c], dbeta[c] = slope, shift


@threads.parallel(grain=1)
def _forward(start, stop, rows, N, x, gamma, beta, groups, S, epsilon, floor, out, mean, var):
    dtype, zero, size = x.dtype.type, x.dtype.type(0), x.itemsize
    channels = gamma.size // groups
    length = channels * S
    for n in range(start * rows, min(stop * rows, N)):
        for g in range(groups):
            at = (n * groups + g) * length
            middle = dtype(norm_sums.total(x, at, length) / length)
            center = middle if np.isfinite(middle) else zero
            offset, square = norm_sums.moments(x, at, length, center)
            offset /= length
            variance = square / length - offset * offset
            variance = 0.0 if variance < 0.0 else variance
            mean[n, g], var[n, g] = dtype(np.float64(center) + offset), dtype(variance)
            inv = 1.0 / math.sqrt(variance + epsilon)
            first, last = g * channels, (g + 1) * channels
            if S == 1:
                norm_vectors.normalise_group(
                    zero, out.ctypes.data + at * size, x.ctypes.data + at * size, gamma.ctypes.data + first * size,
                    beta.ctypes.data + first * size, center, dtype(inv), dtype(-offset * inv), floor, channels,
                )  # fmt: skip
                continue
            for c in range(first, last):
                scale, offset_c = np.float64(gamma[c]) * inv, (n * gamma.size + c) * S * size
                norm_vectors.normalise_plane(
                    zero, out.ctypes.data + offset_c, x.ctypes.data + offset_c, center, dtype(scale),
                    dtype(np.float64(beta[c]) - offset * scale), floor, S,
                )  # fmt: skip


@threads.parallel(grain=1)
def _backward(start, stop, N, dout, mask, x, gamma, groups, S, mean, var, epsilon, dx, parts):
    dtype, zero, size = x.dtype.type, x.dtype.type(0), x.itemsize
    channels, chunks = gamma.size // groups, len(parts)
    length = channels * S
    relu = mask if mask.size else np.ones(channels if S == 1 else 0, x.dtype)
    for chunk in range(start, stop):
        sums = parts.ctypes.data + chunk * 2 * gamma.size * 8
        for n in range(chunk * N // chunks, (chunk + 1) * N // chunks):
            for g in range(groups):
                at, first, last = (n * groups + g) * length, g * channels, (g + 1) * channels
                center, inv = mean[n, g], 1.0 / math.sqrt(np.float64(var[n, g]) + epsilon)
                if S == 1:
                    total, product = norm_sums.weighted_products(dout, mask, x, at, center, gamma, first, last)
                    shift, slope = dtype(inv * total / length), dtype(inv * inv * inv * product / length)
                    passing = relu.ctypes.data + (at * size if mask.size else 0)
                    norm_vectors.write_group(
                        zero, dx.ctypes.data + at * size, dout.ctypes.data + at * size, passing,
                        x.ctypes.data + at * size, gamma.ctypes.data + first * size, sums + first * 8,
                        sums + (gamma.size + first) * 8, center, dtype(inv), shift, slope, channels,
                    )  # fmt: skip
                    continue
                total, product = 0.0, 0.0
                for c in range(first, last):
                    partial, products = norm_sums.products(dout, mask, x, (n * gamma.size + c) * S, S, center)
                    parts[chunk, 0, c] += products * inv
                    parts[chunk, 1, c] += partial
                    total += np.float64(gamma[c]) * partial
                    product += np.float64(gamma[c]) * products
                shift, slope = dtype(inv * total / length), dtype(inv * inv * inv * product / length)
                for c in range(first, last):
                    offset = (n * gamma.size + c) * S * size
                    scale = dtype(inv * np.float64(gamma[c]))
                    norm_vectors.write_plane(
                        zero, dx.ctypes.data + offset, dout.ctypes.data + offset, mask.ctypes.data + offset,
                        mask.size > 0, x.ctypes.data + offset, center, scale, shift, slope, S,
                    )  # fmt: skip

"""The engine of group norm: every image of x (N, C, S) in one visit, group after group, ReLU fused in.

A group is one run of memory. Its sums are those of blocks of 1024 elements in the dtype of the arrays, added in
float64; its statistics those of x - center, the center being the mean rounded to that dtype. Without positions (S = 1,
layer norm) loops run over the channels of a group, else over the positions of a channel; few positions count as
channels of their own. dgamma and dbeta are summed over chunks of images, as many whatever the number of threads.
"""

import math

import numpy as np

from .. import threads

CHUNKS = 16  # of images at most, each with its own partial sums of dgamma and dbeta
BLOCK = 1024  # elements summed in the dtype of the arrays
POSITIONS = 32  # from here on a channel is worth a loop of its own

U = np.uintp  # an unsigned index cannot be negative: no wrap-around is compiled in, and the loop vectorises


def forward(x, gamma, beta, groups, epsilon, relu=False):
    """x normalised, passed through ReLU if asked; mean and variance of each group."""
    N, _, S = x.shape
    out, mean, var = np.empty_like(x), np.empty((N, groups), x.dtype), np.empty((N, groups), x.dtype)
    if S < POSITIONS:
        gamma, beta, S = np.repeat(gamma, S), np.repeat(beta, S), 1
    floor = x.dtype.type(0 if relu else -np.inf)
    _forward(N, x.reshape(-1), gamma, beta, groups, S, epsilon, floor, out.reshape(-1), mean, var)
    return out, mean, var


def backward(dout, x, gamma, groups, mean, var, epsilon, relu=None):
    """dx, dgamma and dbeta; `relu` is the output of a ReLU that followed."""
    N, C, S = x.shape
    dx, mask = np.empty_like(x), dout[:0] if relu is None else relu
    factors, positions = (np.repeat(gamma, S), 1) if S < POSITIONS else (gamma, S)
    parts = np.zeros((min(N, CHUNKS), 2, factors.size))
    _backward(
        len(parts), N, dout.reshape(-1), mask.reshape(-1), x.reshape(-1), factors, groups, positions, mean, var,
        epsilon, dx.reshape(-1), parts,
    )  # fmt: skip
    dgamma, dbeta = parts.sum(axis=0).reshape(2, C, -1).sum(axis=2).astype(x.dtype)
    return dx, dgamma, dbeta


@threads.parallel(grain=1)
def _forward(start, stop, x, gamma, beta, groups, S, epsilon, floor, out, mean, var):
    dtype = x.dtype.type
    channels = gamma.size // groups
    length = channels * S
    for n in range(start, stop):
        for g in range(groups):
            at = (n * groups + g) * length
            middle = dtype(_sum(x, at, length) / length)
            center = middle if np.isfinite(middle) else dtype(0)
            offset, square = _moments(x, at, length, center)
            offset /= length
            variance = square / length - offset * offset
            variance = 0.0 if variance < 0.0 else variance
            mean[n, g], var[n, g] = dtype(np.float64(center) + offset), dtype(variance)
            inv = 1.0 / math.sqrt(variance + epsilon)
            first, last = g * channels, (g + 1) * channels
            if S == 1:
                _normalise_row(
                    x, at, center, dtype(inv), dtype(-offset * inv), gamma[first:last], beta[first:last], floor, out
                )
                continue
            for c in range(first, last):
                scale = np.float64(gamma[c]) * inv
                shift = dtype(np.float64(beta[c]) - offset * scale)
                _normalise_plane(x, (n * gamma.size + c) * S, S, center, dtype(scale), shift, floor, out)


@threads.serial
def _sum(x, at, length):
    total = 0.0
    for start in range(at, at + length, BLOCK):
        partial = x.dtype.type(0)
        for i in range(U(start), U(min(start + BLOCK, at + length))):
            partial += x[i]
        total += np.float64(partial)
    return total


@threads.serial
def _moments(x, at, length, center):
    """The sums of x - center and of its square."""
    total, squares = 0.0, 0.0
    for start in range(at, at + length, BLOCK):
        partial, square = x.dtype.type(0), x.dtype.type(0)
        for i in range(U(start), U(min(start + BLOCK, at + length))):
            deviation = x[i] - center
            partial += deviation
            square += deviation * deviation
        total += np.float64(partial)
        squares += np.float64(square)
    return total, squares


@threads.serial
def _normalise_row(x, at, center, inv, offset, gamma, beta, floor, out):
    source, row = x[at : at + gamma.size], out[at : at + gamma.size]
    for j in range(row.size):
        value = ((source[j] - center) * inv + offset) * gamma[j] + beta[j]
        row[j] = floor if value <= floor else value


@threads.serial
def _normalise_plane(x, at, S, center, scale, shift, floor, out):
    for i in range(U(at), U(at + S)):
        value = (x[i] - center) * scale + shift
        out[i] = floor if value <= floor else value


@threads.parallel(grain=1)
def _backward(start, stop, N, dout, mask, x, gamma, groups, S, mean, var, epsilon, dx, parts):
    dtype, zero = x.dtype.type, x.dtype.type(0)
    channels, chunks = gamma.size // groups, len(parts)
    length = channels * S
    for chunk in range(start, stop):
        for n in range(chunk * N // chunks, (chunk + 1) * N // chunks):
            for g in range(groups):
                at, first, last = (n * groups + g) * length, g * channels, (g + 1) * channels
                if mask.size:
                    for i in range(U(at), U(at + length)):
                        dx[i] = dout[i] if mask[i] > zero else zero
                else:
                    dx[at : at + length] = dout[at : at + length]
                center, inv = mean[n, g], 1.0 / math.sqrt(np.float64(var[n, g]) + epsilon)
                total, product = 0.0, 0.0
                if S == 1:
                    total, product = _row_products(dx, x, at, center, gamma[first:last])
                    _add_row(dx, x, at, center, inv, parts[chunk, 0, first:last], parts[chunk, 1, first:last])
                else:
                    for c in range(first, last):
                        partial, products = _plane_products(dx, x, (n * gamma.size + c) * S, S, center)
                        parts[chunk, 0, c] += products * inv
                        parts[chunk, 1, c] += partial
                        total += np.float64(gamma[c]) * partial
                        product += np.float64(gamma[c]) * products
                shift, slope = dtype(inv * total / length), dtype(inv * inv * inv * product / length)
                if S == 1:
                    _write_row(x, at, center, dtype(inv), gamma[first:last], shift, slope, dx)
                    continue
                for c in range(first, last):
                    scale = dtype(inv * np.float64(gamma[c]))
                    _write_plane(x, (n * gamma.size + c) * S, S, center, scale, shift, slope, dx)


@threads.serial
def _row_products(g, x, at, center, gamma):
    """The sums of g * gamma and of g * gamma * (x - center)."""
    total, products = 0.0, 0.0
    gradients, row = g[at : at + gamma.size], x[at : at + gamma.size]
    for block in range(0, gamma.size, BLOCK):
        partial, product = x.dtype.type(0), x.dtype.type(0)
        for j in range(U(block), U(min(block + BLOCK, gamma.size))):
            value = gradients[j] * gamma[j]
            partial += value
            product += value * (row[j] - center)
        total += np.float64(partial)
        products += np.float64(product)
    return total, products


@threads.serial
def _add_row(g, x, at, center, inv, dgamma, dbeta):
    gradients, row = g[at : at + dgamma.size], x[at : at + dgamma.size]
    for j in range(dgamma.size):
        gradient = np.float64(gradients[j])
        dgamma[j] += gradient * (np.float64(row[j] - center) * inv)
        dbeta[j] += gradient


@threads.serial
def _plane_products(g, x, at, S, center):
    """The sums of g and of g * (x - center)."""
    total, products = 0.0, 0.0
    for block in range(at, at + S, BLOCK):
        partial, product = x.dtype.type(0), x.dtype.type(0)
        for i in range(U(block), U(min(block + BLOCK, at + S))):
            partial += g[i]
            product += g[i] * (x[i] - center)
        total += np.float64(partial)
        products += np.float64(product)
    return total, products


@threads.serial
def _write_row(x, at, center, inv, gamma, shift, slope, dx):
    source, row = x[at : at + gamma.size], dx[at : at + gamma.size]
    for j in range(row.size):
        row[j] = inv * gamma[j] * row[j] - (shift + slope * (source[j] - center))


@threads.serial
def _write_plane(x, at, S, center, scale, shift, slope, dx):
    for i in range(U(at), U(at + S)):
        dx[i] = scale * dx[i] - (shift + slope * (x[i] - center))

"""Batch and group normalization on a GPU: statistics are block reductions (see `reduce`), outputs one per thread.

x is (N, C, S). The statistics of channel c of image n are at index n * step + c // size. For batch norm, with one
statistic for each channel, step is 0 and size 1; for group norm, step is the number of groups and size the channels of
a group.

Everything is computed in float64. 1 / sqrt(var + epsilon) is computed once for each statistic, so that no element needs
a division. ReLU is fused into the normalization and its gradient.
"""

import math

import numpy as np
from numba import float64

from .launch import cuda, device, kernel, split
from .memory import xp
from .reduce import block_sum, is_first, kernel_of_sums, narrowed, own_part, own_share, position, stride, sums


def batch_forward(x, gamma, beta, epsilon, relu=False):
    """Return out, with ReLU if `relu`, mean and var."""
    mean, var = batch_statistics(x)
    out = given_forward(x, gamma, beta, mean, var, epsilon, relu)
    return out, narrowed(mean, x.dtype), narrowed(var, x.dtype)


def batch_statistics(x):
    """Return mean and biased variance of each channel, in float64."""
    mean, var = xp.empty(x.shape[1]), xp.empty(x.shape[1])
    sums(_statistics, x.shape, (x,), (mean, var), add=_join_parts)
    return mean, var


def given_forward(x, gamma, beta, mean, var, epsilon, relu=False):
    """Return x normalized by given statistics, with ReLU if `relu`."""
    (_, C, S), out, inv = x.shape, xp.empty_like(x), per_deviation(var, epsilon)
    _normalize(out.size, out.size, C, S, 0, 1, x, gamma, beta, mean, inv, _floor(x.dtype, relu), out)
    return out


def graph_backward(dout, x, gamma, mean, var, epsilon):
    """Return dx, dgamma, dbeta of `batch_forward`, by its graph mean -> deviation -> var -> inv -> xhat -> out."""
    (N, C, S), dx, inv = x.shape, xp.empty_like(x), per_deviation(var, epsilon)
    dgamma, dbeta = _parameter_sums(dout, None, x, mean, inv, 0, 1)
    deviations, dmean, dvar = xp.empty(C), xp.empty(C), xp.empty(C)
    sums(_deviations, x.shape, (x, mean), (deviations,))
    _graph_statistics(C, C, _share(N * S), gamma, inv, dgamma, dbeta, deviations, dmean, dvar)
    _graph_dx(dx.size, dx.size, C, S, _share(N * S), dout, x, gamma, mean, inv, dmean, dvar, dx)
    return dx, narrowed(dgamma, x.dtype), narrowed(dbeta, x.dtype)


def batch_backward(dout, x, gamma, mean, var, epsilon, relu=None):
    """Return dx, dgamma and dbeta of `batch_forward`, in closed form. relu: its output, if it applied ReLU."""
    (N, C, S), dx, inv = x.shape, xp.empty_like(x), per_deviation(var, epsilon)
    dgamma, dbeta = _parameter_sums(dout, relu, x, mean, inv, 0, 1)
    given = *_gate(dout, relu), x, gamma, mean, inv, dgamma, dbeta
    _closed_dx(dx.size, dx.size, C, S, _share(N * S), *given, dx)
    return dx, narrowed(dgamma, x.dtype), narrowed(dbeta, x.dtype)


def given_backward(dout, x, gamma, mean, var, epsilon, relu=None):
    """Return dx, dgamma and dbeta of `given_forward`."""
    (_, C, S), dx, inv = x.shape, xp.empty_like(x), per_deviation(var, epsilon)
    _given_dx(dx.size, dx.size, C, S, *_gate(dout, relu), gamma, inv, dx)
    dgamma, dbeta = _parameter_sums(dout, relu, x, mean, inv, 0, 1)
    return dx, narrowed(dgamma, x.dtype), narrowed(dbeta, x.dtype)


def group_forward(x, gamma, beta, groups, epsilon, relu=False):
    """Return out, with ReLU if `relu`, and mean and var of groups of adjacent channels."""
    (N, C, S), out, size = x.shape, xp.empty_like(x), x.shape[1] // groups
    mean, var = xp.empty((N, groups)), xp.empty((N, groups))
    sums(_statistics, (1, N * groups, size * S), (x,), (mean, var), add=_join_parts)
    inv = per_deviation(var, epsilon)
    _normalize(out.size, out.size, C, S, groups, size, x, gamma, beta, mean, inv, _floor(x.dtype, relu), out)
    return out, narrowed(mean, x.dtype), narrowed(var, x.dtype)


def group_backward(dout, x, gamma, groups, mean, var, epsilon, relu=None):
    """Return dx, dgamma and dbeta of `group_forward`. relu: its output, if it applied ReLU."""
    (N, C, S), dx, size, inv = x.shape, xp.empty_like(x), x.shape[1] // groups, per_deviation(var, epsilon)
    totals, products = xp.empty((N, groups)), xp.empty((N, groups))
    given = *_gate(dout, relu), x, gamma, mean, inv
    sums(_group_sums, (1, N * groups, size * S), (groups, size, S, *given), (totals, products))
    _group_dx(dx.size, dx.size, C, S, groups, size, _share(size * S), *given, totals, products, dx)
    dgamma, dbeta = _parameter_sums(dout, relu, x, mean, inv, groups, size)
    return dx, narrowed(dgamma, x.dtype), narrowed(dbeta, x.dtype)


def per_deviation(var, epsilon):
    """Return 1 / sqrt(var + epsilon), in float64."""
    inv = xp.empty(var.shape)
    _per_deviation(inv.size, inv.size, var, np.float64(epsilon), inv)
    return inv


def _parameter_sums(dout, relu, x, mean, inv, step, size):
    """Return dgamma and dbeta, in float64."""
    dgamma, dbeta = xp.empty(x.shape[1]), xp.empty(x.shape[1])
    sums(_parameter_gradients, x.shape, (step, size, *_gate(dout, relu), x, mean, inv), (dgamma, dbeta))
    return dgamma, dbeta


def _join_parts(parts, chunk, length, means, variances, mean, var):
    _join(mean.size, mean.size, parts, chunk, length, means, variances, mean, var)


def _gate(dout, relu):
    """Return kernel arguments: the gradient, the output of the ReLU, and whether there is one."""
    return (dout, dout, 0) if relu is None else (dout, relu, 1)


def _floor(dtype, relu):
    return dtype.type(0 if relu else -np.inf)


def _share(count):
    return np.float64(1 / max(1, count))


@device
def positions(i, C, S, step, size):
    """Return the channel of element i of x, and the index of its statistics."""
    n, c = split(split(i, S)[0], C)
    return c, n * step + split(c, size)[0]


@device
def _gradient(i, dout, out, gated):
    """Return dout[i], or 0 where the ReLU's output is not positive."""
    return float64(dout[i]) if not gated or out[i] > 0 else 0.0


@kernel
def _per_deviation(count, var, epsilon, inv):
    """inv = 1 / sqrt(var + epsilon)"""
    i = cuda.grid(1)
    if i < count:
        inv[i] = 1.0 / math.sqrt(float64(var[i]) + epsilon)


@kernel_of_sums
def _statistics(wide, parts, chunk, N, C, S, x, mean, var):
    """Mean and biased variance of x[n, c, s] over n and s: of each part, from deviations from its mean."""
    c, first, end = own_share(wide, parts, chunk, N, C, S)
    part = own_part(parts)
    share = 1.0 / (min((part + 1) * chunk, N * S) - part * chunk)
    total, i = 0.0, first
    while i < end:
        total += float64(x[position(i, c, C, S)])
        i += stride(wide)
    center = block_sum(total, wide) * share
    total, i = 0.0, first
    while i < end:
        deviation = float64(x[position(i, c, C, S)]) - center
        total += deviation * deviation
        i += stride(wide)
    total = block_sum(total, wide) * share
    if is_first(wide) and c < C:
        mean[part * C + c] = center
        var[part * C + c] = total


@kernel
def _join(C, parts, chunk, length, means, variances, mean, var):
    """mean = sum_p share[p] * means[p],    var = sum_p share[p] * (variances[p] + (means[p] - mean)**2)"""
    c = cuda.grid(1)
    if c < C:
        center, total = 0.0, 0.0
        for part in range(parts):
            center += means[part * C + c] * min(chunk, length - part * chunk)
        center /= length
        for part in range(parts):
            deviation = means[part * C + c] - center
            total += (variances[part * C + c] + deviation * deviation) * min(chunk, length - part * chunk)
        mean[c] = center
        var[c] = total / length


@kernel
def _normalize(count, C, S, step, size, x, gamma, beta, mean, inv, floor, out):
    """out[n, c, s] = gamma[c] * (x[n, c, s] - mean) * inv + beta[c], but at least floor"""
    i = cuda.grid(1)
    if i < count:
        c, at = positions(i, C, S, step, size)
        value = gamma[c] * ((float64(x[i]) - mean[at]) * inv[at]) + beta[c]
        out[i] = floor if value < floor else value


@kernel_of_sums
def _parameter_gradients(wide, parts, chunk, N, C, S, step, size, dout, relu, gated, x, mean, inv, dgamma, dbeta):
    """dgamma[c] = sum_{n, s} dout[n, c, s] * xhat[n, c, s],    dbeta[c] = sum_{n, s} dout[n, c, s]"""
    c, i, end = own_share(wide, parts, chunk, N, C, S)
    group = split(c, size)[0]
    product, total = 0.0, 0.0
    while i < end:
        n, s = split(i, S)
        at, here = n * step + group, (n * C + c) * S + s
        gradient = _gradient(here, dout, relu, gated)
        product += gradient * ((float64(x[here]) - mean[at]) * inv[at])
        total += gradient
        i += stride(wide)
    product, total = block_sum(product, wide), block_sum(total, wide)
    if is_first(wide) and c < C:
        dgamma[own_part(parts) * C + c] = product
        dbeta[own_part(parts) * C + c] = total


@kernel_of_sums
def _deviations(wide, parts, chunk, N, C, S, x, mean, out):
    """out[c] = sum_{n, s} x[n, c, s] - mean[c], which is 0 except for rounding"""
    c, i, end = own_share(wide, parts, chunk, N, C, S)
    total = 0.0
    while i < end:
        total += float64(x[position(i, c, C, S)]) - mean[c]
        i += stride(wide)
    total = block_sum(total, wide)
    if is_first(wide) and c < C:
        out[own_part(parts) * C + c] = total


@kernel
def _graph_statistics(C, share, gamma, inv, dgamma, dbeta, deviations, dmean, dvar):
    """dinv = sum dout * gamma * deviation,    dvar = -dinv/2 * inv**3,    dmean = -sum of ddeviation"""
    c = cuda.grid(1)
    if c < C:
        dvar[c] = dgamma[c] * gamma[c] * -0.5 * inv[c] * inv[c]  # dgamma = sum dout * deviation * inv
        dmean[c] = -(gamma[c] * inv[c] * dbeta[c] + dvar[c] * 2 * share * deviations[c])


@kernel
def _graph_dx(count, C, S, share, dout, x, gamma, mean, inv, dmean, dvar, dx):
    """dx = dout * gamma[c] * inv[c] + dvar[c] * 2/M * (x - mean[c]) + dmean[c] / M, where share = 1/M"""
    i = cuda.grid(1)
    if i < count:
        c = split(split(i, S)[0], C)[1]
        direct = float64(dout[i]) * gamma[c] * inv[c]
        dx[i] = direct + dvar[c] * 2 * share * (float64(x[i]) - mean[c]) + dmean[c] * share


@kernel
def _closed_dx(count, C, S, share, dout, relu, gated, x, gamma, mean, inv, dgamma, dbeta, dx):
    """dx = gamma[c] * inv[c] * (dout - (dbeta[c] + xhat * dgamma[c]) / M), where share = 1/M"""
    i = cuda.grid(1)
    if i < count:
        c = split(split(i, S)[0], C)[1]
        xhat = (float64(x[i]) - mean[c]) * inv[c]
        gradient = _gradient(i, dout, relu, gated)
        dx[i] = gamma[c] * inv[c] * (gradient - (dbeta[c] + xhat * dgamma[c]) * share)


@kernel
def _given_dx(count, C, S, dout, relu, gated, gamma, inv, dx):
    """dx = dout * gamma[c] * inv[c]"""
    i = cuda.grid(1)
    if i < count:
        c = split(split(i, S)[0], C)[1]
        dx[i] = _gradient(i, dout, relu, gated) * gamma[c] * inv[c]


@kernel_of_sums
def _group_sums(
    wide, parts, chunk, N, C, S, groups, size, length, dout, relu, gated, x, gamma, mean, inv, totals, products
):
    """The sums of dxhat = dout * gamma[c] and of dxhat * xhat over each group; length: elements of a channel."""
    group, i, end = own_share(wide, parts, chunk, N, C, S)
    channel = split(group, groups)[1] * size
    total, product = 0.0, 0.0
    while i < end:
        here = group * S + i
        dxhat = _gradient(here, dout, relu, gated) * gamma[channel + split(i, length)[0]]
        total += dxhat
        product += dxhat * ((float64(x[here]) - mean[group]) * inv[group])
        i += stride(wide)
    total, product = block_sum(total, wide), block_sum(product, wide)
    if is_first(wide) and group < C:
        totals[own_part(parts) * C + group] = total
        products[own_part(parts) * C + group] = product


@kernel
def _group_dx(count, C, S, groups, size, share, dout, relu, gated, x, gamma, mean, inv, totals, products, dx):
    """dx = inv * (dxhat - mean of dxhat - xhat * mean of dxhat * xhat)"""
    i = cuda.grid(1)
    if i < count:
        c, at = positions(i, C, S, groups, size)
        xhat = (float64(x[i]) - mean[at]) * inv[at]
        dxhat = _gradient(i, dout, relu, gated) * gamma[c]
        dx[i] = inv[at] * (dxhat - totals[at] * share - xhat * (products[at] * share))

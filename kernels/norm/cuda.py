"""`norm` on a GPU, plainly: a thread walks all that shares its statistics; then each thread computes one output.

x is (N, C, S). The statistics of channel c of image n are at place n * step + c // size: those of batch norm, one for
each channel, with step 0 and size 1; those of groups of `size` channels with as many steps as an image has groups.
"""

import math

import numpy as np
from numba import cuda, float64

from ..gpu.launch import device, kernel, split
from ..gpu.memory import on_device, xp


@on_device
def batchnorm_forward(x, gamma, beta, epsilon):
    (N, C, S), out, mean, var = x.shape, xp.empty_like(x), xp.empty(x.shape[1]), xp.empty(x.shape[1])
    _statistics(C, C, N, C * S, S, x, mean, var)
    _normalise(out.size, out.size, C, S, 0, 1, x, gamma, beta, mean, var, np.float64(epsilon), out)
    return out, _narrowed(mean, x.dtype), _narrowed(var, x.dtype)


@on_device
def batchnorm_inference(x, gamma, beta, mean, var, epsilon):
    (_, C, S), out = x.shape, xp.empty_like(x)
    _normalise(out.size, out.size, C, S, 0, 1, x, gamma, beta, mean, var, np.float64(epsilon), out)
    return out


@on_device
def batchnorm_backward(dout, x, gamma, mean, var, epsilon):
    (N, C, S), dx, dmean, dvar = x.shape, xp.empty_like(x), xp.empty(x.shape[1]), xp.empty(x.shape[1])
    statistics = mean, var, np.float64(epsilon)
    _statistics_gradients(C, C, N, S, dout, x, gamma, *statistics, dmean, dvar)
    _graph_dx(dx.size, dx.size, C, S, N * S, dout, x, gamma, *statistics, dmean, dvar, dx)
    dgamma, dbeta = _sums(dout, x, *statistics, 0, 1)
    return dx, _narrowed(dgamma, x.dtype), _narrowed(dbeta, x.dtype)


@on_device
def batchnorm_backward_alt(dout, x, gamma, mean, var, epsilon):
    (N, C, S), dx = x.shape, xp.empty_like(x)
    statistics = mean, var, np.float64(epsilon)
    dgamma, dbeta = _sums(dout, x, *statistics, 0, 1)
    _closed_dx(dx.size, dx.size, C, S, N * S, dout, x, gamma, *statistics, dgamma, dbeta, dx)
    return dx, _narrowed(dgamma, x.dtype), _narrowed(dbeta, x.dtype)


@on_device
def batchnorm_inference_backward(dout, x, gamma, mean, var, epsilon):
    (_, C, S), dx, epsilon = x.shape, xp.empty_like(x), np.float64(epsilon)
    _frozen_dx(dx.size, dx.size, C, S, dout, gamma, var, epsilon, dx)
    dgamma, dbeta = _sums(dout, x, mean, var, epsilon, 0, 1)
    return dx, _narrowed(dgamma, x.dtype), _narrowed(dbeta, x.dtype)


@on_device
def groupnorm_forward(x, gamma, beta, groups, epsilon):
    (N, C, S), out, size = x.shape, xp.empty_like(x), x.shape[1] // groups
    mean, var = xp.empty((N, groups)), xp.empty((N, groups))
    _statistics(mean.size, mean.size, 1, 0, size * S, x, mean, var)
    _normalise(out.size, out.size, C, S, groups, size, x, gamma, beta, mean, var, np.float64(epsilon), out)
    return out, _narrowed(mean, x.dtype), _narrowed(var, x.dtype)


@on_device
def groupnorm_backward(dout, x, gamma, groups, mean, var, epsilon):
    (N, C, S), dx, size = x.shape, xp.empty_like(x), x.shape[1] // groups
    statistics = mean, var, np.float64(epsilon)
    means, products = xp.empty((N, groups)), xp.empty((N, groups))
    _group_means(means.size, means.size, groups, size, S, dout, x, gamma, *statistics, means, products)
    _group_dx(dx.size, dx.size, C, S, groups, size, dout, x, gamma, *statistics, means, products, dx)
    dgamma, dbeta = _sums(dout, x, *statistics, groups, size)
    return dx, _narrowed(dgamma, x.dtype), _narrowed(dbeta, x.dtype)


def _sums(dout, x, mean, var, epsilon, step, size):
    """dgamma and dbeta, in float64."""
    (N, C, S), dgamma, dbeta = x.shape, xp.empty(x.shape[1]), xp.empty(x.shape[1])
    _parameter_gradients(C, C, N, S, step, size, dout, x, mean, var, epsilon, dgamma, dbeta)
    return dgamma, dbeta


def _narrowed(values, dtype):
    """Numbers in float64 as those of the inputs' dtype."""
    out = xp.empty(values.shape, dtype)
    _convert(out.size, out.size, values, out)
    return out


@device
def _per_deviation(var, epsilon):
    """1 / sqrt(var + epsilon)"""
    return 1.0 / math.sqrt(float64(var) + epsilon)


@device
def _places(i, C, S, step, size):
    """The channel of element i of x, and the place of its statistics."""
    n, c = split(split(i, S)[0], C)
    return c, n * step + split(c, size)[0]


@kernel
def _convert(count, values, out):
    i = cuda.grid(1)
    if i < count:
        out[i] = values[i]


@kernel
def _statistics(count, rows, step, length, x, mean, var):
    """Mean and biased variance of x[i * length + row * step + j] over row and j."""
    i = cuda.grid(1)
    if i < count:
        total = 0.0
        for row in range(rows):
            first = i * length + row * step
            for j in range(first, first + length):
                total += float64(x[j])
        center = total / (rows * length)
        squares = 0.0
        for row in range(rows):
            first = i * length + row * step
            for j in range(first, first + length):
                deviation = float64(x[j]) - center
                squares += deviation * deviation
        mean[i] = center
        var[i] = squares / (rows * length)


@kernel
def _normalise(count, C, S, step, size, x, gamma, beta, mean, var, epsilon, out):
    """out[n, c, s] = gamma[c] * (x[n, c, s] - mean) / sqrt(var + epsilon) + beta[c]"""
    i = cuda.grid(1)
    if i < count:
        c, place = _places(i, C, S, step, size)
        xhat = (float64(x[i]) - mean[place]) * _per_deviation(var[place], epsilon)
        out[i] = gamma[c] * xhat + beta[c]


@kernel
def _parameter_gradients(C, N, S, step, size, dout, x, mean, var, epsilon, dgamma, dbeta):
    """dgamma[c] = sum_{n, s} dout[n, c, s] * xhat[n, c, s],    dbeta[c] = sum_{n, s} dout[n, c, s]"""
    c = cuda.grid(1)
    if c < C:
        product, total, group = 0.0, 0.0, split(c, size)[0]
        for n in range(N):
            place = n * step + group
            inv = _per_deviation(var[place], epsilon)
            first = (n * C + c) * S
            for i in range(first, first + S):
                product += float64(dout[i]) * ((float64(x[i]) - mean[place]) * inv)
                total += float64(dout[i])
        dgamma[c] = product
        dbeta[c] = total


@kernel
def _statistics_gradients(C, N, S, dout, x, gamma, mean, var, epsilon, dmean, dvar):
    """dvar[c] and dmean[c], through the graph: mean -> deviation -> var -> inv -> xhat -> out."""
    c = cuda.grid(1)
    if c < C:
        inv, dinv = _per_deviation(var[c], epsilon), 0.0
        for n in range(N):
            first = (n * C + c) * S
            for i in range(first, first + S):
                dinv += float64(dout[i]) * gamma[c] * (float64(x[i]) - mean[c])
        dvar[c] = dinv * -0.5 * inv * inv * inv
        total = 0.0
        for n in range(N):
            first = (n * C + c) * S
            for i in range(first, first + S):
                deviation = float64(x[i]) - mean[c]
                total += float64(dout[i]) * gamma[c] * inv + dvar[c] * 2 / (N * S) * deviation
        dmean[c] = -total


@kernel
def _graph_dx(count, C, S, M, dout, x, gamma, mean, var, epsilon, dmean, dvar, dx):
    """dx = dout * gamma[c] / sqrt(var[c] + epsilon) + dvar[c] * 2/M * (x - mean[c]) + dmean[c] / M"""
    i = cuda.grid(1)
    if i < count:
        c = split(split(i, S)[0], C)[1]
        direct = float64(dout[i]) * gamma[c] * _per_deviation(var[c], epsilon)
        dx[i] = direct + dvar[c] * 2 / M * (float64(x[i]) - mean[c]) + dmean[c] / M


@kernel
def _closed_dx(count, C, S, M, dout, x, gamma, mean, var, epsilon, dgamma, dbeta, dx):
    """dx = gamma[c] / sqrt(var[c] + epsilon) * (dout - (dbeta[c] + xhat * dgamma[c]) / M)"""
    i = cuda.grid(1)
    if i < count:
        c = split(split(i, S)[0], C)[1]
        inv = _per_deviation(var[c], epsilon)
        xhat = (float64(x[i]) - mean[c]) * inv
        dx[i] = gamma[c] * inv * (dout[i] - (dbeta[c] + xhat * dgamma[c]) / M)


@kernel
def _frozen_dx(count, C, S, dout, gamma, var, epsilon, dx):
    """dx = dout * gamma[c] / sqrt(var[c] + epsilon)"""
    i = cuda.grid(1)
    if i < count:
        c = split(split(i, S)[0], C)[1]
        dx[i] = float64(dout[i]) * gamma[c] * _per_deviation(var[c], epsilon)


@kernel
def _group_means(count, groups, size, S, dout, x, gamma, mean, var, epsilon, means, products):
    """The means of dxhat and of dxhat * xhat over each group, with dxhat = dout * gamma[c]."""
    place = cuda.grid(1)
    if place < count:
        inv = _per_deviation(var[place], epsilon)
        channel = split(place, groups)[1] * size
        total, product = 0.0, 0.0
        for k in range(size):
            first = (place * size + k) * S
            for i in range(first, first + S):
                dxhat = float64(dout[i]) * gamma[channel + k]
                total += dxhat
                product += dxhat * ((float64(x[i]) - mean[place]) * inv)
        means[place] = total / (size * S)
        products[place] = product / (size * S)


@kernel
def _group_dx(count, C, S, groups, size, dout, x, gamma, mean, var, epsilon, means, products, dx):
    """dx = 1/sqrt(var + epsilon) * (dxhat - mean of dxhat - xhat * mean of dxhat * xhat)"""
    i = cuda.grid(1)
    if i < count:
        c, place = _places(i, C, S, groups, size)
        inv = _per_deviation(var[place], epsilon)
        xhat = (float64(x[i]) - mean[place]) * inv
        dx[i] = inv * (float64(dout[i]) * gamma[c] - means[place] - xhat * products[place])

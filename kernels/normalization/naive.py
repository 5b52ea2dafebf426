"""The specification of `normalization`: channel by channel, or group by group, in Python floats. x is (N, C, S)."""

import math

import numpy as np


def _statistics(values):
    """Return mean and biased variance."""
    mean = sum(values) / len(values)
    return mean, sum((value - mean) * (value - mean) for value in values) / len(values)


def _per_deviation(var, epsilon):
    """Return 1 / sqrt(var + epsilon)."""
    return 1 / math.sqrt(var + epsilon)


def batchnorm_forward(x, gamma, beta, epsilon):
    C = x.shape[1]
    mean, var = np.empty(C, x.dtype), np.empty(C, x.dtype)
    out = np.empty_like(x)
    for c in range(C):
        mean_c, var_c = _statistics(x[:, c].ravel().tolist())
        out[:, c] = _normalised(x[:, c], mean_c, var_c, epsilon, float(gamma[c]), float(beta[c]))
        mean[c], var[c] = mean_c, var_c
    return out, mean, var


def batchnorm_inference(x, gamma, beta, mean, var, epsilon):
    out = np.empty_like(x)
    for c, (mean_c, var_c) in enumerate(zip(mean.tolist(), var.tolist(), strict=True)):
        out[:, c] = _normalised(x[:, c], mean_c, var_c, epsilon, float(gamma[c]), float(beta[c]))
    return out


def _normalised(x, mean, var, epsilon, gamma, beta):
    inv = _per_deviation(var, epsilon)
    out = np.empty_like(x)
    for i in np.ndindex(x.shape):
        out[i] = gamma * ((float(x[i]) - mean) * inv) + beta
    return out


def batchnorm_backward(dout, x, gamma, mean, var, epsilon):
    N, C, S = x.shape
    dx, dgamma, dbeta = np.empty_like(x), np.empty_like(gamma), np.empty_like(gamma)
    elements = [(n, s) for n in range(N) for s in range(S)]
    M = len(elements)
    for c in range(C):
        # forward pass again: mean -> deviation -> var -> inv -> xhat -> out
        inv = _per_deviation(float(var[c]), epsilon)
        deviation = {(n, s): float(x[n, c, s]) - float(mean[c]) for n, s in elements}
        xhat = {i: deviation[i] * inv for i in elements}
        # out = gamma * xhat + beta
        gradient = {(n, s): float(dout[n, c, s]) for n, s in elements}
        dbeta[c] = sum(gradient.values())
        dgamma[c] = sum(gradient[i] * xhat[i] for i in elements)
        dxhat = {i: gradient[i] * float(gamma[c]) for i in elements}
        # xhat = deviation * inv
        dinv = sum(dxhat[i] * deviation[i] for i in elements)
        ddeviation = {i: dxhat[i] * inv for i in elements}
        # inv = (var + epsilon)**(-1/2)
        dvar = dinv * -0.5 * inv * inv * inv
        # var = 1/M sum deviation**2
        for i in elements:
            ddeviation[i] += dvar * 2 / M * deviation[i]
        # deviation = x - mean
        dmean = -sum(ddeviation.values())
        # mean = 1/M sum x
        for n, s in elements:
            dx[n, c, s] = ddeviation[n, s] + dmean / M
    return dx, dgamma, dbeta


def batchnorm_backward_alt(dout, x, gamma, mean, var, epsilon):
    N, C, S = x.shape
    dx = np.empty_like(x)
    dgamma, dbeta = _parameter_gradients(dout, x, mean, var, epsilon)
    for c in range(C):
        inv = _per_deviation(float(var[c]), epsilon)
        for n in range(N):
            for s in range(S):
                xhat = (float(x[n, c, s]) - float(mean[c])) * inv
                dx[n, c, s] = float(gamma[c]) * inv * (dout[n, c, s] - (dbeta[c] + xhat * dgamma[c]) / (N * S))
    return dx, dgamma.astype(x.dtype), dbeta.astype(x.dtype)


def batchnorm_inference_backward(dout, x, gamma, mean, var, epsilon):
    dx = np.empty_like(x)
    dgamma, dbeta = _parameter_gradients(dout, x, mean, var, epsilon)
    for n, c, s in np.ndindex(x.shape):
        dx[n, c, s] = float(dout[n, c, s]) * float(gamma[c]) * _per_deviation(float(var[c]), epsilon)
    return dx, dgamma.astype(x.dtype), dbeta.astype(x.dtype)


def _parameter_gradients(dout, x, mean, var, epsilon):
    """Return dgamma and dbeta, in float64."""
    dgamma, dbeta = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for n, c, s in np.ndindex(x.shape):
        xhat = (float(x[n, c, s]) - float(mean[c])) * _per_deviation(float(var[c]), epsilon)
        dgamma[c] += float(dout[n, c, s]) * xhat
        dbeta[c] += float(dout[n, c, s])
    return dgamma, dbeta


def groupnorm_forward(x, gamma, beta, groups, epsilon):
    N, C, _ = x.shape
    size = C // groups
    mean, var = np.empty((N, groups), x.dtype), np.empty((N, groups), x.dtype)
    out = np.empty_like(x)
    for n in range(N):
        for g in range(groups):
            mean_g, var_g = _statistics(x[n, g * size : (g + 1) * size].ravel().tolist())
            for c in range(g * size, (g + 1) * size):
                out[n, c] = _normalised(x[n, c], mean_g, var_g, epsilon, float(gamma[c]), float(beta[c]))
            mean[n, g], var[n, g] = mean_g, var_g
    return out, mean, var


def groupnorm_backward(dout, x, gamma, groups, mean, var, epsilon):
    N, C, S = x.shape
    size = C // groups
    dx, dgamma, dbeta = np.empty_like(x), np.zeros(C), np.zeros(C)
    for n in range(N):
        for g in range(groups):
            inv = _per_deviation(float(var[n, g]), epsilon)
            elements = [(c, s) for c in range(g * size, (g + 1) * size) for s in range(S)]
            xhat = {(c, s): (float(x[n, c, s]) - float(mean[n, g])) * inv for c, s in elements}
            dxhat = {(c, s): float(dout[n, c, s]) * float(gamma[c]) for c, s in elements}
            M = len(elements)
            mean_dxhat = sum(dxhat.values()) / M
            mean_product = sum(dxhat[i] * xhat[i] for i in elements) / M
            for c, s in elements:
                dx[n, c, s] = inv * (dxhat[c, s] - mean_dxhat - xhat[c, s] * mean_product)
                dgamma[c] += float(dout[n, c, s]) * xhat[c, s]
                dbeta[c] += float(dout[n, c, s])
    return dx, dgamma.astype(x.dtype), dbeta.astype(x.dtype)


def instancenorm_forward(x, gamma, beta, epsilon):
    N, C, _ = x.shape
    mean, var, out = np.empty((N, C), x.dtype), np.empty((N, C), x.dtype), np.empty_like(x)
    for n in range(N):
        for c in range(C):
            mean_c, var_c = _statistics(x[n, c].tolist())
            out[n, c] = _normalised(x[n, c], mean_c, var_c, epsilon, float(gamma[c]), float(beta[c]))
            mean[n, c], var[n, c] = mean_c, var_c
    return out, mean, var


def instancenorm_backward(dout, x, gamma, mean, var, epsilon):
    N, C, S = x.shape
    dx, dgamma, dbeta = np.empty_like(x), np.zeros(C), np.zeros(C)
    for n in range(N):
        for c in range(C):
            inv = _per_deviation(float(var[n, c]), epsilon)
            xhat = [(float(x[n, c, s]) - float(mean[n, c])) * inv for s in range(S)]
            gradient = dout[n, c].tolist()
            products = [gradient[s] * xhat[s] for s in range(S)]
            for s in range(S):
                rest = gradient[s] - sum(gradient) / S - xhat[s] * sum(products) / S
                dx[n, c, s] = float(gamma[c]) * inv * rest
            dgamma[c] += sum(products)
            dbeta[c] += sum(gradient)
    return dx, dgamma.astype(x.dtype), dbeta.astype(x.dtype)

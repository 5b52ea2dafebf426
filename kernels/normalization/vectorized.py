"""`normalization` with NumPy: operations on whole float64 arrays. x is (N, C, S)."""

import numpy as np


def _per_deviation(var, epsilon):
    """Return 1 / sqrt(var + epsilon)."""
    return 1 / np.sqrt(np.add(var, epsilon, dtype=np.float64))


def _deviation(x, mean):
    return np.subtract(x, mean, dtype=np.float64)


def batchnorm_forward(x, gamma, beta, epsilon):
    mean = x.mean(axis=(0, 2), dtype=np.float64)
    deviation = _deviation(x, mean[:, None])
    var = np.square(deviation).mean(axis=(0, 2))
    return (
        _scaled(deviation, gamma, beta, _per_deviation(var, epsilon), x.dtype),
        mean.astype(x.dtype),
        var.astype(x.dtype),
    )


def batchnorm_inference(x, gamma, beta, mean, var, epsilon):
    return _scaled(_deviation(x, mean[:, None]), gamma, beta, _per_deviation(var, epsilon), x.dtype)


def _scaled(deviation, gamma, beta, inv, dtype):
    deviation *= (gamma * inv)[:, None]
    deviation += beta[:, None]
    return deviation.astype(dtype, copy=False)


def batchnorm_backward(dout, x, gamma, mean, var, epsilon):
    M = max(1, x.shape[0] * x.shape[2])
    # forward pass again: mean -> deviation -> var -> inv -> xhat -> out
    inv = _per_deviation(var, epsilon)[:, None]
    deviation = _deviation(x, mean[:, None])
    xhat = deviation * inv
    # out = gamma * xhat + beta
    dbeta = dout.sum(axis=(0, 2), dtype=np.float64)
    dgamma = (dout * xhat).sum(axis=(0, 2))
    dxhat = dout * gamma[:, None].astype(np.float64)
    # xhat = deviation * inv
    dinv = (dxhat * deviation).sum(axis=(0, 2))[:, None]
    ddeviation = dxhat * inv
    # inv = (var + epsilon)**(-1/2)
    dvar = dinv * -0.5 * inv**3
    # var = 1/M sum deviation**2
    ddeviation += dvar * 2 / M * deviation
    # deviation = x - mean
    dmean = -ddeviation.sum(axis=(0, 2))[:, None]
    # mean = 1/M sum x
    dx = ddeviation + dmean / M
    return dx.astype(x.dtype, copy=False), dgamma.astype(x.dtype), dbeta.astype(x.dtype)


def batchnorm_backward_alt(dout, x, gamma, mean, var, epsilon):
    M = max(1, x.shape[0] * x.shape[2])
    inv = _per_deviation(var, epsilon)
    xhat, dgamma, dbeta = _parameter_gradients(dout, x, mean, inv)
    dx = dout - (dbeta[:, None] + xhat * dgamma[:, None]) / M
    dx *= (gamma * inv)[:, None]
    return dx.astype(x.dtype, copy=False), dgamma.astype(x.dtype), dbeta.astype(x.dtype)


def batchnorm_inference_backward(dout, x, gamma, mean, var, epsilon):
    inv = _per_deviation(var, epsilon)
    _, dgamma, dbeta = _parameter_gradients(dout, x, mean, inv)
    dx = dout * (gamma * inv)[:, None]
    return dx.astype(x.dtype, copy=False), dgamma.astype(x.dtype), dbeta.astype(x.dtype)


def _parameter_gradients(dout, x, mean, inv):
    """Return xhat, dgamma and dbeta, in float64."""
    xhat = _deviation(x, mean[:, None]) * inv[:, None]
    return xhat, (dout * xhat).sum(axis=(0, 2)), dout.sum(axis=(0, 2), dtype=np.float64)


def groupnorm_forward(x, gamma, beta, groups, epsilon):
    N, C, S = x.shape
    grouped = x.reshape(N, groups, C // groups * S)
    mean = grouped.mean(axis=2, dtype=np.float64)
    deviation = _deviation(grouped, mean[:, :, None])
    var = np.square(deviation).mean(axis=2)
    deviation *= _per_deviation(var, epsilon)[:, :, None]
    out = deviation.reshape(x.shape) * gamma[:, None] + beta[:, None]
    return out.astype(x.dtype, copy=False), mean.astype(x.dtype), var.astype(x.dtype)


def groupnorm_backward(dout, x, gamma, groups, mean, var, epsilon):
    N, C, S = x.shape
    grouped = (N, groups, C // groups * S)
    inv = _per_deviation(var, epsilon)[:, :, None]
    xhat = _deviation(x.reshape(grouped), mean[:, :, None]) * inv
    dgamma = (dout * xhat.reshape(x.shape)).sum(axis=(0, 2))
    dbeta = dout.sum(axis=(0, 2), dtype=np.float64)
    dxhat = (dout * gamma[:, None].astype(np.float64)).reshape(grouped)
    dx = dxhat - dxhat.mean(axis=2, keepdims=True) - xhat * (dxhat * xhat).mean(axis=2, keepdims=True)
    dx *= inv
    return dx.reshape(x.shape).astype(x.dtype, copy=False), dgamma.astype(x.dtype), dbeta.astype(x.dtype)


def instancenorm_forward(x, gamma, beta, epsilon):
    return groupnorm_forward(x, gamma, beta, x.shape[1], epsilon)


def instancenorm_backward(dout, x, gamma, mean, var, epsilon):
    return groupnorm_backward(dout, x, gamma, x.shape[1], mean, var, epsilon)

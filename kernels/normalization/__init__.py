"""Batch, group (with layer norm as a special case) and instance normalization.

    out[n, c, s] = gamma[c] * (x[n, c, s] - mean) / sqrt(var + epsilon) + beta[c]

Common to all of them. x is (N, C, ...) with any further axes or none; s counts the S positions on them. Float inputs
are float32 or float64 of any layout (integers are computed in float64) and are never modified; results are
C-contiguous, in the dtype of the inputs. Every backend: statistics and sums over elements are accumulated in float64,
variances from deviations, so that a large mean costs no accuracy; NaN and infinity in x affect all elements with the
same statistics. N = 0 gives empty results and gradients of zeros. Raises ValueError for shapes that do not match,
epsilon <= 0 and negative variances, TypeError for dtypes other than float32, float64, integers and booleans.
"""

import math

import numpy as np

from ..dispatch import signatures, specification, switch, validation
from . import spec

_variant = switch.operation(__name__)
_floats = specification.floats(spec.FUNCTIONS)
_number = specification.number(spec.FUNCTIONS)


@signatures.checked
def batchnorm_forward(x, gamma, beta, epsilon):
    """Normalise each channel by the mean and the variance of the batch.

        mean[c] = 1/(N*S) sum_{n, s} x[n, c, s],    var[c] = 1/(N*S) sum_{n, s} (x[n, c, s] - mean[c])**2

    Inputs: x (N, C, ...), gamma (C,), beta (C,); epsilon: a number above 0.
    Returns out (N, C, ...), mean (C,), var (C,): the biased variance.
    Raises also: ValueError if N*S = 0.
    Cost: 8 flops per element; reads x twice, but from memory only once if a channel fits in the cache; writes out.
    Source: Ioffe & Szegedy, Batch normalization (2015), algorithm 1 and section 3.2.
    """
    function = "batchnorm_forward"
    x, gamma, beta = _floats(function, x=x, gamma=gamma, beta=beta)
    epsilon = _number(function, "epsilon", epsilon)
    validation.has_statistics(function, "x", x.shape)
    out, mean, var = _variant().batchnorm_forward(_planes(x), gamma, beta, epsilon)
    return out.reshape(x.shape), mean, var


@signatures.checked
def batchnorm_inference(x, gamma, beta, mean, var, epsilon):
    """Normalise each channel by given statistics, such as running averages.

    Inputs: x (N, C, ...); gamma, beta, mean, var (C,); epsilon: a number above 0. Returns out (N, C, ...).
    Cost: 3 flops per element; reads x, writes out.
    Source: Ioffe & Szegedy, Batch normalization (2015), algorithm 2.
    """
    function = "batchnorm_inference"
    named = {"gamma": gamma, "beta": beta, "mean": mean, "var": var}
    x, *others = _floats(function, x=x, **named)
    validation.not_negative(function, "var", others[-1])
    epsilon = _number(function, "epsilon", epsilon)
    return _variant().batchnorm_inference(_planes(x), *others, epsilon).reshape(x.shape)


@signatures.checked
def batchnorm_backward(dout, x, gamma, mean, var, epsilon):
    """Gradients of `batchnorm_forward`, step by step through its computational graph; M = N*S.

        dxhat = dout * gamma[c]
        dvar[c] = sum dxhat * (x - mean[c]) * (-1/2) * (var[c] + epsilon)**(-3/2)
        dmean[c] = sum dxhat * -1/sqrt(var[c] + epsilon)  +  dvar[c] * 1/M sum -2 * (x - mean[c])
        dx = dxhat / sqrt(var[c] + epsilon) + dvar[c] * 2/M * (x - mean[c]) + dmean[c] / M
        dgamma[c] = sum dout * xhat,    dbeta[c] = sum dout,    with xhat = (x - mean[c]) / sqrt(var[c] + epsilon)

    Inputs: dout (N, C, ...); x, gamma (C,), epsilon of the forward pass; mean, var (C,) that it returned.
    Returns dx (N, C, ...), dgamma (C,), dbeta (C,).
    Cost: 10 flops per element; reads dout and x twice, writes dx.
    Source: Ioffe & Szegedy, Batch normalization (2015), section 3.
    """
    arguments = _backward_arguments("batchnorm_backward", dout, x, gamma, mean, var, epsilon)
    return _in_shape(x, *_variant().batchnorm_backward(*arguments))


@signatures.checked
def batchnorm_backward_alt(dout, x, gamma, mean, var, epsilon):
    """Gradients of `batchnorm_forward` in closed form, without the terms of the graph that are 0.

        dx = gamma[c] / sqrt(var[c] + epsilon) * (dout - dbeta[c] / M - xhat * dgamma[c] / M)

    Inputs, results and cost are those of `batchnorm_backward`, with which it agrees up to rounding.
    """
    arguments = _backward_arguments("batchnorm_backward_alt", dout, x, gamma, mean, var, epsilon)
    return _in_shape(x, *_variant().batchnorm_backward_alt(*arguments))


@signatures.checked
def batchnorm_inference_backward(dout, x, gamma, mean, var, epsilon):
    """Gradients of `batchnorm_inference`, where mean and var are constants.

        dx = dout * gamma[c] / sqrt(var[c] + epsilon)

    Inputs: dout and x (N, C, ...); gamma, mean, var (C,). Returns dx (N, C, ...); dgamma (C,) and dbeta (C,) as in
    `batchnorm_backward`.
    """
    arguments = _backward_arguments("batchnorm_inference_backward", dout, x, gamma, mean, var, epsilon)
    return _in_shape(x, *_variant().batchnorm_inference_backward(*arguments))


@signatures.checked
def groupnorm_forward(x, gamma, beta, groups, epsilon):
    """Normalise each group of adjacent channels of each image by its own mean and variance.

    mean[n, g] and var[n, g] are those of x[n, c, s] over all s and the channels c with c // (C / groups) = g.
    One group is layer norm.

    Inputs: x (N, C, ...), gamma (C,), beta (C,); groups: an integer that divides C; epsilon: a number above 0.
    Returns out (N, C, ...), mean (N, groups), var (N, groups): the biased variance.
    Raises also: ValueError if C is not a multiple of groups or a group has no elements.
    Cost: 8 flops per element; reads x twice, but from memory only once if a group fits in the cache; writes out.
    Source: Wu & He, Group normalization (2018), section 3; Ba, Kiros & Hinton, Layer normalization (2016), section 3.
    """
    function = "groupnorm_forward"
    x, gamma, beta = _floats(function, x=x, gamma=gamma, beta=beta)
    groups = _groups(function, x, groups)
    epsilon = _number(function, "epsilon", epsilon)
    out, mean, var = _variant().groupnorm_forward(_planes(x), gamma, beta, groups, epsilon)
    return out.reshape(x.shape), mean, var


@signatures.checked
def groupnorm_backward(dout, x, gamma, groups, mean, var, epsilon):
    """Gradients of `groupnorm_forward`; M = C/groups*S elements in a group.

        dx = 1/sqrt(var[n, g] + epsilon) * (dxhat - 1/M sum dxhat - xhat * 1/M sum dxhat * xhat)
        dgamma[c] = sum_{n, s} dout * xhat,    dbeta[c] = sum_{n, s} dout,    with dxhat = dout * gamma[c]

    Inputs: dout (N, C, ...); x, gamma (C,), groups and epsilon of the forward pass; mean, var (N, groups) that it
    returned. Returns dx (N, C, ...), dgamma (C,), dbeta (C,).
    Cost: 12 flops per element; reads dout and x twice, writes dx.
    """
    function = "groupnorm_backward"
    dout, x, gamma, mean, var = _floats(function, dout=dout, x=x, gamma=gamma, mean=mean, var=var)
    validation.shape(function, "dout", dout, x.shape)
    groups = _groups(function, x, groups)
    validation.shape(function, "mean", mean, (len(x), groups))
    validation.not_negative(function, "var", var)
    epsilon = _number(function, "epsilon", epsilon)
    return _in_shape(x, *_variant().groupnorm_backward(_planes(dout), _planes(x), gamma, groups, mean, var, epsilon))


@signatures.checked
def instancenorm_forward(x, gamma, beta, epsilon):
    """Normalise each channel of each image by its own mean and variance.

        mean[n, c] = 1/S sum_s x[n, c, s],    var[n, c] = 1/S sum_s (x[n, c, s] - mean[n, c])**2

    Inputs: x (N, C, ...), gamma (C,), beta (C,); epsilon: a number above 0.
    Returns out (N, C, ...), mean (N, C), var (N, C): the biased variance. It is group norm with C groups.
    Raises also: ValueError where a channel has no elements.
    Cost: 8 flops an element; reads x twice, from memory once where a channel fits into the cache; writes out.
    Source: Ulyanov, Vedaldi & Lempitsky, Instance normalization (2016), equation 4.
    """
    function = "instancenorm_forward"
    x, gamma, beta = _floats(function, x=x, gamma=gamma, beta=beta)
    _has_elements(function, x, "a channel")
    epsilon = _number(function, "epsilon", epsilon)
    out, mean, var = _variant().instancenorm_forward(_planes(x), gamma, beta, epsilon)
    return out.reshape(x.shape), mean, var


@signatures.checked
def instancenorm_backward(dout, x, gamma, mean, var, epsilon):
    """Gradients of `instancenorm_forward`.

        dx = gamma[c] / sqrt(var[n, c] + epsilon) * (dout - 1/S sum_s dout - xhat * 1/S sum_s dout * xhat)
        dgamma[c] = sum_{n, s} dout * xhat,    dbeta[c] = sum_{n, s} dout

    Inputs: dout (N, C, ...); x, gamma (C,) and epsilon as given to the forward pass; mean, var (N, C) as it returned
    them. Returns dx (N, C, ...), dgamma (C,), dbeta (C,).
    Cost: 12 flops an element; reads dout and x twice, writes dx.
    """
    function = "instancenorm_backward"
    dout, x, gamma, mean, var = _floats(function, dout=dout, x=x, gamma=gamma, mean=mean, var=var)
    validation.shape(function, "dout", dout, x.shape)
    _has_elements(function, x, "a channel")
    validation.not_negative(function, "var", var)
    epsilon = _number(function, "epsilon", epsilon)
    return _in_shape(x, *_variant().instancenorm_backward(_planes(dout), _planes(x), gamma, mean, var, epsilon))


def _planes(x):
    """Return x (N, C, ...) as (N, C, S)."""
    return x.reshape(*x.shape[:2], math.prod(x.shape[2:]))


def _backward_arguments(function, dout, x, gamma, mean, var, epsilon):
    dout, x, gamma, mean, var = _floats(function, dout=dout, x=x, gamma=gamma, mean=mean, var=var)
    validation.shape(function, "dout", dout, x.shape)
    validation.not_negative(function, "var", var)
    epsilon = _number(function, "epsilon", epsilon)
    return _planes(dout), _planes(x), gamma, mean, var, epsilon


def _in_shape(x, dx, dgamma, dbeta):
    return dx.reshape(np.shape(x)), dgamma, dbeta


def _groups(function, x, groups):
    groups = _number(function, "groups", groups)
    if x.shape[1] % groups:
        raise ValueError(
            f"{function}: groups={groups} does not divide the channels C = {x.shape[1]}; expected equal groups; "
            f"choose a divisor of C"
        )
    _has_elements(function, x, "a group")
    return groups


def _has_elements(function, x, part):
    """Each part of an image has at least one element."""
    if math.prod(x.shape[1:]) == 0:
        raise ValueError(
            f"{function}: x.shape = {x.shape} has no elements in {part}; expected at least one, to take the mean of; "
            f"check how x was made"
        )

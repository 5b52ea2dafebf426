"""`fused` as its vectorized parts, one after the other."""

import math

from ..activations.vectorized import relu_backward, relu_forward
from ..affine.vectorized import affine_backward, affine_forward
from ..conv2d.vectorized import conv2d_backward, conv2d_forward
from ..normalization.vectorized import (
    batchnorm_backward_alt,
    batchnorm_forward,
    batchnorm_inference,
    batchnorm_inference_backward,
    groupnorm_backward,
    groupnorm_forward,
)
from ..pool2d.vectorized import max_pool2d_backward, max_pool2d_forward


def affine_relu_forward(x, w, b):
    return relu_forward(affine_forward(x, w, b))


def affine_relu_backward(dout, x, w, out, need_dx):
    return affine_backward(relu_backward(dout, out), x, w, need_dx)


def affine_batchnorm_relu_forward(x, w, b, gamma, beta, epsilon):
    between = affine_forward(x, w, b)
    out, mean, var = batchnorm_forward(_planes(between), gamma, beta, epsilon)
    return relu_forward(out).reshape(between.shape), between, mean, var


def affine_batchnorm_relu_backward(dout, x, w, between, gamma, mean, var, epsilon, out, need_dx):
    dnorm = _planes(relu_backward(dout, out))
    dbetween, dgamma, dbeta = batchnorm_backward_alt(dnorm, _planes(between), gamma, mean, var, epsilon)
    return *affine_backward(dbetween.reshape(dout.shape), x, w, need_dx), dgamma, dbeta


def affine_batchnorm_relu_inference(x, w, b, gamma, beta, mean, var, epsilon):
    between = affine_forward(x, w, b)
    return relu_forward(batchnorm_inference(_planes(between), gamma, beta, mean, var, epsilon)).reshape(between.shape)


def affine_batchnorm_relu_inference_backward(dout, x, w, b, gamma, mean, var, epsilon, out, need_dx):
    dnorm, between = _planes(relu_backward(dout, out)), _planes(affine_forward(x, w, b))
    dbetween, dgamma, dbeta = batchnorm_inference_backward(dnorm, between, gamma, mean, var, epsilon)
    return *affine_backward(dbetween.reshape(dout.shape), x, w, need_dx), dgamma, dbeta


def affine_layernorm_relu_forward(x, w, b, gamma, beta, epsilon):
    between = affine_forward(x, w, b)
    out, mean, var = groupnorm_forward(_planes(between), gamma, beta, 1, epsilon)
    return relu_forward(out).reshape(between.shape), between, mean, var


def affine_layernorm_relu_backward(dout, x, w, between, gamma, mean, var, epsilon, out, need_dx):
    dnorm = _planes(relu_backward(dout, out))
    dbetween, dgamma, dbeta = groupnorm_backward(dnorm, _planes(between), gamma, 1, mean, var, epsilon)
    return *affine_backward(dbetween.reshape(dout.shape), x, w, need_dx), dgamma, dbeta


def conv2d_relu_forward(x, w, b, stride, pad):
    return relu_forward(conv2d_forward(x, w, b, stride, pad))


def conv2d_relu_backward(dout, x, w, out, stride, pad, need_dx):
    return conv2d_backward(relu_backward(dout, out), x, w, stride, pad, need_dx)


def conv2d_batchnorm_relu_forward(x, w, b, gamma, beta, epsilon, stride, pad):
    between = conv2d_forward(x, w, b, stride, pad)
    out, mean, var = batchnorm_forward(_planes(between), gamma, beta, epsilon)
    return relu_forward(out).reshape(between.shape), between, mean, var


def conv2d_batchnorm_relu_backward(dout, x, w, between, gamma, mean, var, epsilon, out, stride, pad, need_dx):
    dnorm = _planes(relu_backward(dout, out))
    dbetween, dgamma, dbeta = batchnorm_backward_alt(dnorm, _planes(between), gamma, mean, var, epsilon)
    return *conv2d_backward(dbetween.reshape(dout.shape), x, w, stride, pad, need_dx), dgamma, dbeta


def conv2d_batchnorm_relu_inference(x, w, b, gamma, beta, mean, var, epsilon, stride, pad):
    between = conv2d_forward(x, w, b, stride, pad)
    return relu_forward(batchnorm_inference(_planes(between), gamma, beta, mean, var, epsilon)).reshape(between.shape)


def conv2d_batchnorm_relu_inference_backward(dout, x, w, b, gamma, mean, var, epsilon, out, stride, pad, need_dx):
    dnorm, between = _planes(relu_backward(dout, out)), _planes(conv2d_forward(x, w, b, stride, pad))
    dbetween, dgamma, dbeta = batchnorm_inference_backward(dnorm, between, gamma, mean, var, epsilon)
    return *conv2d_backward(dbetween.reshape(dout.shape), x, w, stride, pad, need_dx), dgamma, dbeta


def conv2d_relu_pool_forward(x, w, b, stride, pad, pool_size, pool_stride):
    return _pool(conv2d_relu_forward(x, w, b, stride, pad), pool_size, pool_stride)


def conv2d_relu_pool_backward(dout, x, w, index, stride, pad, pool_size, pool_stride, need_dx):
    dbetween = max_pool2d_backward(dout, index, _between_shape(x, w, stride, pad), pool_size, pool_stride, (0, 0))
    return conv2d_backward(dbetween, x, w, stride, pad, need_dx)


def conv2d_batchnorm_relu_pool_forward(x, w, b, gamma, beta, epsilon, stride, pad, pool_size, pool_stride):
    out, *others = conv2d_batchnorm_relu_forward(x, w, b, gamma, beta, epsilon, stride, pad)
    return *_pool(out, pool_size, pool_stride), *others


def conv2d_batchnorm_relu_pool_backward(
    dout, x, w, between, gamma, mean, var, epsilon, index, stride, pad, pool_size, pool_stride, need_dx
):
    dnorm = _planes(max_pool2d_backward(dout, index, between.shape, pool_size, pool_stride, (0, 0)))
    dbetween, dgamma, dbeta = batchnorm_backward_alt(dnorm, _planes(between), gamma, mean, var, epsilon)
    return *conv2d_backward(dbetween.reshape(between.shape), x, w, stride, pad, need_dx), dgamma, dbeta


def conv2d_batchnorm_relu_pool_inference(x, w, b, gamma, beta, mean, var, epsilon, stride, pad, pool_size, pool_stride):
    out = conv2d_batchnorm_relu_inference(x, w, b, gamma, beta, mean, var, epsilon, stride, pad)
    return _pool(out, pool_size, pool_stride)


def conv2d_batchnorm_relu_pool_inference_backward(
    dout, x, w, b, gamma, mean, var, epsilon, index, stride, pad, pool_size, pool_stride, need_dx
):
    between = conv2d_forward(x, w, b, stride, pad)
    dnorm = _planes(max_pool2d_backward(dout, index, between.shape, pool_size, pool_stride, (0, 0)))
    dbetween, dgamma, dbeta = batchnorm_inference_backward(dnorm, _planes(between), gamma, mean, var, epsilon)
    return *conv2d_backward(dbetween.reshape(between.shape), x, w, stride, pad, need_dx), dgamma, dbeta


def _planes(x):
    """x (N, C, ...) as (N, C, S)."""
    return x.reshape(*x.shape[:2], math.prod(x.shape[2:]))


def _between_shape(x, w, stride, pad):
    """The shape of the convolution's output."""
    return (
        *x.shape[:1],
        *w.shape[:1],
        *(1 + (x.shape[a + 2] + 2 * pad[a] - w.shape[a + 2]) // stride[a] for a in (0, 1)),
    )


def _pool(out, size, stride):
    """The pooled output of a ReLU, and the index, "none" where ReLU stops the winner's gradient."""
    out, index = max_pool2d_forward(out, size, stride, (0, 0))
    index[~(out > 0)] = size[0] * size[1]
    return out, index

"""`sandwich` on a GPU: ReLU is the floor of a product's tiles; other parts follow one after the other, on the GPU."""

import math

from numba import cuda

from ..activations.cuda import relu_backward
from ..affine.cuda import affine_backward, affine_forward
from ..conv2d.cuda import conv2d_backward, conv2d_forward
from ..gpu import convolution, normalize, products
from ..gpu.launch import kernel
from ..gpu.memory import on_device
from ..pool2d.cuda import max_pool2d_backward, max_pool2d_forward


@on_device
def affine_relu_forward(x, w, b):
    return products.affine(x, w, b, floor=0)


@on_device
def affine_relu_backward(dout, x, w, out, need_dx):
    return affine_backward(relu_backward(dout, out), x, w, need_dx)


@on_device
def affine_batchnorm_relu_forward(x, w, b, gamma, beta, epsilon):
    between = affine_forward(x, w, b)
    out, mean, var = normalize.batch_forward(_planes(between), gamma, beta, epsilon, relu=True)
    return out.reshape(between.shape), between, mean, var


@on_device
def affine_batchnorm_relu_backward(dout, x, w, between, gamma, mean, var, epsilon, out, need_dx):
    given = _planes(dout), _planes(between), gamma, mean, var, epsilon
    dbetween, dgamma, dbeta = normalize.batch_backward(*given, relu=_planes(out))
    return *affine_backward(dbetween.reshape(dout.shape), x, w, need_dx), dgamma, dbeta


@on_device
def affine_batchnorm_relu_inference(x, w, b, gamma, beta, mean, var, epsilon):
    between = affine_forward(x, w, b)
    out = normalize.given_forward(_planes(between), gamma, beta, mean, var, epsilon, relu=True)
    return out.reshape(between.shape)


@on_device
def affine_batchnorm_relu_inference_backward(dout, x, w, b, gamma, mean, var, epsilon, out, need_dx):
    given = _planes(dout), _planes(affine_forward(x, w, b)), gamma, mean, var, epsilon
    dbetween, dgamma, dbeta = normalize.given_backward(*given, relu=_planes(out))
    return *affine_backward(dbetween.reshape(dout.shape), x, w, need_dx), dgamma, dbeta


@on_device
def affine_layernorm_relu_forward(x, w, b, gamma, beta, epsilon):
    between = affine_forward(x, w, b)
    out, mean, var = normalize.group_forward(_planes(between), gamma, beta, 1, epsilon, relu=True)
    return out.reshape(between.shape), between, mean, var


@on_device
def affine_layernorm_relu_backward(dout, x, w, between, gamma, mean, var, epsilon, out, need_dx):
    given = _planes(dout), _planes(between), gamma, 1, mean, var, epsilon
    dbetween, dgamma, dbeta = normalize.group_backward(*given, relu=_planes(out))
    return *affine_backward(dbetween.reshape(dout.shape), x, w, need_dx), dgamma, dbeta


@on_device
def conv2d_relu_forward(x, w, b, stride, pad):
    return convolution.forward(x, w, b, stride, pad, floor=0)


@on_device
def conv2d_relu_backward(dout, x, w, out, stride, pad, need_dx):
    return conv2d_backward(relu_backward(dout, out), x, w, stride, pad, need_dx)


@on_device
def conv2d_batchnorm_relu_forward(x, w, b, gamma, beta, epsilon, stride, pad):
    between = conv2d_forward(x, w, b, stride, pad)
    out, mean, var = normalize.batch_forward(_planes(between), gamma, beta, epsilon, relu=True)
    return out.reshape(between.shape), between, mean, var


@on_device
def conv2d_batchnorm_relu_backward(dout, x, w, between, gamma, mean, var, epsilon, out, stride, pad, need_dx):
    given = _planes(dout), _planes(between), gamma, mean, var, epsilon
    dbetween, dgamma, dbeta = normalize.batch_backward(*given, relu=_planes(out))
    return *conv2d_backward(dbetween.reshape(dout.shape), x, w, stride, pad, need_dx), dgamma, dbeta


@on_device
def conv2d_batchnorm_relu_inference(x, w, b, gamma, beta, mean, var, epsilon, stride, pad):
    between = conv2d_forward(x, w, b, stride, pad)
    out = normalize.given_forward(_planes(between), gamma, beta, mean, var, epsilon, relu=True)
    return out.reshape(between.shape)


@on_device
def conv2d_batchnorm_relu_inference_backward(dout, x, w, b, gamma, mean, var, epsilon, out, stride, pad, need_dx):
    given = _planes(dout), _planes(conv2d_forward(x, w, b, stride, pad)), gamma, mean, var, epsilon
    dbetween, dgamma, dbeta = normalize.given_backward(*given, relu=_planes(out))
    return *conv2d_backward(dbetween.reshape(dout.shape), x, w, stride, pad, need_dx), dgamma, dbeta


@on_device
def conv2d_relu_pool_forward(x, w, b, stride, pad, pool_size, pool_stride):
    return _pool(conv2d_relu_forward(x, w, b, stride, pad), pool_size, pool_stride)


@on_device
def conv2d_relu_pool_backward(dout, x, w, index, stride, pad, pool_size, pool_stride, need_dx):
    dbetween = max_pool2d_backward(dout, index, _between_shape(x, w, stride, pad), pool_size, pool_stride, (0, 0))
    return conv2d_backward(dbetween, x, w, stride, pad, need_dx)


@on_device
def conv2d_batchnorm_relu_pool_forward(x, w, b, gamma, beta, epsilon, stride, pad, pool_size, pool_stride):
    out, *others = conv2d_batchnorm_relu_forward(x, w, b, gamma, beta, epsilon, stride, pad)
    return *_pool(out, pool_size, pool_stride), *others


@on_device
def conv2d_batchnorm_relu_pool_backward(
    dout, x, w, between, gamma, mean, var, epsilon, index, stride, pad, pool_size, pool_stride, need_dx
):
    dnorm = _planes(max_pool2d_backward(dout, index, between.shape, pool_size, pool_stride, (0, 0)))
    dbetween, dgamma, dbeta = normalize.batch_backward(dnorm, _planes(between), gamma, mean, var, epsilon)
    return *conv2d_backward(dbetween.reshape(between.shape), x, w, stride, pad, need_dx), dgamma, dbeta


@on_device
def conv2d_batchnorm_relu_pool_inference(x, w, b, gamma, beta, mean, var, epsilon, stride, pad, pool_size, pool_stride):
    out = conv2d_batchnorm_relu_inference(x, w, b, gamma, beta, mean, var, epsilon, stride, pad)
    return _pool(out, pool_size, pool_stride)


@on_device
def conv2d_batchnorm_relu_pool_inference_backward(
    dout, x, w, b, gamma, mean, var, epsilon, index, stride, pad, pool_size, pool_stride, need_dx
):
    between = conv2d_forward(x, w, b, stride, pad)
    dnorm = _planes(max_pool2d_backward(dout, index, between.shape, pool_size, pool_stride, (0, 0)))
    dbetween, dgamma, dbeta = normalize.given_backward(dnorm, _planes(between), gamma, mean, var, epsilon)
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
    _stop(out.size, out.size, size[0] * size[1], out.dtype.type(0), out, index)
    return out, index


@kernel
def _stop(count, none, zero, out, index):
    """index[i] = none, unless out[i] > 0"""
    i = cuda.grid(1)
    if i < count and not out[i] > zero:
        index[i] = none

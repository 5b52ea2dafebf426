"""`fused` on a GPU: element-wise operations are fused into the kernel before them.

ReLU is applied in the matrix product or in the kernel that normalizes, and its mask in the kernels of the norm's
gradient. Pooling normalizes the windows that it reads, so the normalized images are not stored. In the backward pass
the index of the pooling tells where the gradient of ReLU is 0.
"""

import math

from numba import cuda, float32, float64

from ..activations.cuda import relu_backward
from ..affine.cuda import affine_backward, affine_forward
from ..conv2d.cuda import conv2d_backward, conv2d_forward
from ..gpu import convolution, normalize, products
from ..gpu.launch import Kernel, device, kernel, split
from ..gpu.memory import on_device, xp
from ..pool2d import index_dtype
from ..pool2d.cuda import max_pool2d_backward


@on_device
def affine_relu_forward(x, w, b):
    return products.affine(x, w, b, floor=0)


@on_device
def affine_relu_backward(dout, x, w, out, need_dx):
    return affine_backward(relu_backward(dout, out), x, w, need_dx)


@on_device
def affine_batchnorm_relu_forward(x, w, b, gamma, beta, epsilon):
    pre_norm = affine_forward(x, w, b)
    out, mean, var = normalize.batch_forward(_planes(pre_norm), gamma, beta, epsilon, relu=True)
    return out.reshape(pre_norm.shape), pre_norm, mean, var


@on_device
def affine_batchnorm_relu_backward(dout, x, w, pre_norm, gamma, mean, var, epsilon, out, need_dx):
    given = _planes(dout), _planes(pre_norm), gamma, mean, var, epsilon
    dpre_norm, dgamma, dbeta = normalize.batch_backward(*given, relu=_planes(out))
    return *affine_backward(dpre_norm.reshape(dout.shape), x, w, need_dx), dgamma, dbeta


@on_device
def affine_batchnorm_relu_inference(x, w, b, gamma, beta, mean, var, epsilon):
    pre_norm = affine_forward(x, w, b)
    out = normalize.given_forward(_planes(pre_norm), gamma, beta, mean, var, epsilon, relu=True)
    return out.reshape(pre_norm.shape)


@on_device
def affine_batchnorm_relu_inference_backward(dout, x, w, b, gamma, mean, var, epsilon, out, need_dx):
    given = _planes(dout), _planes(affine_forward(x, w, b)), gamma, mean, var, epsilon
    dpre_norm, dgamma, dbeta = normalize.given_backward(*given, relu=_planes(out))
    return *affine_backward(dpre_norm.reshape(dout.shape), x, w, need_dx), dgamma, dbeta


@on_device
def affine_layernorm_relu_forward(x, w, b, gamma, beta, epsilon):
    pre_norm = affine_forward(x, w, b)
    out, mean, var = normalize.group_forward(_planes(pre_norm), gamma, beta, 1, epsilon, relu=True)
    return out.reshape(pre_norm.shape), pre_norm, mean, var


@on_device
def affine_layernorm_relu_backward(dout, x, w, pre_norm, gamma, mean, var, epsilon, out, need_dx):
    given = _planes(dout), _planes(pre_norm), gamma, 1, mean, var, epsilon
    dpre_norm, dgamma, dbeta = normalize.group_backward(*given, relu=_planes(out))
    return *affine_backward(dpre_norm.reshape(dout.shape), x, w, need_dx), dgamma, dbeta


@on_device
def conv2d_relu_forward(x, w, b, geometry):
    return convolution.forward(x, w, b, geometry, floor=0)


@on_device
def conv2d_relu_backward(dout, x, w, out, geometry, need_dx):
    return conv2d_backward(relu_backward(dout, out), x, w, geometry, need_dx)


@on_device
def conv2d_batchnorm_relu_forward(x, w, b, gamma, beta, epsilon, geometry):
    pre_norm = conv2d_forward(x, w, b, geometry)
    out, mean, var = normalize.batch_forward(_planes(pre_norm), gamma, beta, epsilon, relu=True)
    return out.reshape(pre_norm.shape), pre_norm, mean, var


@on_device
def conv2d_batchnorm_relu_backward(dout, x, w, pre_norm, gamma, mean, var, epsilon, out, geometry, need_dx):
    given = _planes(dout), _planes(pre_norm), gamma, mean, var, epsilon
    dpre_norm, dgamma, dbeta = normalize.batch_backward(*given, relu=_planes(out))
    return *conv2d_backward(dpre_norm.reshape(dout.shape), x, w, geometry, need_dx), dgamma, dbeta


@on_device
def conv2d_batchnorm_relu_inference(x, w, b, gamma, beta, mean, var, epsilon, geometry):
    pre_norm = conv2d_forward(x, w, b, geometry)
    out = normalize.given_forward(_planes(pre_norm), gamma, beta, mean, var, epsilon, relu=True)
    return out.reshape(pre_norm.shape)


@on_device
def conv2d_batchnorm_relu_inference_backward(dout, x, w, b, gamma, mean, var, epsilon, out, geometry, need_dx):
    given = _planes(dout), _planes(conv2d_forward(x, w, b, geometry)), gamma, mean, var, epsilon
    dpre_norm, dgamma, dbeta = normalize.given_backward(*given, relu=_planes(out))
    return *conv2d_backward(dpre_norm.reshape(dout.shape), x, w, geometry, need_dx), dgamma, dbeta


@on_device
def conv2d_relu_pool_forward(x, w, b, geometry, pooling):
    pre_norm = conv2d_relu_forward(x, w, b, geometry)
    lengths, out, index = _pooled(pre_norm, pooling)
    _pool(out.size, out.size, *lengths, pre_norm, x.dtype.type(0), out, index)
    return out, index


@on_device
def conv2d_relu_pool_backward(dout, x, w, index, geometry, pooling, need_dx):
    dpre_norm = max_pool2d_backward(dout, index, (len(x), len(w), *geometry.out), pooling)
    return conv2d_backward(dpre_norm, x, w, geometry, need_dx)


@on_device
def conv2d_batchnorm_relu_pool_forward(x, w, b, gamma, beta, epsilon, geometry, pooling):
    pre_norm = conv2d_forward(x, w, b, geometry)
    mean, var = normalize.batch_statistics(_planes(pre_norm))
    out, index = _normalize_and_pool(pre_norm, gamma, beta, mean, var, epsilon, pooling)
    return out, index, pre_norm, normalize.narrowed(mean, x.dtype), normalize.narrowed(var, x.dtype)


@on_device
def conv2d_batchnorm_relu_pool_backward(
    dout, x, w, pre_norm, gamma, mean, var, epsilon, index, geometry, pooling, need_dx
):
    dnorm = _planes(max_pool2d_backward(dout, index, pre_norm.shape, pooling))
    dpre_norm, dgamma, dbeta = normalize.batch_backward(dnorm, _planes(pre_norm), gamma, mean, var, epsilon)
    return *conv2d_backward(dpre_norm.reshape(pre_norm.shape), x, w, geometry, need_dx), dgamma, dbeta


@on_device
def conv2d_batchnorm_relu_pool_inference(x, w, b, gamma, beta, mean, var, epsilon, geometry, pooling):
    pre_norm = conv2d_forward(x, w, b, geometry)
    return _normalize_and_pool(pre_norm, gamma, beta, mean, var, epsilon, pooling)


@on_device
def conv2d_batchnorm_relu_pool_inference_backward(
    dout, x, w, b, gamma, mean, var, epsilon, index, geometry, pooling, need_dx
):
    pre_norm = conv2d_forward(x, w, b, geometry)
    dnorm = _planes(max_pool2d_backward(dout, index, pre_norm.shape, pooling))
    dpre_norm, dgamma, dbeta = normalize.given_backward(dnorm, _planes(pre_norm), gamma, mean, var, epsilon)
    return *conv2d_backward(dpre_norm.reshape(pre_norm.shape), x, w, geometry, need_dx), dgamma, dbeta


def _planes(x):
    """Return x (N, C, ...) as (N, C, S)."""
    return x.reshape(*x.shape[:2], math.prod(x.shape[2:]))


def _pooled(x, pooling):
    """Return the sizes that the kernels take, and memory for the output of a pooling and for its index."""
    out = xp.empty((*x.shape[:2], *pooling.out), x.dtype)
    index = xp.empty(out.shape, index_dtype(pooling.window))
    return (*x.shape[1:], *pooling.out, *pooling.window, *pooling.stride), out, index


def _normalize_and_pool(x, gamma, beta, mean, var, epsilon, pooling):
    """Normalize, apply ReLU and pool in one kernel. Returns the output and the index of the pooling."""
    lengths, out, index = _pooled(x, pooling)
    inv = normalize.per_deviation(var, epsilon)
    compute = _POOL_NORMALIZED[x.dtype.itemsize]
    compute(out.size, out.size, *lengths, x, gamma, beta, mean, inv, x.dtype.type(0), out, index)
    return out, index


@device
def _corner(i, H, W, OH, OW, SH, SW):
    """Return the first element of the window of output i, and its plane."""
    row, ow = split(i, OW)
    plane, oh = split(row, OH)
    return (plane * H + oh * SH) * W + ow * SW, plane


@kernel
def _pool(count, C, H, W, OH, OW, KH, KW, SH, SW, x, zero, out, index):
    """out = max(0, maximum of a window of x); index: its position, or KH*KW ("none") where the gradient of ReLU is 0"""
    i = cuda.grid(1)
    if i < count:
        corner, _ = _corner(i, H, W, OH, OW, SH, SW)
        largest, winner = x[corner], 0
        for kh in range(KH):
            for kw in range(KW):
                value = x[corner + kh * W + kw]
                if value > largest or (value != value and largest == largest):  # the first NaN is the maximum
                    largest, winner = value, kh * KW + kw
        out[i] = zero if largest < zero else largest
        index[i] = winner if largest > zero else KH * KW


def _pool_normalized_of(kind):
    """Return the kernel for a dtype, to which normalized numbers are rounded before they are compared."""

    def pool_normalized(count, C, H, W, OH, OW, KH, KW, SH, SW, x, gamma, beta, mean, inv, zero, out, index):
        """`_pool` of gamma[c] * (x - mean[c]) * inv[c] + beta[c]"""
        i = cuda.grid(1)
        if i < count:
            corner, plane = _corner(i, H, W, OH, OW, SH, SW)
            c = split(plane, C)[1]
            largest, winner = kind(gamma[c] * ((float64(x[corner]) - mean[c]) * inv[c]) + beta[c]), 0
            for kh in range(KH):
                for kw in range(KW):
                    deviation = float64(x[corner + kh * W + kw]) - mean[c]
                    value = kind(gamma[c] * (deviation * inv[c]) + beta[c])
                    if value > largest or (value != value and largest == largest):
                        largest, winner = value, kh * KW + kw
            out[i] = zero if largest < zero else largest
            index[i] = winner if largest > zero else KH * KW

    return Kernel(pool_normalized, variant=kind.name)


_POOL_NORMALIZED = {4: _pool_normalized_of(float32), 8: _pool_normalized_of(float64)}  # by itemsize

"""`fused` on the register tiles: a tile applies ReLU, and pooling reads the tile's scratch planes while in cache.

In the backward pass the pooled gradient is written directly to the zero-padded planes that dw and dx read; the gradient
of the convolution's output is not stored. ReLU is applied in the loop that normalizes and its mask in the norm's
backward pass; a norm with given statistics is folded into the weights.
"""

import numpy as np

from ..cpu import threads
from ..cpu.simd import affine_chain, convolution, gradients, groups, matmul, normalize
from ..dispatch import signatures
from ..pool2d import index_dtype


def affine_relu_forward(x, w, b):
    return matmul.multiply_add(x, w, b, relu=True)


def affine_relu_backward(dout, x, w, out, need_dx):
    return matmul.gradients(dout, x, w, need_dx, mask=out)


def affine_batchnorm_relu_forward(x, w, b, gamma, beta, epsilon):
    pre_norm = matmul.multiply_add(x, w, b)
    out, mean, var = normalize.forward(pre_norm, gamma, beta, epsilon, relu=True)
    return out, pre_norm, mean, var


def affine_batchnorm_relu_backward(dout, x, w, pre_norm, gamma, mean, var, epsilon, out, need_dx):
    dpre_norm, dgamma, dbeta = normalize.backward(dout, pre_norm, gamma, mean, var, epsilon, relu=out)
    return *matmul.gradients(dpre_norm, x, w, need_dx), dgamma, dbeta


def affine_batchnorm_relu_inference(x, w, b, gamma, beta, mean, var, epsilon):
    return matmul.multiply_add(x, *_fold(w, b, gamma, beta, mean, var, epsilon), relu=True)


def affine_batchnorm_relu_inference_backward(dout, x, w, b, gamma, mean, var, epsilon, out, need_dx):
    folded, _ = _fold(w, b, gamma, b, mean, var, epsilon)
    dx, dw, db = matmul.gradients(dout, x, folded, need_dx, mask=out)
    return dx, *_unfold(dw, db, w, b, gamma, mean, var, epsilon)


def affine_layernorm_relu_forward(x, w, b, gamma, beta, epsilon):
    pre_norm = matmul.multiply_add(x, w, b)
    out, mean, var = groups.forward(pre_norm[:, :, None], gamma, beta, 1, epsilon, relu=True)
    return out.reshape(pre_norm.shape), pre_norm, mean, var


def affine_layernorm_relu_backward(dout, x, w, pre_norm, gamma, mean, var, epsilon, out, need_dx):
    pre_norm = pre_norm[:, :, None]
    dpre_norm, dgamma, dbeta = groups.backward(dout, pre_norm, gamma, 1, mean, var, epsilon, relu=out)
    return *matmul.gradients(dpre_norm.reshape(dout.shape), x, w, need_dx), dgamma, dbeta


def conv2d_relu_forward(x, w, b, geometry):
    return convolution.forward(x, w, b, geometry, relu=True)


def conv2d_relu_backward(dout, x, w, out, geometry, need_dx):
    return gradients.backward(dout, x, w, geometry, need_dx, relu=out)


def conv2d_batchnorm_relu_forward(x, w, b, gamma, beta, epsilon, geometry):
    pre_norm = convolution.forward(x, w, b, geometry)
    out, mean, var = normalize.forward(pre_norm, gamma, beta, epsilon, relu=True)
    return out, pre_norm, mean, var


def conv2d_batchnorm_relu_backward(dout, x, w, pre_norm, gamma, mean, var, epsilon, out, geometry, need_dx):
    dpre_norm, dgamma, dbeta = normalize.backward(dout, pre_norm, gamma, mean, var, epsilon, relu=out)
    return *gradients.backward(dpre_norm, x, w, geometry, need_dx), dgamma, dbeta


def conv2d_batchnorm_relu_inference(x, w, b, gamma, beta, mean, var, epsilon, geometry):
    return convolution.forward(x, *_fold(w, b, gamma, beta, mean, var, epsilon), geometry, relu=True)


def conv2d_batchnorm_relu_inference_backward(dout, x, w, b, gamma, mean, var, epsilon, out, geometry, need_dx):
    folded, _ = _fold(w, b, gamma, b, mean, var, epsilon)
    dx, dw, db = gradients.backward(dout, x, folded, geometry, need_dx, relu=out)
    return dx, *_unfold(dw, db, w, b, gamma, mean, var, epsilon)


def conv2d_relu_pool_forward(x, w, b, geometry, pooling):
    return convolution.forward_pooled(x, w, b, geometry, pooling, index_dtype(pooling.window))


def conv2d_relu_pool_backward(dout, x, w, index, geometry, pooling, need_dx):
    return gradients.backward(dout, x, w, geometry, need_dx, None, index, pooling)


def conv2d_batchnorm_relu_pool_forward(x, w, b, gamma, beta, epsilon, geometry, pooling):
    pre_norm, dtype = convolution.forward(x, w, b, geometry), index_dtype(pooling.window)
    out, index, mean, var = normalize.forward_pooled(
        pre_norm, gamma, beta, epsilon, pooling.window, pooling.stride, dtype
    )
    return out, index, pre_norm, mean, var


def conv2d_batchnorm_relu_pool_backward(
    dout, x, w, pre_norm, gamma, mean, var, epsilon, index, geometry, pooling, need_dx
):
    dpre_norm, dgamma, dbeta = normalize.backward_pooled(
        dout, pre_norm, gamma, mean, var, epsilon, index, pooling.window, pooling.stride
    )
    return *gradients.backward(dpre_norm, x, w, geometry, need_dx), dgamma, dbeta


def conv2d_batchnorm_relu_pool_inference(x, w, b, gamma, beta, mean, var, epsilon, geometry, pooling):
    w, b = _fold(w, b, gamma, beta, mean, var, epsilon)
    return convolution.forward_pooled(x, w, b, geometry, pooling, index_dtype(pooling.window))


def conv2d_batchnorm_relu_pool_inference_backward(
    dout, x, w, b, gamma, mean, var, epsilon, index, geometry, pooling, need_dx
):
    folded, _ = _fold(w, b, gamma, b, mean, var, epsilon)
    dx, dw, db = gradients.backward(dout, x, folded, geometry, need_dx, None, index, pooling)
    return dx, *_unfold(dw, db, w, b, gamma, mean, var, epsilon)


_affine_chain = affine_chain.step if threads.IS_COMPILED else None  # see `repeated`


@signatures.quiet
def _fold(w, b, gamma, beta, mean, var, epsilon):
    """Fold batch norm with given statistics into the weights and the bias.

    (w.x + b - mean) * scale + beta = (w * scale).x + (b - mean) * scale + beta,    scale = gamma / sqrt(var + epsilon)
    """
    scale = gamma / np.sqrt(np.add(var, epsilon, dtype=np.float64))
    bias = np.subtract(b, mean, dtype=np.float64) * scale + beta
    return (w * _by_channel(scale, w)).astype(w.dtype), bias.astype(b.dtype)


@signatures.quiet
def _unfold(dw, db, w, b, gamma, mean, var, epsilon):
    """Return dw, db, dgamma and dbeta from the gradients of the folded weights and bias.

    With y = w.x + b, dgamma is the sum of dout * (y - mean) / sqrt(var + epsilon). The sum of dout * (w.x) equals that
    of dw * w, since y is linear in w, so the layer's output is not needed.
    """
    inv = 1 / np.sqrt(np.add(var, epsilon, dtype=np.float64))
    scale = gamma * inv
    products = np.multiply(dw, w, dtype=np.float64)
    products = products.sum(axis=0 if w.ndim == 2 else (1, 2, 3))
    dgamma = inv * (products + np.subtract(b, mean, dtype=np.float64) * db)
    return (dw * _by_channel(scale, w)).astype(w.dtype), (db * scale).astype(b.dtype), dgamma.astype(b.dtype), db


def _by_channel(values, w):
    """Reshape values of output channels to broadcast with w: on its last axis (affine) or its first (convolution)."""
    return values if w.ndim == 2 else values.reshape(-1, *[1] * (w.ndim - 1))

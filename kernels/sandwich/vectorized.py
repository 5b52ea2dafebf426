"""`sandwich` as its vectorized parts, one after the other."""

import numpy as np

from ..activations.vectorized import relu_backward, relu_forward
from ..affine.vectorized import affine_backward, affine_forward
from ..conv2d.vectorized import conv2d_backward, conv2d_forward
from ..pool2d.vectorized import max_pool2d_backward, max_pool2d_forward


def affine_relu_forward(x, w, b):
    return relu_forward(affine_forward(x, w, b))


def affine_relu_backward(dout, x, w, out, need_dx):
    return affine_backward(relu_backward(dout, out), x, w, need_dx)


def conv2d_relu_forward(x, w, b, stride, pad):
    return relu_forward(conv2d_forward(x, w, b, stride, pad))


def conv2d_relu_backward(dout, x, w, out, stride, pad, need_dx):
    return conv2d_backward(relu_backward(dout, out), x, w, stride, pad, need_dx)


def conv2d_relu_pool_forward(x, w, b, stride, pad, pool_size, pool_stride):
    out, index = max_pool2d_forward(relu_forward(conv2d_forward(x, w, b, stride, pad)), pool_size, pool_stride, (0, 0))
    index[~(out > 0)] = pool_size[0] * pool_size[1]
    return out, index


def conv2d_relu_pool_backward(dout, x, w, index, stride, pad, pool_size, pool_stride, need_dx):
    OH, OW = 1 + (np.array(x.shape[2:]) + 2 * np.array(pad) - w.shape[2:]) // stride
    between = (x.shape[0], w.shape[0], int(OH), int(OW))
    dbetween = max_pool2d_backward(dout, index, between, pool_size, pool_stride, (0, 0))
    return conv2d_backward(dbetween, x, w, stride, pad, need_dx)

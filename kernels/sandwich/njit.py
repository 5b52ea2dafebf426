"""`sandwich` fused: ReLU is the floor of the register tile, pooling reads the tile's scratch planes while in cache.

Backwards the pooled gradient is spread straight into the zero-bordered planes that dw and dx read: the gradient between
convolution and pooling never exists in memory.
"""

from ..pool2d import index_dtype
from ..simd import convolution, matmul


def affine_relu_forward(x, w, b):
    return matmul.multiply_add(x, w, b, relu=True)


def affine_relu_backward(dout, x, w, out, need_dx):
    return matmul.gradients(dout, x, w, need_dx, mask=out)


def conv2d_relu_forward(x, w, b, stride, pad):
    return convolution.forward(x, w, b, stride, pad, relu=True)


def conv2d_relu_backward(dout, x, w, out, stride, pad, need_dx):
    return convolution.backward(dout, x, w, stride, pad, need_dx, relu=out)


def conv2d_relu_pool_forward(x, w, b, stride, pad, pool_size, pool_stride):
    return convolution.forward_pooled(x, w, b, stride, pad, pool_size, pool_stride, index_dtype(pool_size))


def conv2d_relu_pool_backward(dout, x, w, index, stride, pad, pool_size, pool_stride, need_dx):
    return convolution.backward(dout, x, w, stride, pad, need_dx, None, index, pool_size, pool_stride)

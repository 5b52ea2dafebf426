"""`conv2d` on register tiles: `simd.geometry` describes the method, `simd.convolution` and `simd.gradients` compute it.

There is no im2col: a tap is an offset into zero-padded planes. dw uses the tile of dot products, out and dx the tile of
outer products.
"""

from ..cpu.simd import convolution, gradients


def conv2d_forward(x, w, b, geometry):
    return convolution.forward(x, w, b, geometry)


def conv2d_backward(dout, x, w, geometry, need_dx):
    return gradients.backward(dout, x, w, geometry, need_dx)

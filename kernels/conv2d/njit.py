"""`conv2d` on register tiles: see `simd.geometry` for the idea, `simd.convolution` and `simd.gradients` for the loops.

No im2col: a tap is an offset into zero-bordered planes. dw is a tile of dot products, all else one outer tile.
"""

from ..cpu.simd import convolution, gradients


def conv2d_forward(x, w, b, geometry):
    return convolution.forward(x, w, b, geometry)


def conv2d_backward(dout, x, w, geometry, need_dx):
    return gradients.backward(dout, x, w, geometry, need_dx)

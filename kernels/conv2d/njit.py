"""`conv2d` on register tiles: see `simd.geometry` for the idea and `simd.convolution` for the loops.

No im2col: a tap is an offset into zero-bordered planes. dw is a tile of dot products, all else one outer tile.
"""

from ..simd import convolution


def conv2d_forward(x, w, b, stride, pad):
    return convolution.forward(x, w, b, stride, pad)


def conv2d_backward(dout, x, w, stride, pad, need_dx):
    return convolution.backward(dout, x, w, stride, pad, need_dx)

"""Pooling of images: the maximum or the mean of each window, or the mean of each channel.

    max:  out[n, c, oh, ow] = max_{kh, kw} x[n, c, oh*stride + kh - pad, ow*stride + kw - pad]
    avg:  out[n, c, oh, ow] = 1/(KH*KW) * sum_{kh, kw} x[n, c, oh*stride + kh - pad, ow*stride + kw - pad]

OH = 1 + (H + 2*pad - KH) // stride and OW likewise; windows may overlap. Outside its borders x counts as -infinity
for the maximum and as zero for the mean, as in PyTorch.
"""

import math
import operator

import numpy as np

from ..dispatch import signatures, specification, switch, validation, windows
from . import spec

_variant = switch.operation(__name__)
_floats = specification.floats(spec.FUNCTIONS)


@signatures.checked
def max_pool2d_forward(x, size, stride, pad=0):
    """The maximum of each window and its position in the window.

    Inputs (never modified):
        x (N, C, H, W): float32 or float64, any layout
        size, stride, pad: an integer or a (height, width) pair; size and stride >= 1, 0 <= pad <= size / 2
    Returns
        out (N, C, OH, OW): in x's dtype
        index (N, C, OH, OW): the position kh*KW + kw of the maximum in its window; uint8 if KH*KW < 255, else int32

    Every backend: the first of equal elements in row-major order is the maximum, and the first NaN if there is one;
    N = 0 gives empty arrays. Raises ValueError for a window larger than the padded image.
    Cost: N*C*OH*OW*KH*KW comparisons; reads x, writes out and index.
    """
    function = "max_pool2d_forward"
    (x,) = _floats(function, x=x)
    return _variant().max_pool2d_forward(x, geometry(function, x.shape, size, stride, pad))


@signatures.checked
def max_pool2d_backward(dout, index, x_shape, size, stride, pad=0):
    """Gradient of `max_pool2d_forward` with respect to x: dout goes to the maximum of each window.

    Inputs: dout (N, C, OH, OW); index as the forward pass returned it; x_shape (N, C, H, W) of its input; size,
    stride, pad as given to it. An index of KH*KW means "none": that window has no gradient. Neither has a window whose
    index is a position in the padding.
    Returns dx (N, C, H, W). Gradients of overlapping windows are added.
    Raises ValueError if the shapes do not match or an index is out of range.
    """
    function = "max_pool2d_backward"
    (dout,) = _floats(function, dout=dout)
    x_shape = _image_shape(function, "x_shape", x_shape)
    geometry_ = geometry(function, x_shape, size, stride, pad)
    validation.shape(function, "dout", dout, (*x_shape[:2], *geometry_.out))
    window = geometry_.window
    index = validation.index(function, "index", index, dout.shape, math.prod(window), index_dtype(window))
    return _variant().max_pool2d_backward(dout, index, x_shape, geometry_)


@signatures.checked
def avg_pool2d_forward(x, size, stride, pad=0):
    """The mean of each window, including the zeros of the padding; arguments as in `max_pool2d_forward`.

    Returns out (N, C, OH, OW) in x's dtype. Cost: N*C*OH*OW*KH*KW additions.
    """
    function = "avg_pool2d_forward"
    (x,) = _floats(function, x=x)
    return _variant().avg_pool2d_forward(x, geometry(function, x.shape, size, stride, pad))


@signatures.checked
def avg_pool2d_backward(dout, x_shape, size, stride, pad=0):
    """Gradient of `avg_pool2d_forward` with respect to x: each element of a window gets 1/(KH*KW) of its dout.

    Inputs: dout (N, C, OH, OW); x_shape (N, C, H, W) of the forward pass's input. Returns dx (N, C, H, W).
    """
    function = "avg_pool2d_backward"
    (dout,) = _floats(function, dout=dout)
    x_shape = _image_shape(function, "x_shape", x_shape)
    geometry_ = geometry(function, x_shape, size, stride, pad)
    validation.shape(function, "dout", dout, (*x_shape[:2], *geometry_.out))
    return _variant().avg_pool2d_backward(dout, x_shape, geometry_)


@signatures.checked
def global_avg_pool2d_forward(x):
    """The mean of each channel: x (N, C, H, W) gives out (N, C). Raises ValueError if H or W is 0."""
    function = "global_avg_pool2d_forward"
    (x,) = _floats(function, x=x)
    _image_shape(function, "x.shape", x.shape)
    return _variant().global_avg_pool2d_forward(x)


@signatures.checked
def global_avg_pool2d_backward(dout, x_shape):
    """Gradient of `global_avg_pool2d_forward`: dx = dout / (H*W).

    Inputs: dout (N, C); x_shape (N, C, H, W) of the forward pass's input. Returns dx (N, C, H, W).
    """
    function = "global_avg_pool2d_backward"
    x_shape = _image_shape(function, "x_shape", x_shape)
    (dout,) = _floats(function, dout=dout)
    validation.shape(function, "dout", dout, x_shape[:2])
    return _variant().global_avg_pool2d_backward(dout, x_shape)


def index_dtype(size):
    """Return the dtype of the index of max pooling, which also holds KH*KW ("none").

    size: (KH, KW)
    """
    return np.dtype(np.uint8 if size[0] * size[1] < 255 else np.int32)


def geometry(function, x_shape, size, stride, pad):
    """Return the checked `Geometry` of pooling windows over images of this shape.

    function: the caller's name, for messages
    x_shape: (N, C, H, W)
    size, stride, pad: as of `max_pool2d_forward`
    """
    _image_shape(function, "x.shape", x_shape)
    size = validation.pair(function, "size", size, minimum=1)
    pad = validation.pair(function, "pad", pad, minimum=0)
    if 2 * pad[0] > size[0] or 2 * pad[1] > size[1]:
        raise ValueError(
            f"{function}: pad={pad} exceeds half of size={size}; expected at most half, so that every window contains "
            f"an element; use a smaller pad"
        )
    return windows.checked(function, x_shape, size, stride, pad)


def _image_shape(function, name, x_shape):
    try:
        shape = tuple(operator.index(length) for length in x_shape)
    except TypeError:
        shape = ()
    if len(shape) != 4 or min(shape) < 0 or min(shape[2:]) < 1:
        raise ValueError(
            f"{function}: {name}={x_shape!r} is not a shape of images; expected (N, C, H, W) with H and W at least 1; "
            f"check how the images were made"
        )
    validation.fits(function, name, shape, math.prod(shape))
    return shape

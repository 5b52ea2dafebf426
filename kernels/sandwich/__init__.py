"""Neighbouring layers as one operation: affine-relu, conv-relu and conv-relu-pool.

Each is defined as the composition of its parts, and naive and vectorized compute it so; a faster backend passes over
memory once, and the array between the parts need not exist. This is the only operation that leans on others.
"""

from .. import checks, switch
from ..conv2d import geometry as conv_geometry
from ..pool2d import geometry as pool_geometry
from ..pool2d import index_dtype

_variant = switch.operation(__name__)


def affine_relu_forward(x, w, b):
    """out = max(0, x @ w + b): `affine_forward`, then `relu_forward`. x (N, D), w (D, M), b (M,) give out (N, M)."""
    x, w, b = checks.floats("affine_relu_forward", x=(x, "N D"), w=(w, "D M"), b=(b, "M"))
    return _variant().affine_relu_forward(x, w, b)


def affine_relu_backward(dout, x, w, out, need_dx=True):
    """Gradients of `affine_relu_forward`: dout and its output out (N, M), x and w give dx (or None), dw, db.

    The gradient passes where out > 0; at ReLU's kink it is 0.
    """
    x, w, dout, out = checks.floats(
        "affine_relu_backward", x=(x, "N D"), w=(w, "D M"), dout=(dout, "N M"), out=(out, "N M")
    )
    return _variant().affine_relu_backward(dout, x, w, out, bool(need_dx))


def conv2d_relu_forward(x, w, b, stride=1, pad=0):
    """out = max(0, conv2d(x, w, b)): `conv2d_forward`, then `relu_forward`; arguments as there."""
    function = "conv2d_relu_forward"
    x, w, b = checks.floats(function, x=(x, "N C H W"), w=(w, "F C KH KW"), b=(b, "F"))
    stride, pad, _ = conv_geometry(function, x, w, stride, pad)
    return _variant().conv2d_relu_forward(x, w, b, stride, pad)


def conv2d_relu_backward(dout, x, w, out, stride=1, pad=0, need_dx=True):
    """Gradients of `conv2d_relu_forward`: dout and its output out (N, F, OH, OW), x and w give dx (or None), dw, db."""
    function = "conv2d_relu_backward"
    x, w, dout, out = checks.floats(
        function, x=(x, "N C H W"), w=(w, "F C KH KW"), dout=(dout, "N F OH OW"), out=(out, "N F OH OW")
    )
    stride, pad, size = conv_geometry(function, x, w, stride, pad)
    checks.shape(function, "dout", dout, (x.shape[0], w.shape[0], *size))
    return _variant().conv2d_relu_backward(dout, x, w, out, stride, pad, bool(need_dx))


def conv2d_relu_pool_forward(x, w, b, stride, pad, pool_size, pool_stride):
    """`conv2d_forward`, `relu_forward` and `max_pool2d_forward` (without padding) in one.

    Inputs: x (N, C, H, W), w (F, C, KH, KW), b (F,); stride, pad of the convolution; pool_size, pool_stride
    Returns
        out (N, F, PH, PW): the pooled image
        index (N, F, PH, PW): the winner's place in its window as in `max_pool2d_forward`; the window's size ("none")
            where the winner is not positive or NaN, since ReLU then stops the gradient
    Every backend: ties, NaN and N = 0 as in the parts. Raises what the parts raise.
    """
    function = "conv2d_relu_pool_forward"
    x, w, b = checks.floats(function, x=(x, "N C H W"), w=(w, "F C KH KW"), b=(b, "F"))
    stride, pad, pool_size, pool_stride, _ = _pool_geometry(function, x, w, stride, pad, pool_size, pool_stride)
    return _variant().conv2d_relu_pool_forward(x, w, b, stride, pad, pool_size, pool_stride)


def conv2d_relu_pool_backward(dout, x, w, index, stride, pad, pool_size, pool_stride, need_dx=True):
    """Gradients of `conv2d_relu_pool_forward`: dout and index (N, F, PH, PW), x and w give dx (or None), dw, db."""
    function = "conv2d_relu_pool_backward"
    x, w, dout = checks.floats(function, x=(x, "N C H W"), w=(w, "F C KH KW"), dout=(dout, "N F PH PW"))
    stride, pad, pool_size, pool_stride, size = _pool_geometry(function, x, w, stride, pad, pool_size, pool_stride)
    checks.shape(function, "dout", dout, (x.shape[0], w.shape[0], *size))
    index = checks.index(function, "index", index, dout.shape, pool_size[0] * pool_size[1], index_dtype(pool_size))
    return _variant().conv2d_relu_pool_backward(dout, x, w, index, stride, pad, pool_size, pool_stride, bool(need_dx))


def _pool_geometry(function, x, w, stride, pad, pool_size, pool_stride):
    stride, pad, size = conv_geometry(function, x, w, stride, pad)
    between = (x.shape[0], w.shape[0], *size)
    pool_size, pool_stride, _, out_size = pool_geometry(function, between, pool_size, pool_stride, 0)
    return stride, pad, pool_size, pool_stride, out_size

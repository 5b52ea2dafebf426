"""Convolution of images with filters (cross-correlation, as every neural-network library defines it).

    out[n, f, oh, ow] = b[f] + sum_{c, kh, kw} x[n, c, h, v] * w[f, c, kh, kw]
    where h = oh*stride + kh*dilation - pad and v = ow*stride + kw*dilation - pad

where x is zero outside its borders, OH = 1 + (H + 2*pad - dilation*(KH - 1) - 1) // stride and OW likewise.
Sources: Dumoulin & Visin, A guide to convolution arithmetic for deep learning (2016), sections 2 and 5.1;
Yu & Koltun, Multi-scale context aggregation by dilated convolutions (2016), section 2.
"""

from ..dispatch import signatures, specification, switch, validation, windows
from . import spec

_variant = switch.operation(__name__)
_floats = specification.floats(spec.FUNCTIONS)


@signatures.checked
def conv2d_forward(x, w, b, stride=1, pad=0, dilation=1):
    """Convolve N images with F filters.

    Inputs (float32 or float64, any layout, never modified):
        x (N, C, H, W): images
        w (F, C, KH, KW): filters
        b (F,): bias
        stride, pad, dilation: an integer or a (height, width) pair; stride and dilation >= 1, pad >= 0
    Returns out (N, F, OH, OW) in the dtype of the inputs, C-contiguous.

    Every backend: N = 0 gives an empty out; NaN and infinity spread as the formula says; sums are accumulated in
    the dtype of the inputs. Rows and columns at the end that no window reaches are ignored, as in PyTorch.
    Raises ValueError for shapes that do not match or a window larger than the padded image, TypeError
    for dtypes other than float32, float64 and integers.
    Cost: 2*N*F*OH*OW*C*KH*KW flops; reads x and w, writes out.
    """
    function = "conv2d_forward"
    x, w, b = _floats(function, x=x, w=w, b=b)
    return _variant().conv2d_forward(x, w, b, geometry(function, x, w, stride, pad, dilation))


@signatures.checked
def conv2d_backward(dout, x, w, stride=1, pad=0, need_dx=True, dilation=1):
    """Gradients of a loss with respect to x, w and b of `conv2d_forward`, given dout = dloss/dout.

        db[f] = sum_{n, oh, ow} dout[n, f, oh, ow]
        dw[f, c, kh, kw] = sum_{n, oh, ow} dout[n, f, oh, ow] * x[n, c, h, v], with h and v as in the module's formula
        dx[n, c, h, w] = sum of dout[n, f, oh, ow] * w[f, c, kh, kw] over all f, oh, ow, kh, kw that read x[n, c, h, w]

    Inputs: dout (N, F, OH, OW); x, w, stride, pad and dilation as given to the forward pass.
        need_dx: False skips dx, which a first layer does not need
    Returns dx (N, C, H, W), or None if need_dx is False; dw (F, C, KH, KW); db (F,).

    Every backend: N = 0 gives zeros. NaN and infinity reach at least the elements that the formulas name; a backend
    may also multiply them by zeros of the padding, so that more elements of the gradients become NaN.
    Raises the same errors as `conv2d_forward`, and ValueError if the shape of dout does not match.
    Cost: twice the flops of the forward pass, half of them for dx.
    """
    function = "conv2d_backward"
    x, w, dout = _floats(function, x=x, w=w, dout=dout)
    geometry_ = geometry(function, x, w, stride, pad, dilation)
    validation.shape(function, "dout", dout, (x.shape[0], w.shape[0], *geometry_.out))
    return _variant().conv2d_backward(dout, x, w, geometry_, validation.flag(function, "need_dx", need_dx))


def geometry(function, x, w, stride, pad, dilation):
    """Return the checked `Geometry` of filters over images. Raises ValueError if w is empty.

    function: the caller's name, for messages
    x, w: arrays, of which the shapes count
    stride, pad, dilation: as of `conv2d_forward`
    """
    validation.not_empty(function, "w", w)
    return windows.checked(function, x.shape, w.shape[2:], stride, pad, dilation)

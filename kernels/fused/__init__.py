"""Fused layers: affine or convolution, followed by batch or layer norm, ReLU and max pooling.

Each function is defined as the composition of its parts, and naive and vectorized compute it that way; a faster backend
needs fewer passes over memory and may not store intermediate arrays. This is the only operation that depends on others.

Functions with a norm take gamma, beta and epsilon as in `normalization`. `*_forward` normalizes by the statistics of
`pre_norm`, the output of the affine layer or the convolution, and returns pre_norm, mean and var for the backward pass;
batch norm then needs N >= 1. `*_inference` normalizes by the given mean and var, which may be folded into w and b.
"""

import math

from ..conv2d import geometry as conv_geometry
from ..dispatch import signatures, specification, switch, validation
from ..pool2d import geometry as pool_geometry
from ..pool2d import index_dtype
from . import spec

_variant = switch.operation(__name__)
_floats = specification.floats(spec.FUNCTIONS)
_number = specification.number(spec.FUNCTIONS)


@signatures.checked
def affine_relu_forward(x, w, b):
    """The result max(0, x @ w + b) of `affine_forward`, then `relu_forward`: (N, M) for x (N, D), w (D, M), b (M,)."""
    x, w, b = _floats("affine_relu_forward", x=x, w=w, b=b)
    return _variant().affine_relu_forward(x, w, b)


@signatures.checked
def affine_relu_backward(dout, x, w, out, need_dx=True):
    """Gradients of `affine_relu_forward`: dx (or None), dw, db.

    Inputs: dout (N, M); x and w of the forward pass, out (N, M) that it returned; need_dx: False to skip dx
    The gradient of ReLU is 1 where out > 0 and 0 elsewhere.
    """
    x, w, dout, out = _floats("affine_relu_backward", x=x, w=w, dout=dout, out=out)
    return _variant().affine_relu_backward(dout, x, w, out, validation.flag("affine_relu_backward", "need_dx", need_dx))


@signatures.checked
def affine_batchnorm_relu_forward(x, w, b, gamma, beta, epsilon):
    """`affine_forward`, `batchnorm_forward`, `relu_forward`: x (N, D), w (D, M); b, gamma, beta (M,).

    Returns out (N, M), pre_norm (N, M), mean (M,), var (M,).
    """
    function = "affine_batchnorm_relu_forward"
    arrays = _floats(function, x=x, w=w, b=b, gamma=gamma, beta=beta)
    validation.has_statistics(function, "x", arrays[0].shape[:1])
    return _variant().affine_batchnorm_relu_forward(*arrays, _positive(function, epsilon))


@signatures.checked
def affine_batchnorm_relu_backward(dout, x, w, pre_norm, gamma, mean, var, epsilon, out, need_dx=True):
    """Gradients of `affine_batchnorm_relu_forward`: dx (or None), dw, db, dgamma, dbeta.

    Inputs: dout (N, M); x, w, gamma, epsilon of the forward pass; pre_norm, mean, var, out that it
    returned; need_dx: False to skip dx
    """
    function = "affine_batchnorm_relu_backward"
    x, w, gamma, mean, var, dout, pre_norm, out = _floats(
        function,
        x=x,
        w=w,
        gamma=gamma,
        mean=mean,
        var=var,
        dout=dout,
        pre_norm=pre_norm,
        out=out,
    )
    epsilon = _positive(function, epsilon, var)
    return _variant().affine_batchnorm_relu_backward(
        dout, x, w, pre_norm, gamma, mean, var, epsilon, out, validation.flag(function, "need_dx", need_dx)
    )


@signatures.checked
def affine_batchnorm_relu_inference(x, w, b, gamma, beta, mean, var, epsilon):
    """`affine_forward`, `batchnorm_inference`, `relu_forward`: mean, var (M,). Returns out (N, M)."""
    function = "affine_batchnorm_relu_inference"
    arrays = _floats(
        function,
        x=x,
        w=w,
        b=b,
        gamma=gamma,
        beta=beta,
        mean=mean,
        var=var,
    )
    return _variant().affine_batchnorm_relu_inference(*arrays, _positive(function, epsilon, arrays[-1]))


@signatures.checked
def affine_batchnorm_relu_inference_backward(dout, x, w, b, gamma, mean, var, epsilon, out, need_dx=True):
    """Gradients of `affine_batchnorm_relu_inference`, as `affine_batchnorm_relu_backward`; mean, var are constants."""
    function = "affine_batchnorm_relu_inference_backward"
    x, w, b, gamma, mean, var, dout, out = _floats(
        function,
        x=x,
        w=w,
        b=b,
        gamma=gamma,
        mean=mean,
        var=var,
        dout=dout,
        out=out,
    )
    epsilon = _positive(function, epsilon, var)
    return _variant().affine_batchnorm_relu_inference_backward(
        dout, x, w, b, gamma, mean, var, epsilon, out, validation.flag(function, "need_dx", need_dx)
    )


@signatures.checked
def affine_layernorm_relu_forward(x, w, b, gamma, beta, epsilon):
    """`affine_forward`, `groupnorm_forward` with one group, `relu_forward`; arguments as for batch norm, M >= 1.

    Returns out (N, M), pre_norm (N, M), mean (N, 1), var (N, 1).
    """
    function = "affine_layernorm_relu_forward"
    arrays = _floats(function, x=x, w=w, b=b, gamma=gamma, beta=beta)
    validation.not_empty(function, "b", arrays[2])
    return _variant().affine_layernorm_relu_forward(*arrays, _positive(function, epsilon))


@signatures.checked
def affine_layernorm_relu_backward(dout, x, w, pre_norm, gamma, mean, var, epsilon, out, need_dx=True):
    """Gradients of `affine_layernorm_relu_forward`, as `affine_batchnorm_relu_backward`; mean, var (N, 1)."""
    function = "affine_layernorm_relu_backward"
    x, w, gamma, mean, var, dout, pre_norm, out = _floats(
        function,
        x=x,
        w=w,
        gamma=gamma,
        mean=mean,
        var=var,
        dout=dout,
        pre_norm=pre_norm,
        out=out,
    )
    validation.not_empty(function, "gamma", gamma)
    epsilon = _positive(function, epsilon, var)
    return _variant().affine_layernorm_relu_backward(
        dout, x, w, pre_norm, gamma, mean, var, epsilon, out, validation.flag(function, "need_dx", need_dx)
    )


@signatures.checked
def conv2d_relu_forward(x, w, b, stride=1, pad=0, dilation=1):
    """The result max(0, conv2d(x, w, b)) of `conv2d_forward`, then `relu_forward`; arguments of `conv2d_forward`."""
    function = "conv2d_relu_forward"
    x, w, b = _floats(function, x=x, w=w, b=b)
    return _variant().conv2d_relu_forward(x, w, b, conv_geometry(function, x, w, stride, pad, dilation))


@signatures.checked
def conv2d_relu_backward(dout, x, w, out, stride=1, pad=0, need_dx=True, dilation=1):
    """Gradients of `conv2d_relu_forward`: dx (or None), dw, db; arguments of `conv2d_backward`, and its output out.

    Inputs: out (N, F, OH, OW) that the forward pass returned
    """
    function = "conv2d_relu_backward"
    x, w, dout, out = _floats(function, x=x, w=w, dout=dout, out=out)
    geometry = conv_geometry(function, x, w, stride, pad, dilation)
    validation.shape(function, "dout", dout, (len(x), len(w), *geometry.out))
    return _variant().conv2d_relu_backward(dout, x, w, out, geometry, validation.flag(function, "need_dx", need_dx))


@signatures.checked
def conv2d_batchnorm_relu_forward(x, w, b, gamma, beta, epsilon, stride=1, pad=0, dilation=1):
    """`conv2d_forward`, `batchnorm_forward`, `relu_forward`: x (N, C, H, W), w (F, C, KH, KW); b, gamma, beta (F,).

    Returns out (N, F, OH, OW), pre_norm (N, F, OH, OW), mean (F,), var (F,).
    """
    function = "conv2d_batchnorm_relu_forward"
    arrays = _floats(function, x=x, w=w, b=b, gamma=gamma, beta=beta)
    geometry = conv_geometry(function, *arrays[:2], stride, pad, dilation)
    validation.has_statistics(function, "x", arrays[0].shape)
    return _variant().conv2d_batchnorm_relu_forward(*arrays, _positive(function, epsilon), geometry)


@signatures.checked
def conv2d_batchnorm_relu_backward(
    dout, x, w, pre_norm, gamma, mean, var, epsilon, out, stride=1, pad=0, need_dx=True, dilation=1
):
    """Gradients of `conv2d_batchnorm_relu_forward`: dx (or None), dw, db, dgamma, dbeta.

    Inputs: dout (N, F, OH, OW); x, w, gamma, epsilon, stride, pad, dilation of the forward pass; pre_norm, mean, var,
    out that it returned; need_dx: False to skip dx
    """
    function = "conv2d_batchnorm_relu_backward"
    x, w, gamma, mean, var, dout, pre_norm, out = _floats(
        function, x=x, w=w, gamma=gamma, mean=mean, var=var, dout=dout, pre_norm=pre_norm, out=out
    )
    geometry = conv_geometry(function, x, w, stride, pad, dilation)
    validation.shape(function, "dout", dout, (len(x), len(w), *geometry.out))
    epsilon = _positive(function, epsilon, var)
    return _variant().conv2d_batchnorm_relu_backward(
        dout, x, w, pre_norm, gamma, mean, var, epsilon, out, geometry, validation.flag(function, "need_dx", need_dx)
    )


@signatures.checked
def conv2d_batchnorm_relu_inference(x, w, b, gamma, beta, mean, var, epsilon, stride=1, pad=0, dilation=1):
    """`conv2d_forward`, `batchnorm_inference`, `relu_forward`: mean, var (F,). Returns out (N, F, OH, OW)."""
    function = "conv2d_batchnorm_relu_inference"
    arrays = _floats(function, x=x, w=w, b=b, gamma=gamma, beta=beta, mean=mean, var=var)
    geometry = conv_geometry(function, *arrays[:2], stride, pad, dilation)
    return _variant().conv2d_batchnorm_relu_inference(*arrays, _positive(function, epsilon, arrays[-1]), geometry)


@signatures.checked
def conv2d_batchnorm_relu_inference_backward(
    dout, x, w, b, gamma, mean, var, epsilon, out, stride=1, pad=0, need_dx=True, dilation=1
):
    """Gradients of `conv2d_batchnorm_relu_inference`, as `conv2d_batchnorm_relu_backward`; mean, var are constants."""
    function = "conv2d_batchnorm_relu_inference_backward"
    x, w, b, gamma, mean, var, dout, out = _floats(
        function, x=x, w=w, b=b, gamma=gamma, mean=mean, var=var, dout=dout, out=out
    )
    geometry = conv_geometry(function, x, w, stride, pad, dilation)
    validation.shape(function, "dout", dout, (len(x), len(w), *geometry.out))
    epsilon = _positive(function, epsilon, var)
    return _variant().conv2d_batchnorm_relu_inference_backward(
        dout, x, w, b, gamma, mean, var, epsilon, out, geometry, validation.flag(function, "need_dx", need_dx)
    )


@signatures.checked
def conv2d_relu_pool_forward(x, w, b, stride, pad, pool_size, pool_stride, dilation=1):
    """`conv2d_forward`, `relu_forward` and `max_pool2d_forward` without padding.

    Inputs: x (N, C, H, W), w (F, C, KH, KW), b (F,); stride, pad, dilation of the convolution; pool_size,
    pool_stride of the pooling
    Returns
        out (N, F, UH, UW): the pooled images
        index (N, F, UH, UW): the position of the maximum in its window as in `max_pool2d_forward`; the size of the
            window ("none") if the maximum is not positive or NaN, since the gradient of ReLU is then 0
    Every backend: ties, NaN and N = 0 as in the parts. Raises the same errors as the parts.
    """
    function = "conv2d_relu_pool_forward"
    x, w, b = _floats(function, x=x, w=w, b=b)
    geometry, pooling = _pool_geometry(function, x, w, stride, pad, pool_size, pool_stride, dilation)
    return _variant().conv2d_relu_pool_forward(x, w, b, geometry, pooling)


@signatures.checked
def conv2d_relu_pool_backward(dout, x, w, index, stride, pad, pool_size, pool_stride, need_dx=True, dilation=1):
    """Gradients of `conv2d_relu_pool_forward`: dx (or None), dw, db; other arguments as of `conv2d_backward`.

    Inputs: dout (N, F, UH, UW); index that the forward pass returned
    """
    function = "conv2d_relu_pool_backward"
    x, w, dout = _floats(function, x=x, w=w, dout=dout)
    geometry, pooling = _pool_geometry(function, x, w, stride, pad, pool_size, pool_stride, dilation)
    index = _pool_index(function, index, dout, x, w, pooling)
    return _variant().conv2d_relu_pool_backward(
        dout, x, w, index, geometry, pooling, validation.flag(function, "need_dx", need_dx)
    )


@signatures.checked
def conv2d_batchnorm_relu_pool_forward(x, w, b, gamma, beta, epsilon, stride, pad, pool_size, pool_stride, dilation=1):
    """`conv2d_batchnorm_relu_forward`, then `max_pool2d_forward` without padding.

    Returns out and index (N, F, UH, UW) as `conv2d_relu_pool_forward`, pre_norm (N, F, OH, OW), mean (F,), var (F,).
    """
    function = "conv2d_batchnorm_relu_pool_forward"
    arrays = _floats(function, x=x, w=w, b=b, gamma=gamma, beta=beta)
    geometry, pooling = _pool_geometry(function, *arrays[:2], stride, pad, pool_size, pool_stride, dilation)
    validation.has_statistics(function, "x", arrays[0].shape)
    return _variant().conv2d_batchnorm_relu_pool_forward(*arrays, _positive(function, epsilon), geometry, pooling)


@signatures.checked
def conv2d_batchnorm_relu_pool_backward(
    dout, x, w, pre_norm, gamma, mean, var, epsilon, index, stride, pad, pool_size, pool_stride, need_dx=True,
    dilation=1,
):  # fmt: skip
    """Gradients of `conv2d_batchnorm_relu_pool_forward`: dx (or None), dw, db, dgamma, dbeta.

    Inputs: dout (N, F, UH, UW); index that the forward pass returned; the others as of `conv2d_batchnorm_relu_backward`
    """
    function = "conv2d_batchnorm_relu_pool_backward"
    x, w, gamma, mean, var, pre_norm, dout = _floats(
        function, x=x, w=w, gamma=gamma, mean=mean, var=var, pre_norm=pre_norm, dout=dout
    )
    geometry, pooling = _pool_geometry(function, x, w, stride, pad, pool_size, pool_stride, dilation)
    validation.shape(function, "pre_norm", pre_norm, (len(x), len(w), *geometry.out))
    index = _pool_index(function, index, dout, x, w, pooling)
    epsilon = _positive(function, epsilon, var)
    need_dx = validation.flag(function, "need_dx", need_dx)
    return _variant().conv2d_batchnorm_relu_pool_backward(
        dout, x, w, pre_norm, gamma, mean, var, epsilon, index, geometry, pooling, need_dx
    )


@signatures.checked
def conv2d_batchnorm_relu_pool_inference(
    x, w, b, gamma, beta, mean, var, epsilon, stride, pad, pool_size, pool_stride, dilation=1
):
    """`conv2d_batchnorm_relu_inference`, then `max_pool2d_forward` without padding; see `conv2d_relu_pool_forward`."""
    function = "conv2d_batchnorm_relu_pool_inference"
    arrays = _floats(function, x=x, w=w, b=b, gamma=gamma, beta=beta, mean=mean, var=var)
    geometry, pooling = _pool_geometry(function, *arrays[:2], stride, pad, pool_size, pool_stride, dilation)
    epsilon = _positive(function, epsilon, arrays[-1])
    return _variant().conv2d_batchnorm_relu_pool_inference(*arrays, epsilon, geometry, pooling)


@signatures.checked
def conv2d_batchnorm_relu_pool_inference_backward(
    dout, x, w, b, gamma, mean, var, epsilon, index, stride, pad, pool_size, pool_stride, need_dx=True, dilation=1
):
    """Gradients of `conv2d_batchnorm_relu_pool_inference`, as `conv2d_batchnorm_relu_pool_backward`."""
    function = "conv2d_batchnorm_relu_pool_inference_backward"
    x, w, b, gamma, mean, var, dout = _floats(function, x=x, w=w, b=b, gamma=gamma, mean=mean, var=var, dout=dout)
    geometry, pooling = _pool_geometry(function, x, w, stride, pad, pool_size, pool_stride, dilation)
    index = _pool_index(function, index, dout, x, w, pooling)
    epsilon = _positive(function, epsilon, var)
    need_dx = validation.flag(function, "need_dx", need_dx)
    return _variant().conv2d_batchnorm_relu_pool_inference_backward(
        dout, x, w, b, gamma, mean, var, epsilon, index, geometry, pooling, need_dx
    )


def _pool_geometry(function, x, w, stride, pad, pool_size, pool_stride, dilation):
    """Return the geometry of the convolution and of the pooling of its output."""
    geometry = conv_geometry(function, x, w, stride, pad, dilation)
    return geometry, pool_geometry(function, (len(x), len(w), *geometry.out), pool_size, pool_stride, 0)


def _pool_index(function, index, dout, x, w, pooling):
    """Return the checked index of the pooling; dout is checked too."""
    shape, window = (len(x), len(w), *pooling.out), pooling.window
    validation.shape(function, "dout", dout, shape)
    return validation.index(function, "index", index, shape, math.prod(window), index_dtype(window))


def _positive(function, epsilon, var=None):
    """Return the checked epsilon. Raises ValueError if var contains a negative number."""
    if var is not None:
        validation.not_negative(function, "var", var)
    return _number(function, "epsilon", epsilon)

"""Activation functions, applied element by element; maxout takes the maximum over groups of channels.

Common to all of them: inputs are float32 or float64 of any shape and layout (integers are computed in float64) and
are never modified; results are C-contiguous, in the dtype and, unless said otherwise, the shape of the inputs. Every
backend: empty arrays give empty results; out is NaN where x is NaN; "where x > 0, else" uses the else branch for NaN.
Raises ValueError for shapes that do not match and for numbers out of range, TypeError for dtypes other than float32,
float64, integers and booleans. Cost: one pass that reads the inputs and writes the result, 1 to 4 flops per element,
about 30 with an exponential (GELU: 60).
"""

import math

import numpy as np

from ..dispatch import arrays, signatures, specification, switch, validation
from . import spec

_variant = switch.operation(__name__)
_floats = specification.floats(spec.FUNCTIONS)
_number = specification.number(spec.FUNCTIONS)


@signatures.checked
def relu_forward(x):
    """Rectified linear unit: out = max(x, 0).

    Inputs: x (...). Returns out (...); NaN stays NaN.
    Source: Nair & Hinton, Rectified linear units improve restricted Boltzmann machines (2010), section 2.
    """
    (x,) = _floats("relu_forward", x=x)
    return _variant().relu_forward(x)


@signatures.checked
def relu_backward(dout, x):
    """Gradient of `relu_forward`: dx = dout where x > 0, else 0; also 0 at the kink and where x is NaN.

    Inputs: dout (...); x (...) of the forward pass, or its result out, which is positive for the same elements.
    Returns dx (...).
    """
    return _variant().relu_backward(*_pair("relu_backward", dout, x=x))


@signatures.checked
def leaky_relu_forward(x, slope=0.01):
    """Leaky rectified linear unit: out = x where x > 0, else slope * x.

    Inputs: x (...); slope: a finite number. Returns out (...).
    Source: Maas, Hannun & Ng, Rectifier nonlinearities improve neural network acoustic models (2013), section 2.1.
    """
    (x,) = _floats("leaky_relu_forward", x=x)
    return _variant().leaky_relu_forward(x, _number("leaky_relu_forward", "slope", slope))


@signatures.checked
def leaky_relu_backward(dout, x, slope=0.01):
    """Gradient of `leaky_relu_forward`: dx = dout where x > 0, else slope * dout; also slope * dout at the kink.

    Inputs: dout (...); x (...) and slope of the forward pass. Returns dx (...).
    """
    dout, x = _pair("leaky_relu_backward", dout, x=x)
    return _variant().leaky_relu_backward(dout, x, _number("leaky_relu_backward", "slope", slope))


@signatures.checked
def prelu_forward(x, slope):
    """Parametric rectified linear unit, with learned slopes: out[n, c, ...] = x where x > 0, else slope[c] * x.

    Inputs: x (N, C, ...); slope (C,), one for each channel, or (1,), one for all elements of x of any shape.
    Returns out (N, C, ...).
    Source: He, Zhang, Ren & Sun, Delving deep into rectifiers (2015), section 2.1.
    """
    x, slope = _floats("prelu_forward", x=x, slope=slope)
    return _variant().prelu_forward(x.reshape(_planes("prelu_forward", x, slope)), slope).reshape(x.shape)


@signatures.checked
def prelu_backward(dout, x, slope):
    """Gradients of `prelu_forward`; at the kink the left branch applies, as in `leaky_relu_backward`.

        dx[n, c, ...] = dout where x > 0, else slope[c] * dout
        dslope[c] = sum of dout * x over every element of channel c where x is not positive

    Inputs: dout (N, C, ...); x and slope of the forward pass.
    Returns dx (N, C, ...), dslope in the shape of slope. Every backend: dslope is summed in float64 and rounded once.
    """
    function = "prelu_backward"
    dout, x, slope = _floats(function, dout=dout, x=x, slope=slope)
    validation.shape(function, "dout", dout, x.shape)
    planes = _planes(function, x, slope)
    dx, dslope = _variant().prelu_backward(dout.reshape(planes), x.reshape(planes), slope)
    return dx.reshape(x.shape), dslope


@signatures.checked
def elu_forward(x, alpha=1.0):
    """Exponential linear unit: out = x where x > 0, else alpha * (exp(x) - 1).

    Inputs: x (...); alpha: a finite number. Returns out (...). Every backend: exp(x) - 1 keeps its relative accuracy
    near 0.
    Source: Clevert, Unterthiner & Hochreiter, Fast and accurate deep network learning by ELUs (2016), section 3.
    """
    (x,) = _floats("elu_forward", x=x)
    return _variant().elu_forward(x, _number("elu_forward", "alpha", alpha))


@signatures.checked
def elu_backward(dout, x, alpha=1.0):
    """Gradient of `elu_forward`: dx = dout where x > 0, else dout * alpha * exp(x); also alpha * dout at the kink.

    Inputs: dout (...); x (...) and alpha of the forward pass. Returns dx (...).
    """
    dout, x = _pair("elu_backward", dout, x=x)
    return _variant().elu_backward(dout, x, _number("elu_backward", "alpha", alpha))


@signatures.checked
def sigmoid_forward(x):
    """Logistic function: out = 1 / (1 + exp(-x)).

    Inputs: x (...). Returns out (...), within [0, 1]. Every backend: nothing overflows, whatever the sign of x.
    Source: LeCun, Bottou, Orr & Müller, Efficient BackProp (1998), section 4.4.
    """
    (x,) = _floats("sigmoid_forward", x=x)
    return _variant().sigmoid_forward(x)


@signatures.checked
def sigmoid_backward(dout, out):
    """Gradient of `sigmoid_forward`: dx = dout * out * (1 - out).

    Inputs: dout (...); out (...), the result of the forward pass. Returns dx (...).
    """
    return _variant().sigmoid_backward(*_pair("sigmoid_backward", dout, out=out))


@signatures.checked
def tanh_forward(x):
    """Hyperbolic tangent: out = (exp(x) - exp(-x)) / (exp(x) + exp(-x)).

    Inputs: x (...). Returns out (...), within [-1, 1]. Every backend: nothing overflows, and small x keep their
    relative accuracy.
    Source: LeCun, Bottou, Orr & Müller, Efficient BackProp (1998), section 4.4.
    """
    (x,) = _floats("tanh_forward", x=x)
    return _variant().tanh_forward(x)


@signatures.checked
def tanh_backward(dout, out):
    """Gradient of `tanh_forward`: dx = dout * (1 - out) * (1 + out).

    Inputs: dout (...); out (...) of the forward pass. Returns dx (...). The form 1 - out * out would cancel near 1.
    """
    return _variant().tanh_backward(*_pair("tanh_backward", dout, out=out))


@signatures.checked
def gelu_forward(x):
    """Gaussian error linear unit, in its exact form.

        out = x * P(X <= x) = x * (1 + erf(x / sqrt(2))) / 2,    X standard normal

    Inputs: x (...). Returns out (...); NaN at minus infinity, where the product is -inf * 0. Every backend: the
    probability keeps its relative accuracy for negative x, where 1 + erf cancels.
    Source: Hendrycks & Gimpel, Gaussian error linear units (2016), section 2.
    """
    (x,) = _floats("gelu_forward", x=x)
    return _variant().gelu_forward(x)


@signatures.checked
def gelu_backward(dout, x):
    """Gradient of `gelu_forward`: dx = dout * (P(X <= x) + x * exp(-x * x / 2) / sqrt(2 * pi)).

    Inputs: dout (...); x (...) of the forward pass. Returns dx (...).
    """
    return _variant().gelu_backward(*_pair("gelu_backward", dout, x=x))


@signatures.checked
def maxout_forward(x, pieces):
    """Maximum of each group of `pieces` adjacent channels.

        out[n, m, ...] = max_p x[n, m*pieces + p, ...],    index[n, m, ...] = the p of that maximum

    Inputs: x (N, M*pieces, ...), also (N, M*pieces); pieces: an integer from 1 to 256.
    Returns out (N, M, ...) and index (N, M, ...), uint8. Every backend: the first of equal maxima is chosen; NaN is
    larger than any number, and the first NaN is chosen. Raises ValueError also if pieces does not divide the channels.
    Source: Goodfellow, Warde-Farley, Mirza, Courville & Bengio, Maxout networks (2013), section 3.
    """
    function = "maxout_forward"
    (x,) = _floats(function, x=x)
    pieces = _number(function, "pieces", pieces)
    images, channels, *rest = x.shape
    if channels % pieces:
        fewer = channels - channels % pieces
        raise ValueError(
            f"{function}: channels do not divide: x.shape[1] = {channels} is not a multiple of pieces={pieces}; "
            f"expected groups of {pieces}; use {fewer} or {fewer + pieces} channels"
        )
    shape = (images, channels // pieces, *rest)
    out, index = _variant().maxout_forward(x.reshape(*shape[:2], pieces, math.prod(rest)), pieces)
    return out.reshape(shape), index.reshape(shape)


@signatures.checked
def maxout_backward(dout, index, pieces):
    """Gradient of `maxout_forward`: dx[n, m*pieces + p, ...] = dout[n, m, ...] where p = index[n, m, ...], else 0.

    Inputs: dout (N, M, ...); index (N, M, ...) and pieces of the forward pass. Returns dx (N, M*pieces, ...).
    Raises ValueError or TypeError also for an index that is not an integer from 0 to pieces - 1.
    """
    function = "maxout_backward"
    (dout,) = _floats(function, dout=dout)
    pieces = _number(function, "pieces", pieces)
    index = _index(function, index, dout.shape, pieces)
    images, groups, *rest = dout.shape
    planes = (images, groups, math.prod(rest))
    dx = _variant().maxout_backward(dout.reshape(planes), index.reshape(planes), pieces)
    return dx.reshape(images, groups * pieces, *rest)


def _pair(function, dout, **other):
    ((name, value),) = other.items()
    dout, value = _floats(function, dout=dout, **{name: value})
    validation.shape(function, "dout", dout, value.shape)
    return dout, value


def _planes(function, x, slope):
    """Return the shape (N, C, S) in which x has one channel for each slope."""
    if slope.size == 1:
        return (*x.shape[:1], 1, math.prod(x.shape[1:])) if x.ndim else (1, 1, 1)
    if x.ndim < 2 or x.shape[1] != slope.size:
        raise ValueError(
            f"{function}: slope.shape = {slope.shape} does not fit x.shape = {x.shape}; expected (1,) or one slope for "
            "each of the channels x.shape[1]; pass the slopes of these channels"
        )
    return (*x.shape[:2], math.prod(x.shape[2:]))


def _index(function, index, expected, pieces):
    """Check the shape and range of the index of a maxout; return it as C-contiguous uint8."""
    index = validation.array(function, "index", index)
    if index.dtype.kind not in "iu":
        raise TypeError(
            f"{function}: index.dtype = {index.dtype} is not an integer dtype; expected integers; "
            "pass the index that maxout_forward returned"
        )
    validation.shape(function, "index", index, expected)
    if index.size and (index.min() < 0 or index.max() >= pieces):
        wrong = index[(index < 0) | (index >= pieces)][0]
        raise ValueError(
            f"{function}: index contains {wrong}; expected 0 to {pieces - 1} for pieces={pieces}; "
            "pass the index and the pieces of one forward pass"
        )
    return arrays.contiguous(index, np.dtype(np.uint8))

"""`activations` on a GPU: each thread applies the formula of the naive loops to one element, in the dtype of x.

For maxout each thread computes the maximum of one group; the gradient of a slope is a block reduction.
"""

import math

import numpy as np
from numba import cuda, float64

from ..gpu.launch import device, kernel, split
from ..gpu.memory import on_device, xp
from ..gpu.reduce import block_sum, is_first, kernel_of_sums, narrowed, own_part, own_share, position, stride, sums


def _each(compute, *arguments):
    """Launch a kernel with one thread and one result for each element of the first array."""
    out = xp.empty_like(arguments[0])
    compute(out.size, out.size, *arguments, out)
    return out


@on_device
def relu_forward(x):
    return _each(_relu, x, x.dtype.type(0))


@on_device
def relu_backward(dout, x):
    return _each(_relu_gradients, dout, x, x.dtype.type(0))


@on_device
def leaky_relu_forward(x, slope):
    return _each(_leaky_relu, x, x.dtype.type(slope))


@on_device
def leaky_relu_backward(dout, x, slope):
    return _each(_leaky_relu_gradients, dout, x, x.dtype.type(slope))


@on_device
def prelu_forward(x, slope):
    """x (N, C, S), slope (C,)."""
    _, C, S = x.shape
    return _each(_prelu, x, C, S, slope)


@on_device
def prelu_backward(dout, x, slope):
    """dout and x (N, C, S), slope (C,)."""
    _, C, S = x.shape
    products = xp.empty(C)
    sums(_slope_gradients, x.shape, (dout, x), (products,))
    dslope = narrowed(products, slope.dtype)
    return _each(_prelu_gradients, dout, x, C, S, slope), dslope


@on_device
def elu_forward(x, alpha):
    return _each(_elu, x, x.dtype.type(alpha))


@on_device
def elu_backward(dout, x, alpha):
    return _each(_elu_gradients, dout, x, x.dtype.type(alpha))


@on_device
def sigmoid_forward(x):
    return _each(_sigmoid, x, x.dtype.type(1))


@on_device
def sigmoid_backward(dout, out):
    return _each(_sigmoid_gradients, dout, out, out.dtype.type(1))


@on_device
def tanh_forward(x):
    return _each(_tanh, x)


@on_device
def tanh_backward(dout, out):
    return _each(_tanh_gradients, dout, out, out.dtype.type(1))


@on_device
def gelu_forward(x):
    number = x.dtype.type
    return _each(_gelu, x, number(0.5), number(math.sqrt(2)))


@on_device
def gelu_backward(dout, x):
    number = x.dtype.type
    return _each(_gelu_gradients, dout, x, number(0.5), number(math.sqrt(2)), number(math.sqrt(2 * math.pi)))


@on_device
def maxout_forward(x, pieces):
    """x (N, M, pieces, S)."""
    N, M, _, S = x.shape
    out, index = xp.empty((N, M, S), x.dtype), xp.empty((N, M, S), np.uint8)
    _maxout(out.size, out.size, pieces, S, x, out, index)
    return out, index


@on_device
def maxout_backward(dout, index, pieces):
    """dout and index (N, M, S)."""
    N, M, S = dout.shape
    dx = xp.empty((N, M, pieces, S), dout.dtype)
    _maxout_gradients(dx.size, dx.size, pieces, S, dout, index, dout.dtype.type(0), dx)
    return dx


@kernel
def _relu(count, x, zero, out):
    """out = 0 where x <= 0, else x, so NaN stays NaN"""
    i = cuda.grid(1)
    if i < count:
        out[i] = zero if x[i] <= zero else x[i]


@kernel
def _relu_gradients(count, dout, x, zero, dx):
    """dx = dout where x > 0, else 0"""
    i = cuda.grid(1)
    if i < count:
        dx[i] = dout[i] if x[i] > zero else zero


@kernel
def _leaky_relu(count, x, slope, out):
    """out = x where x > 0, else slope * x"""
    i = cuda.grid(1)
    if i < count:
        out[i] = x[i] if x[i] > 0 else slope * x[i]


@kernel
def _leaky_relu_gradients(count, dout, x, slope, dx):
    """dx = dout where x > 0, else slope * dout"""
    i = cuda.grid(1)
    if i < count:
        dx[i] = dout[i] if x[i] > 0 else slope * dout[i]


@kernel
def _prelu(count, x, C, S, slope, out):
    """out[n, c, s] = x where x > 0, else slope[c] * x"""
    i = cuda.grid(1)
    if i < count:
        plane, _ = split(i, S)
        _, c = split(plane, C)
        out[i] = x[i] if x[i] > 0 else slope[c] * x[i]


@kernel
def _prelu_gradients(count, dout, x, C, S, slope, dx):
    """dx[n, c, s] = dout where x > 0, else slope[c] * dout"""
    i = cuda.grid(1)
    if i < count:
        plane, _ = split(i, S)
        _, c = split(plane, C)
        dx[i] = dout[i] if x[i] > 0 else slope[c] * dout[i]


@kernel_of_sums
def _slope_gradients(wide, parts, chunk, N, C, S, dout, x, products):
    """products[c] = sum of dout * x where x is not positive, in float64"""
    c, i, end = own_share(wide, parts, chunk, N, C, S)
    total = 0.0
    while i < end:
        here = position(i, c, C, S)
        if not x[here] > 0:
            total += float64(dout[here]) * float64(x[here])
        i += stride(wide)
    total = block_sum(total, wide)
    if is_first(wide) and c < C:
        products[own_part(parts) * C + c] = total


@kernel
def _elu(count, x, alpha, out):
    """out = x where x > 0, else alpha * (exp(x) - 1)"""
    i = cuda.grid(1)
    if i < count:
        out[i] = x[i] if x[i] > 0 else alpha * math.expm1(x[i])


@kernel
def _elu_gradients(count, dout, x, alpha, dx):
    """dx = dout where x > 0, else dout * alpha * exp(x)"""
    i = cuda.grid(1)
    if i < count:
        dx[i] = dout[i] if x[i] > 0 else dout[i] * alpha * math.exp(x[i])


@kernel
def _sigmoid(count, x, one, out):
    """out = 1 / (1 + exp(-x)) for x >= 0, else exp(x) / (1 + exp(x)), so that no exponential exceeds 1"""
    i = cuda.grid(1)
    if i < count:
        small = math.exp(-abs(x[i]))
        out[i] = (one if x[i] >= 0 else small) / (one + small)


@kernel
def _sigmoid_gradients(count, dout, out, one, dx):
    """dx = dout * out * (1 - out)"""
    i = cuda.grid(1)
    if i < count:
        dx[i] = dout[i] * out[i] * (one - out[i])


@kernel
def _tanh(count, x, out):
    i = cuda.grid(1)
    if i < count:
        out[i] = math.tanh(x[i])


@kernel
def _tanh_gradients(count, dout, out, one, dx):
    """dx = dout * (1 - out) * (1 + out)"""
    i = cuda.grid(1)
    if i < count:
        dx[i] = dout[i] * ((one - out[i]) * (one + out[i]))


@device
def _probability(x, half, root):
    """Return P(X <= x) = (1 + erf(x / sqrt(2))) / 2, without cancellation for negative x."""
    return half * math.erfc(-x / root)


@kernel
def _gelu(count, x, half, root, out):
    """out = x * P(X <= x)"""
    i = cuda.grid(1)
    if i < count:
        out[i] = x[i] * _probability(x[i], half, root)


@kernel
def _gelu_gradients(count, dout, x, half, root, area, dx):
    """dx = dout * (P(X <= x) + x * density), where density = exp(-x * x / 2) / sqrt(2 * pi)"""
    i = cuda.grid(1)
    if i < count:
        density = math.exp(-half * x[i] * x[i]) / area
        dx[i] = dout[i] * (_probability(x[i], half, root) + x[i] * density)


@kernel
def _maxout(count, pieces, S, x, out, index):
    """out[n, m, s] = max_p x[n, m, p, s] and its p: the first of equal maxima, or the first NaN"""
    i = cuda.grid(1)
    if i < count:
        group, s = split(i, S)
        start = group * pieces * S + s
        best, largest = 0, x[start]
        for p in range(1, pieces):
            value = x[start + p * S]
            if value > largest or (value != value and largest == largest):
                best, largest = p, value
        out[i], index[i] = largest, best


@kernel
def _maxout_gradients(count, pieces, S, dout, index, zero, dx):
    """dx[n, m, p, s] = dout[n, m, s] where p = index[n, m, s], else 0"""
    i = cuda.grid(1)
    if i < count:
        row, s = split(i, S)
        group, p = split(row, pieces)
        source = group * S + s
        dx[i] = dout[source] if index[source] == p else zero

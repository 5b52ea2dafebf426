"""`activations` as one pass over memory on all cores; every constant in the dtype of the arrays, so the loops vectorise.

The C library's exp, tanh and erf are calls, which keep a loop from vectorising: sigmoid of 1e6 float32 took 1.1 ms
with its exp, tanh 6.8 ms, erfc 7.9 ms, against 0.15 to 0.25 ms here. So exp is a power of two times a Taylor series
(`_exponentials`) and the normal distribution exp times a polynomial (`_normal`), both within a few units in the last place.
"""

import math

import numpy as np
from numba import prange, types
from numba.extending import overload, register_jitable

from .. import threads

# No reassociation in here: it would cancel the roundings that `_exponentials` is built from.
EXACT = {"fastmath": {"contract"}, "error_model": "numpy", "forceinline": True}


def _polynomial(coefficients):
    """A function for compiled code: sum_k coefficients[k] * x**k, by Horner's rule."""
    last, others = coefficients[-1], tuple(coefficients[-2::-1])

    def polynomial(x):
        total = last
        for coefficient in others:
            total = total * x + coefficient
        return total

    return register_jitable(**EXACT)(polynomial)


def _exponentials(v):
    """exp(v) and exp(v) - 1 for v <= 0, in the dtype of v; the first is 0 below the smallest normal number."""
    return np.exp(v), np.expm1(v)


@overload(_exponentials, jit_options=EXACT)
def _compile_exponentials(v):
    """v = n*ln(2) + r with n whole and |r| <= ln(2)/2: exp(v) = 2**n * exp(r) (Cody & Waite 1980, chapter 6)."""
    if v == types.float32:
        dtype, mantissa, bias, smallest, degree = np.float32, 23, 127, -87, 7
        high, low = 0.693359375, -0.00021219444005469057  # ln(2); n * high is exact, high having few bits

        @register_jitable
        def power_of_two(shifted):
            return np.uint32(np.float32(shifted).view(np.uint32) << np.uint32(23)).view(np.float32)
    else:
        dtype, mantissa, bias, smallest, degree = np.float64, 52, 1023, -708, 13
        high, low = 0.6931471803691238, 1.9082149292705877e-10

        @register_jitable
        def power_of_two(shifted):
            return np.uint64(np.float64(shifted).view(np.uint64) << np.uint64(52)).view(np.float64)

    zero, one, smallest = dtype(0), dtype(1), dtype(smallest)
    high, low, per_ln2 = dtype(high), dtype(low), dtype(1 / math.log(2))
    shift = dtype(1.5 * 2**mantissa + bias)  # adding it rounds to whole numbers and leaves n + bias in the lowest bits
    taylor = _polynomial([dtype(1 / math.factorial(k)) for k in range(2, degree + 1)])

    def exponentials(v):
        kept = smallest if v < smallest else v
        shifted = kept * per_ln2 + shift
        n = shifted - shift
        r = (kept - n * high) - n * low
        series = taylor(r) * r * r + r  # exp(r) - 1
        scale = zero if v < smallest else power_of_two(shifted)
        return scale * series + scale, scale * series + (scale - one)

    return exponentials


def _normal(x):
    """P(X <= x) for a standard normal X, and exp(-x * x / 2), in the dtype of x."""
    return x.dtype.type(math.erfc(-x / math.sqrt(2)) / 2), np.exp(-x * x / 2)


@overload(_normal, jit_options=EXACT)
def _compile_normal(x):
    """P(X <= -a) = exp(-a*a/2) * t * Q(2*t - 1) with t = 4 / (4 + a): Q is smooth, a polynomial fitted when compiling."""
    from numpy.polynomial import chebyshev
    from scipy import special

    dtype, degree = (np.float32, 10) if x == types.float32 else (np.float64, 22)
    u = chebyshev.chebpts1(4 * degree)
    t = (u + 1) / 2
    fitted = chebyshev.chebfit(u, special.erfcx((4 / t - 4) / math.sqrt(2)) / (2 * t), degree)
    polynomial = [dtype(c) for c in chebyshev.cheb2poly(fitted)]
    even, odd = _polynomial(polynomial[::2]), _polynomial(polynomial[1::2])
    half, one, two, four = dtype(0.5), dtype(1), dtype(2), dtype(4)

    def normal(x):
        a = abs(x)
        t = four / (four + a)
        u = two * t - one
        density = _exponentials(-half * a * a)[0]
        tail = density * t * (even(u * u) + u * odd(u * u))
        return tail if x < 0 else one - tail, density

    return normal


def _each(kernel, *arrays, numbers=()):
    """A new array, filled by a kernel that sees flat arrays."""
    out = np.empty_like(arrays[0])
    kernel(*(array.reshape(-1) for array in arrays), *numbers, out.reshape(-1))
    return out


@threads.parallel
def _relu_forward(x, out):
    zero = x.dtype.type(0)
    for i in prange(x.size):
        out[i] = zero if x[i] <= zero else x[i]


def relu_forward(x):
    return _each(_relu_forward, x)


@threads.parallel
def _relu_backward(dout, x, dx):
    zero = x.dtype.type(0)
    for i in prange(x.size):
        dx[i] = dout[i] if x[i] > zero else zero


def relu_backward(dout, x):
    return _each(_relu_backward, dout, x)


@threads.parallel
def _leaky_relu(values, x, slope, out):
    zero, factor = x.dtype.type(0), x.dtype.type(slope)
    for i in prange(x.size):
        out[i] = values[i] if x[i] > zero else factor * values[i]


def leaky_relu_forward(x, slope):
    return _each(_leaky_relu, x, x, numbers=(slope,))


def leaky_relu_backward(dout, x, slope):
    return _each(_leaky_relu, dout, x, numbers=(slope,))


@threads.parallel
def _prelu(values, x, slope, out):
    N, C, S = x.shape
    zero = x.dtype.type(0)
    for n in prange(N):
        for c in range(C):
            factor = slope[c]
            for s in range(S):
                out[n, c, s] = values[n, c, s] if x[n, c, s] > zero else factor * values[n, c, s]


@threads.parallel
def _prelu_slope(dout, x, partial):
    N, C, S = x.shape
    chunks = partial.shape[0]
    for chunk in prange(chunks):
        for n in range(chunk * N // chunks, (chunk + 1) * N // chunks):
            for c in range(C):
                total = 0.0
                for s in range(S):
                    total += 0.0 if x[n, c, s] > 0 else np.float64(dout[n, c, s]) * np.float64(x[n, c, s])
                partial[chunk, c] += total


def prelu_forward(x, slope):
    out = np.empty_like(x)
    _prelu(x, x, slope, out)
    return out


def prelu_backward(dout, x, slope):
    dx = np.empty_like(x)
    _prelu(dout, x, slope, dx)
    partial = np.zeros((min(len(x), 64), len(slope)))  # as many, whatever the number of threads
    _prelu_slope(dout, x, partial)
    return dx, partial.sum(axis=0).astype(slope.dtype)


@threads.parallel
def _elu_forward(x, alpha, out):
    zero, factor = x.dtype.type(0), x.dtype.type(alpha)
    for i in prange(x.size):
        expm1 = _exponentials(zero if x[i] > zero else x[i])[1]
        out[i] = x[i] if x[i] > zero else factor * expm1


def elu_forward(x, alpha):
    return _each(_elu_forward, x, numbers=(alpha,))


@threads.parallel
def _elu_backward(dout, x, alpha, dx):
    zero, factor = x.dtype.type(0), x.dtype.type(alpha)
    for i in prange(x.size):
        exp = _exponentials(zero if x[i] > zero else x[i])[0]
        dx[i] = dout[i] if x[i] > zero else dout[i] * factor * exp


def elu_backward(dout, x, alpha):
    return _each(_elu_backward, dout, x, numbers=(alpha,))


@threads.parallel
def _sigmoid_forward(x, out):
    zero, one = x.dtype.type(0), x.dtype.type(1)
    for i in prange(x.size):
        small = _exponentials(-abs(x[i]))[0]
        out[i] = (one if x[i] >= zero else small) / (one + small)


def sigmoid_forward(x):
    return _each(_sigmoid_forward, x)


@threads.parallel
def _sigmoid_backward(dout, out, dx):
    one = out.dtype.type(1)
    for i in prange(out.size):
        dx[i] = dout[i] * out[i] * (one - out[i])


def sigmoid_backward(dout, out):
    return _each(_sigmoid_backward, dout, out)


@threads.parallel
def _tanh_forward(x, out):
    zero, two = x.dtype.type(0), x.dtype.type(2)
    for i in prange(x.size):
        expm1 = _exponentials(-two * abs(x[i]))[1]
        size = -expm1 / (two + expm1)
        out[i] = size if x[i] >= zero else -size


def tanh_forward(x):
    return _each(_tanh_forward, x)


@threads.parallel
def _tanh_backward(dout, out, dx):
    one = out.dtype.type(1)
    for i in prange(out.size):
        dx[i] = dout[i] * (one - out[i] * out[i])


def tanh_backward(dout, out):
    return _each(_tanh_backward, dout, out)


@threads.parallel
def _gelu_forward(x, out):
    for i in prange(x.size):
        out[i] = x[i] * _normal(x[i])[0]


def gelu_forward(x):
    return _each(_gelu_forward, x)


@threads.parallel
def _gelu_backward(dout, x, dx):
    scale = x.dtype.type(1 / math.sqrt(2 * math.pi))
    for i in prange(x.size):
        probability, density = _normal(x[i])
        dx[i] = dout[i] * (probability + x[i] * (density * scale))


def gelu_backward(dout, x):
    return _each(_gelu_backward, dout, x)


@threads.parallel
def _maxout_forward(x, out, index):
    N, M, pieces, S = x.shape
    for n in prange(N):
        for m in range(M):
            for s in range(S):
                out[n, m, s], index[n, m, s] = x[n, m, 0, s], 0
            for p in range(1, pieces):
                for s in range(S):
                    value, best = x[n, m, p, s], out[n, m, s]
                    larger = (value > best) | ((value != value) & (best == best))
                    out[n, m, s] = value if larger else best
                    index[n, m, s] = np.uint8(p) if larger else index[n, m, s]


def maxout_forward(x, pieces):
    N, M, _, S = x.shape
    out, index = np.empty((N, M, S), x.dtype), np.empty((N, M, S), np.uint8)
    _maxout_forward(x, out, index)
    return out, index


@threads.parallel
def _maxout_backward(dout, index, dx):
    N, M, pieces, S = dx.shape
    zero = dx.dtype.type(0)
    for n in prange(N):
        for m in range(M):
            for p in range(pieces):
                for s in range(S):
                    dx[n, m, p, s] = dout[n, m, s] if index[n, m, s] == p else zero


def maxout_backward(dout, index, pieces):
    N, M, S = dout.shape
    dx = np.empty((N, M, pieces, S), dout.dtype)
    _maxout_backward(dout, index, dx)
    return dx

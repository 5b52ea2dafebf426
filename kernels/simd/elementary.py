"""The exponential function and the normal distribution for compiled loops, which stay vectorised with them in.

The C library's exp, tanh and erfc are calls, which keep a loop from vectorising. So exp is a power of two times a
Taylor series, within 2 units in the last place, and the normal distribution is exp times a fitted polynomial, within 10
(not counting what the rounding of x*x/2 costs in the tail). One Horner loop for that polynomial is too long for LLVM to
unroll in float64, and much slower than two loops of half the length.

The functions as written in Python run where compilation is switched off; compiled code gets what `overload` returns.
"""

import math
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload, register_jitable

# No reassociation in here: it would cancel the roundings that `exponentials` is made of.
EXACT: Any = {"fastmath": {"contract"}, "error_model": "numpy", "forceinline": True}


def _polynomial(coefficients):
    """A function for compiled code: sum_k coefficients[k] * x**k, by Horner's rule."""
    last, others = coefficients[-1], tuple(coefficients[-2::-1])

    def polynomial(x):
        total = last
        for coefficient in others:
            total = total * x + coefficient
        return total

    return register_jitable(**EXACT)(polynomial)


def exponentials(v):
    """exp(v) and exp(v) - 1 for v <= 0, in the dtype of v; the first is 0 below the smallest normal number."""
    return np.exp(v), np.expm1(v)


@overload(exponentials, jit_options=EXACT)
def _compile_exponentials(v):
    """v = n*ln(2) + r with n whole and |r| <= ln(2)/2: exp(v) = 2**n * exp(r) (Cody & Waite 1980, chapter 6)."""
    if v == types.float32:
        dtype, mantissa, bias, degree = np.float32, 23, 127, 7
        smallest, high, low = dtype(-87), dtype(0.693359375), dtype(-0.00021219444005469057)

        @register_jitable
        def power_of_two(shifted):
            return np.uint32(np.float32(shifted).view(np.uint32) << np.uint32(23)).view(np.float32)
    else:
        dtype, mantissa, bias, degree = np.float64, 52, 1023, 13
        smallest, high, low = dtype(-708), dtype(0.6931471803691238), dtype(1.9082149292705877e-10)

        @register_jitable
        def power_of_two(shifted):
            return np.uint64(np.float64(shifted).view(np.uint64) << np.uint64(52)).view(np.float64)

    zero, one, per_ln2 = dtype(0), dtype(1), dtype(1 / math.log(2))
    shift = dtype(1.5 * 2**mantissa + bias)  # adding it rounds to whole numbers and leaves n + bias in the lowest bits
    taylor = _polynomial([dtype(1 / math.factorial(k)) for k in range(2, degree + 1)])

    def compiled(v):
        kept = smallest if v < smallest else v
        shifted = kept * per_ln2 + shift
        n = shifted - shift
        r = (kept - n * high) - n * low  # high + low = ln(2), and n * high is exact, high having few bits
        series = taylor(r) * r * r + r  # exp(r) - 1
        scale = zero if v < smallest else power_of_two(shifted)
        return scale * series + scale, scale * series + (scale - one)

    return compiled


def normal(x):
    """P(X <= x) for a standard normal X, and exp(-x * x / 2), in the dtype of x."""
    with np.errstate(over="ignore"):  # exp(-infinity) = 0 is right
        return x.dtype.type(math.erfc(-x / math.sqrt(2)) / 2), np.exp(-x * x / 2)


@overload(normal, jit_options=EXACT)
def _compile_normal(x):
    """P(X <= -a) = exp(-a*a/2) * t * Q(2*t - 1) with t = 4 / (4 + a), where Q is smooth: a polynomial, fitted here."""
    from numpy.polynomial import chebyshev
    from scipy import special

    dtype, degree = (np.float32, 10) if x == types.float32 else (np.float64, 22)
    u = chebyshev.chebpts1(4 * degree)
    t = (u + 1) / 2
    fitted = chebyshev.chebfit(u, special.erfcx((4 / t - 4) / math.sqrt(2)) / (2 * t), degree)
    polynomial = [dtype(c) for c in chebyshev.cheb2poly(fitted)]
    even, odd = _polynomial(polynomial[::2]), _polynomial(polynomial[1::2])
    half, one, two, four = dtype(0.5), dtype(1), dtype(2), dtype(4)

    def compiled(x):
        a = abs(x)
        t = four / (four + a)
        u = two * t - one
        density = exponentials(-half * a * a)[0]
        tail = density * t * (even(u * u) + u * odd(u * u))
        return tail if x < 0 else one - tail, density

    return compiled

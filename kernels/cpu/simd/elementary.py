"""The exponential function and the normal distribution for compiled loops, in code that vectorises.

A loop that calls exp, tanh or erfc of the C library does not vectorise. Here exp is a power of two times a fitted
polynomial, with an error of at most 2 units in the last place, and the normal distribution is exp times another
polynomial, with at most 10 (plus the rounding of a*a/2 for large a). The latter is evaluated in two halves: in float64
one Horner loop of the full length is too long for LLVM to unroll, and much slower.

The Python functions run when compilation is disabled; compiled code uses the functions that `overload` returns.
"""

import math
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload, register_jitable

# No reassociation: it would remove the deliberate roundings in `exponentials`.
EXACT: Any = {"fastmath": {"contract"}, "error_model": "numpy", "forceinline": True}


def _polynomial(coefficients):
    """Return a compiled function of x: sum_k coefficients[k] * x**k, by Horner's rule."""
    last, others = coefficients[-1], tuple(coefficients[-2::-1])

    def polynomial(x):
        total = last
        for coefficient in others:
            total = total * x + coefficient
        return total

    return register_jitable(**EXACT)(polynomial)


def _fitted(function, low, high, degree, dtype):
    """Fit a polynomial in x - (low + high) / 2 to a function on [low, high]; return its coefficients."""
    from numpy.polynomial import chebyshev

    middle, reach = (low + high) / 2, (high - low) / 2
    u = chebyshev.chebpts1(4 * degree)
    coefficients = chebyshev.cheb2poly(chebyshev.chebfit(u, function(middle + reach * u), degree))
    return [dtype(c / reach**power) for power, c in enumerate(coefficients)]


def exponentials(v):
    """Return exp(v) and exp(v) - 1 for v <= 0, in the dtype of v; the first is 0 below the smallest normal number."""
    return np.exp(v), np.expm1(v)


@overload(exponentials, jit_options=EXACT)
def _compile_exponentials(v):
    """v = n*ln(2) + r with an integer n and |r| <= ln(2)/2: exp(v) = 2**n * exp(r) (Cody & Waite 1980, chapter 6)."""
    if v == types.float32:
        dtype, mantissa, bias, degree = np.float32, 23, 127, 6
        smallest, high, low = dtype(-87), dtype(0.693359375), dtype(-0.00021219444005469057)

        @register_jitable
        def power_of_two(shifted):
            return np.uint32(np.float32(shifted).view(np.uint32) << np.uint32(23)).view(np.float32)
    else:
        dtype, mantissa, bias, degree = np.float64, 52, 1023, 11
        smallest, high, low = dtype(-708), dtype(0.6931471803691238), dtype(1.9082149292705877e-10)  # as in fdlibm

        @register_jitable
        def power_of_two(shifted):
            return np.uint64(np.float64(shifted).view(np.uint64) << np.uint64(52)).view(np.float64)

    zero, one, per_ln2 = dtype(0), dtype(1), dtype(1 / math.log(2))
    shift = dtype(1.5 * 2**mantissa + bias)  # adding it rounds to integers and leaves n + bias in the lowest bits
    taylor = np.polynomial.Polynomial([1 / math.factorial(k) for k in range(2, 20)])
    reach = math.log(2) / 2
    fitted = _polynomial(_fitted(taylor, -reach, reach, degree - 2, dtype))

    def compiled(v):
        kept = smallest if v < smallest else v
        shifted = kept * per_ln2 + shift
        n = shifted - shift
        r = (kept - n * high) - n * low  # high + low = ln(2), and n * high is exact, high having few bits
        series = fitted(r) * r * r + r  # exp(r) - 1
        scale = zero if v < smallest else power_of_two(shifted)
        return scale * series + scale, scale * series + (scale - one)

    return compiled


def tails(a):
    """P(X > a) for a standard normal X and finite a >= 0, and exp(-a * a / 2), in the dtype of a."""
    with np.errstate(over="ignore"):  # exp(-infinity) = 0 is right
        return a.dtype.type(math.erfc(a / math.sqrt(2)) / 2), np.exp(-a * a / 2)


@overload(tails, jit_options=EXACT)
def _compile_tails(a):
    """P(X > a) = exp(-a*a/2) * t * Q(t) with t = 4 / (4 + a), where Q is smooth: a polynomial, fitted here.

    In float32 it is fitted to where `exponentials` are not 0, and finite elsewhere.
    """
    from scipy import special

    dtype, degree, low = (np.float32, 8, 4 / (4 + math.sqrt(2 * 87))) if a == types.float32 else (np.float64, 22, 0)
    half, four = dtype(0.5), dtype(4)
    middle = dtype((low + 1) / 2)
    fitted = _fitted(lambda t: special.erfcx((4 / t - 4) / math.sqrt(2)) / (2 * t), low, 1, degree, dtype)
    even, odd = _polynomial(fitted[::2]), _polynomial(fitted[1::2])

    def compiled(a):
        t = four / (four + a)
        u = t - middle
        density = exponentials(-half * a * a)[0]
        return density * t * (even(u * u) + u * odd(u * u)), density

    return compiled

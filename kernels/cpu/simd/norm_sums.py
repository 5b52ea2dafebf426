"""Sums over contiguous memory, for planes of many positions and for groups of channels.

Blocks of 1024 elements are summed in the dtype of the arrays, the blocks in float64. `relu` is the output of the ReLU
after the normalization, or empty: where it is not above 0, the gradient g counts as 0.
"""

import numpy as np

from .. import threads

BLOCK = 1024

U = np.uintp  # unsigned indices need no wrap-around of negative ones, so loops vectorise


@threads.serial
def total(x, at, length):
    """The sum of x."""
    result = 0.0
    for start in range(at, at + length, BLOCK):
        partial = x.dtype.type(0)
        for i in range(U(start), U(min(start + BLOCK, at + length))):
            partial += x[i]
        result += np.float64(partial)
    return result


@threads.serial
def moments(x, at, length, center):
    """The sums of x - center and of its square; all in float64 if float32 overflows."""
    result, squares = 0.0, 0.0
    for start in range(at, at + length, BLOCK):
        partial, square = x.dtype.type(0), x.dtype.type(0)
        for i in range(U(start), U(min(start + BLOCK, at + length))):
            deviation = x[i] - center
            partial += deviation
            square += deviation * deviation
        result += np.float64(partial)
        squares += np.float64(square)
    if np.isfinite(squares):
        return result, squares
    result, squares = 0.0, 0.0
    for i in range(U(at), U(at + length)):
        exact = np.float64(x[i]) - np.float64(center)
        result += exact
        squares += exact * exact
    return result, squares


@threads.serial
def products(g, relu, x, at, length, center):
    """The sums of g and of g * (x - center)."""
    result, product, zero = 0.0, 0.0, x.dtype.type(0)
    for start in range(at, at + length, BLOCK):
        partial, part, stop = zero, zero, min(start + BLOCK, at + length)
        if relu.size:
            for i in range(U(start), U(stop)):
                gradient = g[i] if relu[i] > zero else zero
                partial += gradient
                part += gradient * (x[i] - center)
        else:
            for i in range(U(start), U(stop)):
                partial += g[i]
                part += g[i] * (x[i] - center)
        result += np.float64(partial)
        product += np.float64(part)
    return result, product


@threads.serial
def weighted_products(g, relu, x, at, center, gamma, first, last):
    """The sums of g * gamma and of g * gamma * (x - center) over channels `first` to `last`."""
    result, product, zero = 0.0, 0.0, x.dtype.type(0)
    for start in range(first, last, BLOCK):
        partial, part, stop = zero, zero, min(start + BLOCK, last)
        shift = U(at - first)
        if relu.size:
            for j in range(U(start), U(stop)):
                value = (g[j + shift] if relu[j + shift] > zero else zero) * gamma[j]
                partial += value
                part += value * (x[j + shift] - center)
        else:
            for j in range(U(start), U(stop)):
                value = g[j + shift] * gamma[j]
                partial += value
                part += value * (x[j + shift] - center)
        result += np.float64(partial)
        product += np.float64(part)
    return result, product

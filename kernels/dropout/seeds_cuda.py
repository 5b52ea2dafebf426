"""Seeds of dropout masks on the GPU: `numpy.random.SeedSequence` in one thread.

Source: numpy.random.SeedSequence; O'Neill, Developing a seed_seq alternative (2015).
"""

import numpy as np
from numba import cuda, uint64

from ..gpu.launch import device, kernel
from ..gpu.memory import xp

LOW, BITS, HALF = np.uint64(2**32 - 1), np.uint64(32), np.uint64(16)
# NumPy subtracts the last factor; here its complement is added
A0, A, B0, B, LEFT, RIGHT = (
    np.uint64(word) for word in (0x43B0D7E5, 0x931E8875, 0x8B51F9DD, 0x58F38DED, 0xCA01F9DD, 2**32 - 0x4973F715)
)


def of_mask(key, draws):
    seed = xp.empty(1, np.uint64)
    _of_mask(1, key, draws, seed)
    return seed


@device
def _hashed(value, factor, multiplier):
    """Return a word mixed with a factor, and the next factor."""
    following = factor * multiplier & LOW
    value = (value ^ factor) * following & LOW
    return value ^ (value >> HALF), following


@device
def _mixed(one, other, factor):
    """Return a word mixed with another, and the next factor."""
    other, factor = _hashed(other, factor, A)
    value = ((LEFT * one & LOW) + (RIGHT * other & LOW)) & LOW
    return value ^ (value >> HALF), factor


@kernel
def _of_mask(key, draws, seed):
    """The first 64 bits of numpy.random.SeedSequence((key, draws)): four words, each mixed into the others."""
    if cuda.grid(1) == 0:
        # the words of both numbers in order, without an upper word that is 0
        a, b, c, d = key[0] & LOW, key[0] >> BITS, draws[0] & LOW, draws[0] >> BITS
        if b == 0:
            b, c, d = c, d, uint64(0)
        a, f = _hashed(a, A0, A)
        b, f = _hashed(b, f, A)
        c, f = _hashed(c, f, A)
        d, f = _hashed(d, f, A)
        b, f = _mixed(b, a, f)
        c, f = _mixed(c, a, f)
        d, f = _mixed(d, a, f)
        a, f = _mixed(a, b, f)
        c, f = _mixed(c, b, f)
        d, f = _mixed(d, b, f)
        a, f = _mixed(a, c, f)
        b, f = _mixed(b, c, f)
        d, f = _mixed(d, c, f)
        a, f = _mixed(a, d, f)
        b, f = _mixed(b, d, f)
        c, f = _mixed(c, d, f)
        low, f = _hashed(a, B0, B)
        high, f = _hashed(b, f, B)
        seed[0] = low | high << BITS

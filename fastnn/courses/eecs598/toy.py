"""The normal numbers that torch draws on a GPU with the seed 0, for small tensors of float32, computed with NumPy.

Element i of the n-th tensor drawn comes from the Philox4x32-10 block with the counter (n, 0, i, 0) and the key 0: its
first two words, as numbers u and v in (0, 1), give sqrt(-2 * log(u)) * sin(2 * pi * v).

Source: Salmon, Moraes, Dror & Shaw, Parallel random numbers: as easy as 1, 2, 3 (2011), section 4; Box & Muller, A note
on the generation of random normal deviates (1958); cuRAND's documentation of curand_init and curand_normal4.
"""

import math

import numpy as np

_LOW, _BITS = np.uint64(2**32 - 1), np.uint64(32)


def normal(shape: tuple[int, ...], call: int) -> np.ndarray:
    """Return the numbers of the tensor drawn after `call` others: shape, float32."""
    first, second = _words(math.prod(shape), call)
    u, v = ((word + 0.5) / 2**32 for word in (first, second))
    return (np.sqrt(-2 * np.log(u)) * np.sin(2 * np.pi * v)).astype(np.float32).reshape(shape)


def _words(count: int, call: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first two words of `count` blocks."""
    c0, c2 = np.full(count, call, np.uint64), np.arange(count, dtype=np.uint64)
    c1 = c3 = np.zeros(count, np.uint64)
    for number in range(10):
        k0, k1 = (np.uint64(number * step % 2**32) for step in (0x9E3779B9, 0xBB67AE85))
        product0, product1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1 = (product1 >> _BITS) ^ c1 ^ k0, product1 & _LOW
        c2, c3 = (product0 >> _BITS) ^ c3 ^ k1, product0 & _LOW
    return c0, c1

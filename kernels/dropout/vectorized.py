"""`dropout` with NumPy: all Philox blocks at once, with a 32-bit word in each uint64."""

import numpy as np

from . import threshold

_LOW, _BITS = np.uint64(2**32 - 1), np.uint64(32)


def dropout_forward(x, p, seed):
    mask = (_words(x.size, seed) < np.uint64(threshold(p))).reshape(x.shape)
    return dropout_backward(x, mask, p), mask


def dropout_backward(dout, mask, p):
    dx = np.zeros_like(dout)
    return np.divide(dout, dout.dtype.type(p), out=dx, where=mask)


def _words(count, seed):
    """Return the first `count` words for a seed."""
    blocks = np.arange(-(-count // 4), dtype=np.uint64)
    c0, c1 = blocks & _LOW, blocks >> _BITS
    c2 = c3 = np.zeros_like(blocks)
    for number in range(10):
        k0 = np.uint64((seed + number * 0x9E3779B9) % 2**32)
        k1 = np.uint64((seed // 2**32 + number * 0xBB67AE85) % 2**32)
        product0, product1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1 = (product1 >> _BITS) ^ c1 ^ k0, product1 & _LOW
        c2, c3 = (product0 >> _BITS) ^ c3 ^ k1, product0 & _LOW
    return np.stack([c0, c1, c2, c3], axis=1).reshape(-1)[:count]

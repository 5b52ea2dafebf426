"""`dropout` on a GPU: each thread computes one Philox block, four words, for four elements.

Philox is counter-based: the words of a block depend only on the key and the number of the block, so threads need no
shared state.
"""

import numpy as np
from numba import cuda, uint64

from ..gpu.launch import device, kernel
from ..gpu.memory import on_device, xp
from . import threshold

LOW, BITS = np.uint64(2**32 - 1), np.uint64(32)
M0, M1, W0, W1 = (np.uint64(word) for word in (0xD2511F53, 0xCD9E8D57, 0x9E3779B9, 0xBB67AE85))


@on_device
def dropout_forward(x, p, seed):
    number, blocks = x.dtype.type, -(-x.size // 4)
    out, mask = xp.empty_like(x), xp.empty(x.shape, bool)
    _drop(blocks, blocks, x.size, x, number(p), np.uint64(threshold(p)), _in_memory(seed), number(0), out, mask)
    return out, mask


@on_device
def dropout_backward(dout, mask, p):
    number, dx = dout.dtype.type, xp.empty_like(dout)
    _gradients(dx.size, dx.size, dout, mask, number(p), number(0), dx)
    return dx


def _in_memory(seed):
    """Return the seed, a number or a device array, as a device array."""
    if isinstance(seed, xp.ndarray):
        return seed
    on_device = xp.empty(1, np.uint64)
    _fill(1, np.uint64(seed), on_device)
    return on_device


@device
def _philox(block, key):
    """Return the four 32-bit words of a block, each in a uint64."""
    c0, c1, c2, c3 = uint64(block) & LOW, uint64(block) >> BITS, uint64(0), uint64(0)
    k0, k1 = key & LOW, key >> BITS
    for _ in range(10):
        product0, product1 = M0 * c0, M1 * c2
        c0, c1, c2, c3 = (product1 >> BITS) ^ c1 ^ k0, product1 & LOW, (product0 >> BITS) ^ c3 ^ k1, product0 & LOW
        k0, k1 = (k0 + W0) & LOW, (k1 + W1) & LOW
    return c0, c1, c2, c3


@device
def _keep_or_drop(i, size, kept, x, p, zero, out, mask):
    if i < size:
        mask[i] = kept
        out[i] = x[i] / p if kept else zero


@kernel
def _drop(blocks, size, x, p, limit, key, zero, out, mask):
    """mask[i] = word[i] < limit, out[i] = x[i] / p where mask[i], else 0, for the four i of a block"""
    block = cuda.grid(1)
    if block < blocks:
        i = 4 * block
        w0, w1, w2, w3 = _philox(block, key[0])
        _keep_or_drop(i, size, w0 < limit, x, p, zero, out, mask)
        _keep_or_drop(i + 1, size, w1 < limit, x, p, zero, out, mask)
        _keep_or_drop(i + 2, size, w2 < limit, x, p, zero, out, mask)
        _keep_or_drop(i + 3, size, w3 < limit, x, p, zero, out, mask)


@kernel
def _gradients(count, dout, mask, p, zero, dx):
    """dx[i] = dout[i] / p where mask[i], else 0"""
    i = cuda.grid(1)
    if i < count:
        dx[i] = dout[i] / p if mask[i] else zero


@kernel
def _fill(value, out):
    if cuda.grid(1) == 0:
        out[0] = value

"""`dropout` in one pass on all cores, in pieces whose mask stays in the first-level cache.

Philox vectorises over blocks, with a 32-bit word in each 64-bit lane, so that a product is one instruction. The four
mask bytes of a block are written as one 32-bit word, so that adjacent blocks are adjacent in memory.
"""

import sys

import numpy as np

from ..cpu import threads
from . import threshold

U = np.uintp  # unsigned indices need no wrap-around of negative ones, so loops vectorise
GRAIN = 1 << 12  # minimum blocks of a part
PIECE = 256  # blocks
LOW, BITS = np.uint64(2**32 - 1), np.uint64(32)
M0, M1, W0, W1 = (np.uint64(word) for word in (0xD2511F53, 0xCD9E8D57, 0x9E3779B9, 0xBB67AE85))
SHIFTS = tuple(np.uint64(8 * i) for i in (range(4) if sys.byteorder == "little" else range(3, -1, -1)))


@threads.serial
def _philox(c0, c1, c2, c3, k0, k1):
    for _ in range(10):
        product0, product1 = M0 * c0, M1 * c2
        c0, c1, c2, c3 = (product1 >> BITS) ^ c1 ^ k0, product1 & LOW, (product0 >> BITS) ^ c3 ^ k1, product0 & LOW
        k0, k1 = (k0 + W0) & LOW, (k1 + W1) & LOW
    return c0, c1, c2, c3


@threads.serial
def _draw(start, limit, seed, masks):
    """Write the masks of the blocks from `start` on, each four bytes of 0 or 1."""
    k0, k1 = seed & LOW, seed >> BITS
    for i in range(U(masks.size)):
        block = np.uint64(start) + np.uint64(i)
        w0, w1, w2, w3 = _philox(block & LOW, block >> BITS, np.uint64(0), np.uint64(0), k0, k1)
        mask = (np.uint64(w0 < limit) << SHIFTS[0]) | (np.uint64(w1 < limit) << SHIFTS[1])
        mask |= (np.uint64(w2 < limit) << SHIFTS[2]) | (np.uint64(w3 < limit) << SHIFTS[3])
        masks[i] = np.uint32(mask)


@threads.serial
def _scale(x, mask, scale, out):
    zero = x.dtype.type(0)
    for i in range(U(x.size)):
        out[i] = x[i] * scale if mask[i] else zero


@threads.parallel(GRAIN)
def _dropout(start, stop, x, p, limit, seed, masks, mask, out):
    scale = x.dtype.type(1 / p)
    for first in range(start, stop, PIECE):
        last = min(first + PIECE, stop)
        _draw(first, limit, seed, masks[first:last])
        piece = slice(4 * first, min(4 * last, x.size))
        _scale(x[piece], mask[piece], scale, out[piece])


def dropout_forward(x, p, seed):
    masks = np.empty(-(-x.size // 4), np.uint32)
    mask = masks.view(bool)[: x.size]
    out = np.empty_like(x)
    limit = np.uint64(threshold(p))
    _dropout(masks.size, x.reshape(-1), p, limit, np.uint64(seed), masks, mask, out.reshape(-1))
    return out, mask.reshape(x.shape)


@threads.parallel(4 * GRAIN)
def _dropout_backward(start, stop, dout, mask, p, dx):
    _scale(dout[start:stop], mask[start:stop], dx.dtype.type(1 / p), dx[start:stop])


def dropout_backward(dout, mask, p):
    dx = np.empty_like(dout)
    _dropout_backward(dx.size, dout.reshape(-1), mask.reshape(-1), p, dx.reshape(-1))
    return dx

"""The specification of `dropout`: one element at a time, with Philox in Python integers."""

import numpy as np

from . import threshold

_WORD = 2**32


def dropout_forward(x, p, seed):
    out, mask = np.empty_like(x), np.empty(x.shape, bool)
    limit, key = threshold(p), _words(seed, 2)
    for i, value in enumerate(x.reshape(-1).tolist()):
        if i % 4 == 0:
            block = _philox(_words(i // 4, 4), key)
        kept = block[i % 4] < limit
        mask.flat[i] = kept
        out.flat[i] = value / p if kept else 0.0
    return out, mask


def dropout_backward(dout, mask, p):
    dx = np.empty_like(dout)
    for i, (value, kept) in enumerate(zip(dout.reshape(-1).tolist(), mask.reshape(-1).tolist(), strict=True)):
        dx.flat[i] = value / p if kept else 0.0
    return dx


def _words(number, count):
    """Return the 32-bit words of a number, lowest first."""
    return tuple(number // _WORD**i % _WORD for i in range(count))


def _philox(counter, key):
    """Return four words for a counter of four words and a key of two."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * c0, _WORD)
        high1, low1 = divmod(0xCD9E8D57 * c2, _WORD)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) % _WORD, (k1 + 0xBB67AE85) % _WORD
    return c0, c1, c2, c3

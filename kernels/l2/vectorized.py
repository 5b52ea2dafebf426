"""`l2` with NumPy, in blocks whose float64 squares fit in the cache."""

import numpy as np

_BLOCK = 1 << 14  # elements


def weight_penalty(w, dw, reg):
    for weights, gradients in zip(w, dw, strict=True):
        for block, target in zip(_blocks(weights), _blocks(gradients), strict=True):
            target += block.dtype.type(reg) * block
    return global_norm(w)


def global_norm(dw):
    return sum(float(np.square(block, dtype=np.float64).sum()) for array in dw for block in _blocks(array))


def _blocks(array):
    flat = array.reshape(-1)
    return [flat[start : start + _BLOCK] for start in range(0, flat.size, _BLOCK)]

"""Arrays of which shards are added, for the tests of the tree, and what the tree makes of them."""

import functools

import numpy as np

SHAPES = {
    "loss": ((), np.dtype(np.float64)),
    "W": ((37, 41), np.dtype(np.float32)),
    "b": ((5,), np.dtype(np.float32)),
    "none": ((0, 3), np.dtype(np.float32)),
    "long": ((600, 500), np.dtype(np.float32)),
    "longer": ((700, 500), np.dtype(np.float32)),
}


@functools.cache
def drawn(shard):
    generator = np.random.default_rng(shard)
    return {
        name: (generator.standard_normal(shape) * 10.0 ** generator.integers(-8, 8, shape)).astype(dtype)
        for name, (shape, dtype) in SHAPES.items()
    }


def values(shard):
    return {name: value.copy() for name, value in drawn(shard).items()}


def expected(shards):
    """The tree, written down: neighbours are added until one is left."""
    level = [values(shard) for shard in range(shards)]
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=True)
        level = [{name: left[name] + right[name] for name in SHAPES} for left, right in pairs]
    return {name: value / value.dtype.type(shards) for name, value in level[0].items()}

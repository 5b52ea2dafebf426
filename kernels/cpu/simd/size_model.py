"""The sizes of blocks of matrix products and convolutions: what is a choice in their plans, and a model that makes it.

The model computes them from the second-level cache. `fastnn warmup --tune` times alternatives for classes of shapes and
keeps those that are faster on this machine (`tuned_sizes`); `sizes` joins both into the table that plans read. Sizes
depend on shapes and dtype, not on the number of threads.

    size         what it limits                                          last bits change with it
    depth        terms of the sum in a packed panel of b                 yes: each part of a sum begins at zero
    panels       bytes of packed panels                                  yes: fewer panels allow more parts of a sum
    task         multiply-adds of a task, times the bytes of a number    yes: more tasks cut sums into more parts
    in_place     rows for which b is read where it is, without packing   no
    block        bytes of the planes of a task of a convolution          yes: in dw, which is summed over its images
    short_rows   rows of a tile of a convolution whose sums are short    no
"""

import functools
from typing import NamedTuple

import numpy as np

from .. import processor

DTYPES = ("float32", "float64")
PRODUCTS = ("forward", "dw", "dx")  # out = x @ w + b, dw = x.T @ dout, dx = dout @ w.T
CLASSES = (
    *(f"{product} {size}" for product in PRODUCTS for size in ("small", "large")),
    *(f"convolution {sums}" for sums in ("short", "long")),
)
LARGE_PRODUCT = 1 << 26  # multiply-adds
LONG_SUM = 64  # terms of the sums of a convolution

TYPICAL_L2 = 1 << 20  # where the system does not report it
LEAST, MOST = 1 << 18, 1 << 19  # bytes of the model's panels and blocks; 1 MB was not faster with a cache of 2 MB


class Sizes(NamedTuple):
    """The sizes for a class of shapes."""

    depth: int = 256  # enough terms that adding to the output takes little of the time
    panels: int = TYPICAL_L2 // 2
    task: int = 1 << 23
    in_place: int = 48  # for more rows, packing takes less time than it saves
    block: int = TYPICAL_L2 // 2
    short_rows: int = 4  # a tile of few rows writes longer runs of memory


# The least and the greatest value of a tuned size.
LIMITS = {
    "depth": (64, 1024),
    "panels": (1 << 16, 1 << 24),
    "task": (1 << 18, 1 << 30),
    "in_place": (0, 128),  # a block of rows has at least 128 if there are several
    "block": (1 << 16, 1 << 24),
    "short_rows": (1, 8),
}


@functools.cache
def model() -> Sizes:
    """Return the sizes without tuning: what is packed takes half of the second-level cache, 256 or 512 KB."""
    half = processor.caches().get("L2", TYPICAL_L2) // 2
    power = 1 << max(LEAST, min(MOST, half)).bit_length() - 1
    return Sizes(panels=power, block=power)


def product_class(rows: int, columns: int, count: int, a_turned: bool, b_turned: bool, dtype: np.dtype) -> str:
    """Return the class of a product of (rows, count) by (count, columns); see `matmul.plan_of`."""
    product = "dw" if a_turned else "dx" if b_turned else "forward"
    return f"{dtype.name} {product} {'small' if rows * columns * count < LARGE_PRODUCT else 'large'}"


def convolution_class(terms: int, dtype: np.dtype) -> str:
    """Return the class of a convolution whose outputs are sums of `terms` terms."""
    return f"{dtype.name} convolution {'short' if terms < LONG_SUM else 'long'}"

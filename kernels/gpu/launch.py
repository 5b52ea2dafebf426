"""Write and launch GPU kernels.

    @kernel
    def _double(count, x, out):
        i = cuda.grid(1)
        if i < count:
            out[i] = 2 * x[i]

    _double(x.size, x.size, x, out)

launches `x.size` threads, rounded up to whole blocks. Arguments are device arrays, which a kernel sees as flat memory,
and scalars: integers are passed as int32, NumPy floats in their own dtype. A float literal such as 0.5 would make a
float32 kernel compute in float64, so such numbers are passed as arguments, for example `half`.
"""

import functools
from collections.abc import Callable
from typing import Any

import numba.cuda
import numpy as np
from numba import int32, uint32

from . import graphs
from .availability import SIMULATED

if SIMULATED:
    from . import simulator

# imported by modules whose functions are called by kernels of other modules
cuda: Any = simulator.here if SIMULATED else numba.cuda
BLOCK = 32 if SIMULATED else 256  # threads; each is a Python thread in the simulator

KERNELS: dict[str, "Kernel"] = {}


class Kernel:
    """A GPU kernel, compiled for each signature at its first launch.

    block: the number of threads of a block
    variant: distinguishes kernels that are created by the same function
    `signatures`: the signatures it was launched with, such as "*f4" for a float32 array and "i4" for an int32
    """

    def __init__(self, function: Callable, block: int = BLOCK, variant: str = "") -> None:
        functools.update_wrapper(self, function)
        self.function, self.block = function, block
        self.signatures: dict[tuple[str, ...], Any] = {}
        self.name = f"{function.__module__}:{function.__name__}{variant and ' '}{variant}"
        KERNELS[self.name] = self

    def __call__(self, threads: int, *arguments: Any) -> None:
        """Launch `threads` threads, rounded up to whole blocks."""
        self.launch(-(-threads // self.block), *arguments)

    def launch(self, blocks: int, *arguments: Any) -> None:
        """Launch `blocks` blocks of threads."""
        if not blocks:
            return
        arguments = tuple(self._int32(value) if type(value) is int else value for value in arguments)
        signature = tuple(map(_word, arguments))
        if signature not in self.signatures:
            self.signatures[signature] = self._load(signature)
        compiled = self.signatures[signature]
        graphs.do(
            lambda: compiled(blocks, arguments),
            self.name,
            lambda: (blocks, *(value for value in arguments if isinstance(value, np.generic))),
        )

    def _int32(self, value: int) -> np.int32:
        if not -(1 << 31) <= value < 1 << 31:
            raise ValueError(
                f"{self.function.__name__}: {value} does not fit 32 bits; expected fewer than 2**31 elements in an "
                f"array on a GPU; use smaller batches"
            )
        return np.int32(value)

    def _load(self, signature: tuple[str, ...]) -> Callable:
        if SIMULATED:
            function, block = self.function, self.block
            return lambda blocks, arguments: simulator.launch(function, blocks, block, [*map(_flat, arguments)])
        from . import cubins

        compiled = cubins.load(self, signature)
        return lambda blocks, arguments: compiled((blocks,), (self.block,), arguments)


def kernel(function: Callable) -> Kernel:
    """Compile a kernel."""
    return Kernel(function)


def device(function: Callable) -> Callable:
    """Compile a function that kernels call."""
    return function if SIMULATED else cuda.jit(device=True, inline="always")(function)


@device
def split(index, length):
    """Return quotient and remainder as int32, for integers from 0 to 2**32 - 1; Python's // and % take 64 bits."""
    quotient = uint32(uint32(index) // uint32(length))
    return int32(quotient), int32(uint32(index) - quotient * uint32(length))


@device
def windows_over(position, length, stride, count):
    """Return the range first, stop of those among `count` windows that cover a position of the padded image."""
    first, _ = split(max(position + stride - length, 0), stride)
    last, _ = split(position, stride)
    return first, min(last + 1, count)


def _word(value: Any) -> str:
    if isinstance(value, np.generic):
        return f"{value.dtype.kind}{value.dtype.itemsize}"
    return f"*{value.dtype.kind}{value.dtype.itemsize}"


def _flat(value: Any) -> Any:
    return value if isinstance(value, np.generic) else value.memory.reshape(-1)

"""Write and launch GPU kernels.

    @kernel
    def _double(count, x, out):
        i = cuda.grid(1)
        if i < count:
            out[i] = 2 * x[i]

    _double(x.size, x.size, x, out)

launches `x.size` threads, rounded up to whole blocks. Arguments are device arrays, which a kernel sees as flat memory,
and scalars: integers are passed as int32, NumPy floats in their own dtype. Arrays are C-contiguous and on the current
device. A float literal such as 0.5 would make a
float32 kernel compute in float64, so such numbers are passed as arguments, for example `half`.
"""

import functools
from collections.abc import Callable
from typing import Any

import numba.cuda
import numpy as np
from numba import int32, uint32

from . import tracing, words
from .availability import SIMULATED
from .memory import current_device

if SIMULATED:
    from . import fake_cuda, simulator

# imported by modules whose functions are called by kernels of other modules
cuda: Any = simulator.here if SIMULATED else numba.cuda
BLOCK = 32 if SIMULATED else 256  # threads; each is a Python thread in the simulator

KERNELS: dict[str, "Kernel"] = {}


class Kernel:
    """A GPU kernel, compiled for each signature at its first launch on a device.

    block: the number of threads of a block
    variant: distinguishes kernels that are created by the same function
    `signatures`: the signatures it was launched with, such as "*f4" for a float32 array and "i4" for an int32, each
    with the functions that launch it, by device
    """

    def __init__(self, function: Callable, block: int = BLOCK, variant: str = "") -> None:
        functools.update_wrapper(self, function)
        self.function, self.block = function, block
        self.signatures: dict[tuple[str, ...], dict[int, Callable]] = {}
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
        signature, device = words.of(self.function.__name__, arguments), current_device()
        on_devices = self.signatures.setdefault(signature, {})
        compiled = on_devices.get(device)
        if compiled is None:
            compiled = on_devices[device] = self._load(signature)
        tracing.do(
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
            return self._simulated
        from . import cubins

        compiled = cubins.load(self, signature)
        return lambda blocks, arguments: compiled((blocks,), (self.block,), arguments)

    def _simulated(self, blocks: int, arguments: tuple) -> None:
        flat = [*map(_flat, arguments)]
        fake_cuda.submit(lambda: simulator.launch(self.function, blocks, self.block, flat))


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


def _flat(value: Any) -> Any:
    """Return the memory of an array as a kernel sees it; raise where a GPU would read other memory."""
    if isinstance(value, np.generic):
        return value
    if not value.flags.c_contiguous:
        raise ValueError(f"launch: an array with strides {value.strides} is not C-contiguous; make a copy that is")
    if value.device.id != current_device():
        raise ValueError(
            f"launch: an array is on device {value.device.id}, but the current device is {current_device()}; choose "
            f"it with cupy.cuda.Device({value.device.id})"
        )
    return value.memory.reshape(-1)

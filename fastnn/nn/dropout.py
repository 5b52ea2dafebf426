"""The dropout layer."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import numpy as np

from fastnn import rng
from fastnn.kernels import dropout
from fastnn.kernels.dispatch import arrays, validation
from fastnn.kernels.dropout import seeds

from .module import Module

_LARGEST = 2**64 - 1  # of a key, and of the number of a mask
_shard: ContextVar[int] = ContextVar("fastnn_shard", default=0)


@contextlib.contextmanager
def of_shard(number: int) -> Iterator[None]:
    """Draw masks during the block as for a shard of a batch: each has keys of its own, shard 0 those of the layers."""
    token = _shard.set(number)
    try:
        yield
    finally:
        _shard.reset(token)


class Dropout(Module):
    """In training mode, set each element to 0 with probability p and divide the others by 1 - p; else return x.

    p: probability of dropping an element, as in torch; at least 0, less than 1
    seed: source of the key of the masks (see `fastnn.rng`), drawn once by the constructor
    fixed: use the same mask in every call, for numeric gradients; if seed is an int, it is the key of that mask itself

    Buffers: key, and draws, the number of forward passes in training mode; `state_dict` omits both. They determine the
    next mask, which is the same on every backend; in data-parallel training, with the number of the shard.
    Source: Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov, Dropout (2014), section 10.
    """

    non_persistent = ("key", "draws")

    def __init__(self, p: float = 0.5, *, seed: Any = None, fixed: bool = False) -> None:
        super().__init__()
        self.p = validation.number("Dropout", "p", p, minimum=0, below=1)
        self.fixed = validation.flag("Dropout", "fixed", fixed)
        if self.fixed and isinstance(seed, (int, np.integer)) and not isinstance(seed, bool):
            key = validation.integer("Dropout", "seed", seed, minimum=0, maximum=2**64 - 1)
        else:
            key = int.from_bytes(rng.generator(seed).bytes(8), "little")
        self.buffers["key"] = np.array(key, np.uint64)
        self.buffers["draws"] = np.zeros((), np.uint64)

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        if not self.training:
            return validation.array("Dropout", "x", x), None
        key, draws = self.buffers["key"], self.buffers["draws"]
        seed = key[()]
        if not self.fixed:
            shard = _shard.get()
            seed = seeds.of_mask(seeds.of_mask(seed, _LARGEST - shard) if shard else seed, draws[()])
        out, mask = dropout.dropout_forward(x, 1 - self.p, seed)
        self.buffers["draws"] = arrays.overwrite(draws, draws + np.uint64(1))
        return out, mask

    def backward(self, dout: np.ndarray, cache: Any, need_dx: bool = True) -> tuple[np.ndarray | None, dict]:
        if not validation.flag("Dropout", "need_dx", need_dx):
            return None, {}
        if cache is None:
            return validation.array("Dropout", "dout", dout), {}
        return dropout.dropout_backward(dout, cache, 1 - self.p), {}

    def __repr__(self) -> str:
        return f"Dropout({self.p}{', fixed=True' if self.fixed else ''})"

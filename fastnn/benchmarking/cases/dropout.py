"""Dropout, behind a hidden layer and behind a convolution."""

import dataclasses
from typing import Any, ClassVar

from .base import REFERENCE, Arrays, Calls, Case, size

KEPT, SEED = 0.5, 231


@dataclasses.dataclass(frozen=True)
class Dropout(Case):
    """Half of the elements dropped, by numbers that are drawn in the same pass."""

    operation: ClassVar[str] = "dropout"
    random_peer: ClassVar[tuple[str, ...]] = ("forward",)

    @property
    def function(self) -> str:
        return "dropout"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"x": self.x, "dout": self.x}

    def inputs(self, dtype: Any) -> Arrays:
        from fastnn.kernels import use_backend
        from fastnn.kernels.dropout import dropout_forward

        arrays = super().inputs(dtype)
        with use_backend(REFERENCE):
            return {**arrays, "mask": dropout_forward(arrays["x"], KEPT, SEED)[1]}

    def calls(self, arrays: Arrays) -> Calls:
        from fastnn.kernels.dropout import dropout_backward, dropout_forward

        x, dout, mask = (arrays[name] for name in ("x", "dout", "mask"))
        return {
            "forward": lambda: dropout_forward(x, KEPT, SEED),
            "backward": lambda: dropout_backward(dout, mask, KEPT),
        }

    def torch_calls(self, arrays: Arrays) -> Calls:
        import torch

        x, dout, mask = (torch.from_numpy(arrays[name]) for name in ("x", "dout", "mask"))
        return {
            "forward": lambda: torch.native_dropout(x, 1 - KEPT, True),
            "backward": lambda: torch.ops.aten.native_dropout_backward(dout, mask, 1 / KEPT),
        }

    def cost(self, direction: str, itemsize: int) -> tuple[float, str]:
        """With one byte of mask for each element."""
        return float((2 * itemsize + 1) * size(self.x)), "B/s"

    def tiny(self) -> "Dropout":
        return dataclasses.replace(self, x=(2, 3, 5, 4)[: len(self.x)])


CASES: tuple[Case, ...] = (Dropout((256, 200)), Dropout((64, 32, 32, 32), headline=True))

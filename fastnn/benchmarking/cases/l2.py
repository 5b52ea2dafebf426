"""Sums of squares over as many parameters as the updates have: the penalty on weights, the norm of gradients."""

import dataclasses
from typing import ClassVar

from .base import Arrays, Calls, Case

REG = 0.125


@dataclasses.dataclass(frozen=True)
class Penalty(Case):
    """The penalty on x weights; its gradient is added to theirs, here to a copy of the input."""

    operation: ClassVar[str] = "l2"
    passes: ClassVar[tuple[str, ...]] = ("loss",)

    x: tuple[int]

    @property
    def function(self) -> str:
        return "weight_penalty"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"w": self.x, "dw": self.x}

    def calls(self, arrays: Arrays) -> Calls:
        from fastnn.kernels.l2 import weight_penalty

        w, dw = arrays["w"], arrays["dw"].copy()
        return {"loss": lambda: (weight_penalty(w, dw, REG), dw)}

    def torch_calls(self, arrays: Arrays) -> Calls:
        import torch

        w, dw = torch.from_numpy(arrays["w"]), torch.from_numpy(arrays["dw"]).clone()
        return {"loss": lambda: (w.square().sum() * (REG / 2), dw.add_(w, alpha=REG))}

    def cost(self, direction: str, itemsize: int) -> tuple[float, str]:
        """w and dw read, dw written."""
        return float(3 * itemsize * self.x[0]), "B/s"

    def terms(self) -> int:
        return self.x[0]

    def tiny(self) -> "Penalty":
        return dataclasses.replace(self, x=(37,))


@dataclasses.dataclass(frozen=True)
class Norm(Case):
    """The norm of x gradients."""

    operation: ClassVar[str] = "l2"
    passes: ClassVar[tuple[str, ...]] = ("forward",)

    x: tuple[int]

    @property
    def function(self) -> str:
        return "global_norm"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"dw": self.x}

    def calls(self, arrays: Arrays) -> Calls:
        from fastnn.kernels.l2 import global_norm

        return {"forward": lambda: global_norm(arrays["dw"])}

    def torch_calls(self, arrays: Arrays) -> Calls:
        import torch

        dw = torch.from_numpy(arrays["dw"])
        return {"forward": lambda: torch.linalg.vector_norm(dw)}

    def cost(self, direction: str, itemsize: int) -> tuple[float, str]:
        return float(itemsize * self.x[0]), "B/s"

    def terms(self) -> int:
        return self.x[0]

    def tiny(self) -> "Norm":
        return dataclasses.replace(self, x=(37,))


CASES: tuple[Case, ...] = (Penalty((4_100_000,), headline=True), Norm((4_100_000,)))

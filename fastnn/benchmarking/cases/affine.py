"""Affine layers of the courses' networks."""

import dataclasses
from typing import ClassVar

from .base import Arrays, Calls, Case, differentiated


@dataclasses.dataclass(frozen=True)
class Affine(Case):
    """Rows (N, D) times weights (D, outputs), plus a bias; the backward pass gives dx, dw and db."""

    operation: ClassVar[str] = "affine"

    x: tuple[int, int]
    outputs: int

    @property
    def function(self) -> str:
        return "affine"

    @property
    def size(self) -> str:
        return f"{super().size}x{self.outputs}"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        N, D = self.x
        return {"x": self.x, "w": (D, self.outputs), "b": (self.outputs,), "dout": (N, self.outputs)}

    def calls(self, arrays: Arrays) -> Calls:
        from fastnn.kernels.affine import affine_backward, affine_forward

        x, w, b, dout = (arrays[name] for name in ("x", "w", "b", "dout"))
        return {"forward": lambda: affine_forward(x, w, b), "backward": lambda: affine_backward(dout, x, w)}

    def torch_calls(self, arrays: Arrays) -> Calls:
        import torch

        return differentiated(lambda x, w, b: torch.addmm(b, x, w), arrays, ("x", "w", "b"))

    def cost(self, direction: str, itemsize: int) -> tuple[float, str]:
        flops = 2.0 * self.x[0] * self.x[1] * self.outputs
        return (flops if direction == "forward" else 2 * flops), "FLOP/s"

    def terms(self) -> int:
        return max(*self.x, self.outputs)

    def tiny(self) -> "Affine":
        return dataclasses.replace(self, x=(3, 7), outputs=5)


SIZES = (((100, 3072), 100), ((256, 200), 200), ((50, 8192), 500), ((500, 16384), 500), ((64, 1024), 10))

CASES: tuple[Case, ...] = tuple(Affine(*sizes, headline=sizes == SIZES[0]) for sizes in SIZES)

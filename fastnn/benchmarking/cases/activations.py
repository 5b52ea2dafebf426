"""Activation functions, on the output of a convolution and of a hidden layer."""

import dataclasses
from typing import ClassVar

from .base import REFERENCE, Arrays, Calls, Case, differentiated, size


@dataclasses.dataclass(frozen=True)
class Activation(Case):
    """`rule`, element by element, on x (N, C, ...); PReLU has a slope for each channel."""

    operation: ClassVar[str] = "activations"

    rule: str

    @property
    def function(self) -> str:
        return self.rule

    def shapes(self) -> dict[str, tuple[int, ...]]:
        slope = {"slope": self.x[1:2]} if self.rule == "prelu" else {}
        return {"x": self.x, "dout": self.x, **slope}

    def calls(self, arrays: Arrays) -> Calls:
        from fastnn.kernels import activations, use_backend

        forward = getattr(activations, f"{self.rule}_forward")
        backward = getattr(activations, f"{self.rule}_backward")
        x, dout = arrays["x"], arrays["dout"]
        more = (arrays["slope"],) if self.rule == "prelu" else ()
        seen = x
        if self.rule in ("sigmoid", "tanh"):  # their backward pass takes the forward pass's result
            with use_backend(REFERENCE):
                seen = forward(x)
        return {"forward": lambda: forward(x, *more), "backward": lambda: backward(dout, seen, *more)}

    def torch_calls(self, arrays: Arrays) -> Calls:
        import torch

        function = getattr(torch if self.rule in ("sigmoid", "tanh") else torch.nn.functional, self.rule)
        return differentiated(function, arrays, ("x", "slope") if self.rule == "prelu" else ("x",))

    def cost(self, direction: str, itemsize: int) -> tuple[float, str]:
        return float(itemsize * size(self.x) * (2 if direction == "forward" else 3)), "B/s"

    def terms(self) -> int:
        return size(self.x) // self.x[1] if self.rule == "prelu" else 1

    def tiny(self) -> "Activation":
        return dataclasses.replace(self, x=(2, 3, 5, 4)[: len(self.x)])


@dataclasses.dataclass(frozen=True)
class Maxout(Case):
    """The largest of each group of `pieces` neighbouring channels of x (N, C, ...)."""

    operation: ClassVar[str] = "activations"

    pieces: int

    @property
    def function(self) -> str:
        return "maxout"

    @property
    def size(self) -> str:
        return f"{super().size} by {self.pieces}"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"x": self.x, "dout": (self.x[0], self.x[1] // self.pieces, *self.x[2:])}

    def calls(self, arrays: Arrays) -> Calls:
        from fastnn.kernels import use_backend
        from fastnn.kernels.activations import maxout_backward, maxout_forward

        x, dout = arrays["x"], arrays["dout"]
        with use_backend(REFERENCE):
            _, index = maxout_forward(x, self.pieces)
        return {
            "forward": lambda: maxout_forward(x, self.pieces),
            "backward": lambda: maxout_backward(dout, index, self.pieces),
        }

    def torch_calls(self, arrays: Arrays) -> Calls:
        def maxout(x):
            return x.unflatten(1, (-1, self.pieces)).max(2).values

        return differentiated(maxout, arrays, ("x",))

    def cost(self, direction: str, itemsize: int) -> tuple[float, str]:
        """With one byte for each index."""
        out = size(self.shapes()["dout"])
        return float(itemsize * (size(self.x) + out) + out), "B/s"

    def tiny(self) -> "Maxout":
        return dataclasses.replace(self, x=(2, 2 * self.pieces, 5, 4)[: len(self.x)])


RULES = ("relu", "leaky_relu", "prelu", "elu", "sigmoid", "tanh", "gelu")

CASES: tuple[Case, ...] = (
    Activation((256, 200), "relu"),
    *(Activation((64, 32, 32, 32), rule, headline=rule == "gelu") for rule in RULES),
    Maxout((64, 32, 32, 32), 2),
)

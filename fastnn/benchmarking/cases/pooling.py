"""Pooling of images."""

import dataclasses
from typing import Any, ClassVar

from .base import REFERENCE, Arrays, Calls, Case, differentiated, size


@dataclasses.dataclass(frozen=True)
class MaxPooling(Case):
    """The largest element of each window of window x window, `stride` apart, and which one it is."""

    operation: ClassVar[str] = "pool2d"

    x: tuple[int, int, int, int]
    window: int
    stride: int

    @property
    def function(self) -> str:
        return "max_pool2d"

    @property
    def size(self) -> str:
        return f"{super().size} {self.window}x{self.window} s{self.stride}"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"x": self.x, "dout": pooled(self.x, self.window, self.stride)}

    def inputs(self, dtype: Any) -> Arrays:
        from fastnn.kernels import use_backend
        from fastnn.kernels.pool2d import max_pool2d_forward

        arrays = super().inputs(dtype)
        with use_backend(REFERENCE):
            return {**arrays, "index": max_pool2d_forward(arrays["x"], self.window, self.stride)[1]}

    def calls(self, arrays: Arrays) -> Calls:
        from fastnn.kernels.pool2d import max_pool2d_backward, max_pool2d_forward

        x, dout, index = (arrays[name] for name in ("x", "dout", "index"))
        return {
            "forward": lambda: max_pool2d_forward(x, self.window, self.stride),
            "backward": lambda: max_pool2d_backward(dout, index, x.shape, self.window, self.stride),
        }

    def torch_calls(self, arrays: Arrays) -> Calls:
        """Its forward pass finds the indices too, and keeps them to itself."""
        from torch.nn.functional import max_pool2d

        return differentiated(lambda x: max_pool2d(x, self.window, self.stride), arrays, ("x",))

    def cost(self, direction: str, itemsize: int) -> tuple[float, str]:
        """With one byte for each index."""
        places = size(pooled(self.x, self.window, self.stride))
        return float(itemsize * (size(self.x) + places) + places), "B/s"

    def terms(self) -> int:
        return self.window**2

    def tiny(self) -> "MaxPooling":
        return dataclasses.replace(self, x=(2, 2, 9, 8))


@dataclasses.dataclass(frozen=True)
class AveragePooling(Case):
    """The mean of each window of window x window, side by side; of whole images where window is 0."""

    operation: ClassVar[str] = "pool2d"

    x: tuple[int, int, int, int]
    window: int = 0

    @property
    def function(self) -> str:
        return "avg_pool2d" if self.window else "global_avg_pool2d"

    @property
    def size(self) -> str:
        return f"{super().size} {self.window}x{self.window}" if self.window else super().size

    def shapes(self) -> dict[str, tuple[int, ...]]:
        out = pooled(self.x, self.window, self.window) if self.window else self.x[:2]
        return {"x": self.x, "dout": out}

    def calls(self, arrays: Arrays) -> Calls:
        from fastnn.kernels import pool2d

        x, dout = arrays["x"], arrays["dout"]
        if not self.window:
            return {
                "forward": lambda: pool2d.global_avg_pool2d_forward(x),
                "backward": lambda: pool2d.global_avg_pool2d_backward(dout, x.shape),
            }
        return {
            "forward": lambda: pool2d.avg_pool2d_forward(x, self.window, self.window),
            "backward": lambda: pool2d.avg_pool2d_backward(dout, x.shape, self.window, self.window),
        }

    def torch_calls(self, arrays: Arrays) -> Calls:
        from torch.nn.functional import avg_pool2d

        if not self.window:
            return differentiated(lambda x: x.mean((2, 3)), arrays, ("x",))
        return differentiated(lambda x: avg_pool2d(x, self.window), arrays, ("x",))

    def cost(self, direction: str, itemsize: int) -> tuple[float, str]:
        return float(itemsize * size(*self.shapes().values())), "B/s"

    def terms(self) -> int:
        return self.window**2 or self.x[2] * self.x[3]

    def tiny(self) -> "AveragePooling":
        return dataclasses.replace(self, x=(2, 2, 9, 8))


def pooled(x: tuple[int, int, int, int], window: int, stride: int) -> tuple[int, int, int, int]:
    """The shape of a pooling's output."""
    N, C, H, W = x
    return N, C, 1 + (H - window) // stride, 1 + (W - window) // stride


CASES: tuple[Case, ...] = (
    MaxPooling((100, 3, 32, 32), 2, 2, headline=True, whole=True),
    MaxPooling((64, 32, 32, 32), 2, 2),
    MaxPooling((64, 32, 32, 32), 3, 2),
    AveragePooling((64, 32, 32, 32), 2),
    AveragePooling((64, 64, 8, 8)),
)

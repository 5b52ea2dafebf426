"""Convolutions: the courses' layers, and shapes that are hard on register tiles."""

import dataclasses
from typing import ClassVar

from .base import Arrays, Calls, Case, differentiated


@dataclasses.dataclass(frozen=True)
class Convolution(Case):
    """`filters` filters of kernel x kernel over images (N, C, H, W); the backward pass gives dx, dw and db."""

    operation: ClassVar[str] = "conv2d"

    x: tuple[int, int, int, int]
    filters: int
    kernel: int
    stride: int = 1
    pad: int = 0

    @property
    def function(self) -> str:
        return "conv2d"

    @property
    def size(self) -> str:
        stride = f" s{self.stride}" if self.stride > 1 else ""
        return f"{super().size} {self.filters}f{self.kernel}x{self.kernel}{stride} p{self.pad}"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        weights = (self.filters, self.x[1], self.kernel, self.kernel)
        return {"x": self.x, "w": weights, "b": (self.filters,), "dout": self.between()}

    def calls(self, arrays: Arrays) -> Calls:
        from fastnn.kernels.conv2d import conv2d_backward, conv2d_forward

        x, w, b, dout = (arrays[name] for name in ("x", "w", "b", "dout"))
        return {
            "forward": lambda: conv2d_forward(x, w, b, self.stride, self.pad),
            "backward": lambda: conv2d_backward(dout, x, w, self.stride, self.pad),
        }

    def torch_calls(self, arrays: Arrays) -> Calls:
        from torch.nn.functional import conv2d

        return differentiated(lambda x, w, b: conv2d(x, w, b, self.stride, self.pad), arrays, ("x", "w", "b"))

    def cost(self, direction: str, itemsize: int) -> tuple[float, str]:
        flops = convolution_flops(self.x, self.filters, self.kernel, self.between())
        return (flops if direction == "forward" else 2 * flops), "FLOP/s"

    def terms(self) -> int:
        return convolution_terms(self.x, self.filters, self.kernel, self.between())

    def between(self) -> tuple[int, int, int, int]:
        """The shape of the convolution's output."""
        return convolved(self.x, self.filters, self.kernel, self.stride, self.pad)

    def tiny(self) -> "Convolution":
        return dataclasses.replace(self, x=tiny_images(self.x), filters=3)


def convolved(x: tuple[int, int, int, int], filters: int, kernel: int, stride: int, pad: int):
    """The shape of a convolution's output."""
    N, _, H, W = x
    return N, filters, 1 + (H + 2 * pad - kernel) // stride, 1 + (W + 2 * pad - kernel) // stride


def convolution_flops(x: tuple[int, ...], filters: int, kernel: int, out: tuple[int, ...]) -> float:
    """Floating-point operations of the forward pass; the backward pass has twice as many."""
    return 2.0 * x[0] * filters * out[2] * out[3] * x[1] * kernel**2


def convolution_terms(x: tuple[int, ...], filters: int, kernel: int, out: tuple[int, ...]) -> int:
    return max(kernel**2 * max(x[1], filters), x[0] * out[2] * out[3])


def tiny_images(x: tuple[int, ...]) -> tuple[int, int, int, int]:
    return 2, min(x[1], 2), 9, 8


CASES: tuple[Case, ...] = (
    Convolution((100, 3, 31, 31), 25, 3, stride=2, pad=1, headline=True, whole=True),
    Convolution((50, 3, 32, 32), 32, 7, pad=3, headline=True),
    Convolution((500, 3, 32, 32), 64, 3, pad=1),
    Convolution((64, 3, 32, 32), 16, 5, pad=2),
    Convolution((64, 16, 16, 16), 32, 3, pad=1),
    Convolution((64, 32, 8, 8), 64, 3, pad=1, headline=True),
    Convolution((64, 64, 32, 32), 64, 3, pad=1, slow=True),
    Convolution((64, 64, 32, 32), 64, 3, stride=2, pad=1),
    Convolution((64, 64, 16, 16), 128, 1),
    Convolution((64, 6, 14, 14), 16, 5),
    Convolution((32, 20, 15, 15), 30, 3, pad=1),
)

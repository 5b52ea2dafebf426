"""What is timed: the table `CASES`, and each case as calls without arguments, ours and PyTorch's."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

PASSES = ("forward", "backward")

Arrays = dict[str, np.ndarray]
Calls = dict[str, Callable[[], Any]]


@dataclasses.dataclass(frozen=True)
class Convolution:
    """`filters` filters of kernel x kernel over images (N, C, H, W); the backward pass gives dx, dw and db."""

    x: tuple[int, int, int, int]
    filters: int
    kernel: int
    stride: int = 1
    pad: int = 0
    slow: bool = False  # the naive loops take minutes

    @property
    def name(self) -> str:
        N, C, H, W = self.x
        return (
            f"conv ({N},{C},{H},{W}), {self.filters} {self.kernel}x{self.kernel}, stride {self.stride}, pad {self.pad}"
        )

    def inputs(self, dtype: Any) -> Arrays:
        """x, w, b and dout, the same for every call."""
        generator = np.random.default_rng(0)
        shapes = {
            "x": self.x,
            "w": (self.filters, self.x[1], self.kernel, self.kernel),
            "b": (self.filters,),
            "dout": (self.x[0], self.filters, *self._out_size()),
        }
        return {name: generator.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}

    def calls(self, arrays: Arrays) -> Calls:
        from fastnn.kernels.conv2d import conv2d_backward, conv2d_forward

        x, w, b, dout = (arrays[name] for name in ("x", "w", "b", "dout"))
        return {
            "forward": lambda: conv2d_forward(x, w, b, self.stride, self.pad),
            "backward": lambda: conv2d_backward(dout, x, w, self.stride, self.pad),
        }

    def torch_calls(self, arrays: Arrays) -> Calls:
        import torch

        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        x, w, b, dout = (tensors[name] for name in ("x", "w", "b", "dout"))
        convolve = torch.nn.functional.conv2d
        leaves = tuple(tensor.clone().requires_grad_() for tensor in (x, w, b))
        out = convolve(leaves[0], leaves[1], leaves[2], stride=self.stride, padding=self.pad)

        def forward():
            with torch.no_grad():
                return convolve(x, w, b, stride=self.stride, padding=self.pad)

        return {
            "forward": forward,
            "backward": lambda: torch.autograd.grad(out, leaves, dout, retain_graph=True),
        }

    def terms(self) -> int:
        """Products in the longest sum of either pass."""
        OH, OW = self._out_size()
        return max(self.kernel**2 * max(self.x[1], self.filters), self.x[0] * OH * OW)

    def cost(self, direction: str, itemsize: int) -> tuple[float, str]:
        """Floating-point operations of a pass, and the unit of their rate."""
        OH, OW = self._out_size()
        flops = 2 * self.x[0] * self.filters * OH * OW * self.x[1] * self.kernel**2
        return (flops if direction == "forward" else 2 * flops), "FLOP/s"

    def _out_size(self) -> tuple[int, int]:
        _, _, H, W = self.x
        return 1 + (H + 2 * self.pad - self.kernel) // self.stride, 1 + (W + 2 * self.pad - self.kernel) // self.stride


@dataclasses.dataclass(frozen=True)
class MaxPooling:
    """Max pooling of images (N, C, H, W) by windows of size x size, side by side."""

    x: tuple[int, int, int, int]
    size: int
    slow: bool = False

    @property
    def name(self) -> str:
        N, C, H, W = self.x
        return f"max pool ({N},{C},{H},{W}), {self.size}x{self.size}"

    def inputs(self, dtype: Any) -> Arrays:
        """x, dout, and which element of each window won, the same for every call."""
        generator = np.random.default_rng(0)
        x, dout = (generator.standard_normal(shape).astype(dtype) for shape in (self.x, self._out_shape()))
        from fastnn.kernels import use_backend
        from fastnn.kernels.pool2d import max_pool2d_forward

        with use_backend("vectorized"):
            return {"x": x, "dout": dout, "index": max_pool2d_forward(x, self.size, self.size)[1]}

    def calls(self, arrays: Arrays) -> Calls:
        from fastnn.kernels.pool2d import max_pool2d_backward, max_pool2d_forward

        x, dout, index = (arrays[name] for name in ("x", "dout", "index"))
        return {
            "forward": lambda: max_pool2d_forward(x, self.size, self.size),
            "backward": lambda: max_pool2d_backward(dout, index, x.shape, self.size, self.size),
        }

    def torch_calls(self, arrays: Arrays) -> Calls:
        import torch

        x, dout = torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["dout"])
        pool = torch.nn.functional.max_pool2d
        parameter = x.clone().requires_grad_()
        out = pool(parameter, self.size)

        def forward():
            with torch.no_grad():
                return (pool(x, self.size),)  # without the index, which PyTorch keeps to itself

        return {
            "forward": forward,
            "backward": lambda: torch.autograd.grad(out, [parameter], dout, retain_graph=True)[0],
        }

    def terms(self) -> int:
        """Products in the longest sum of either pass."""
        return 1

    def cost(self, direction: str, itemsize: int) -> tuple[float, str]:
        """Bytes that a pass reads and writes, and the unit of their rate."""
        places = np.prod(self._out_shape())
        return float(itemsize * (np.prod(self.x) + places) + places), "B/s"

    def _out_shape(self) -> tuple[int, int, int, int]:
        N, C, H, W = self.x
        return N, C, H // self.size, W // self.size


Case = Convolution | MaxPooling

CASES: tuple[Case, ...] = (
    Convolution((100, 3, 31, 31), filters=25, kernel=3, stride=2, pad=1),
    Convolution((50, 3, 32, 32), filters=32, kernel=7, pad=3),
    Convolution((64, 64, 32, 32), filters=64, kernel=3, pad=1, slow=True),
    MaxPooling((100, 3, 32, 32), size=2),
    MaxPooling((64, 32, 32, 32), size=2),
)


def with_images(case: Case, images: int) -> Case:
    """The same case on a batch of another size."""
    return dataclasses.replace(case, x=(images, *case.x[1:]))


def in_float64(arrays: Arrays) -> Arrays:
    """The inputs of a case with every float widened, for the reference result."""
    return {name: array.astype(np.float64) if array.dtype.kind == "f" else array for name, array in arrays.items()}

"""Neighbouring layers fused: affine or convolution, norm, ReLU, pooling."""

import abc
import dataclasses
from typing import Any, ClassVar

from . import affine
from .base import REFERENCE, Arrays, Calls, Case, differentiated
from .convolution import convolution_flops, convolution_terms, convolved, tiny_images
from .pooling import pooled

EPSILON = 1e-5


class Fused(Case):
    """What they share: the backward pass takes what the forward pass gave."""

    operation: ClassVar[str] = "fused"

    @abc.abstractmethod
    def given(self) -> tuple[str, ...]:
        """The names of what the forward pass returns."""

    def arguments(self) -> tuple[Any, ...]:
        """Arguments of both passes behind the arrays."""
        return ()

    def inputs(self, dtype: Any) -> Arrays:
        from fastnn.kernels import use_backend

        arrays = super().inputs(dtype)
        with use_backend(REFERENCE):
            results = self._forward(arrays)()
        return {**arrays, **dict(zip(self.given(), results if len(self.given()) > 1 else [results], strict=True))}

    def calls(self, arrays: Arrays) -> Calls:
        from fastnn.kernels import fused

        backward = getattr(fused, f"{self.function}_backward")
        last = arrays["index" if "index" in arrays else "out"]
        norm = [arrays[name] for name in ("between", "gamma", "mean", "var") if name in arrays]
        epsilon = [EPSILON] * bool(norm)
        arguments = arrays["dout"], arrays["x"], arrays["w"], *norm, *epsilon, last, *self.arguments()
        return {"forward": self._forward(arrays), "backward": lambda: backward(*arguments)}

    def _forward(self, arrays: Arrays) -> Any:
        from fastnn.kernels import fused

        forward = getattr(fused, f"{self.function}_forward")
        norm = [arrays[name] for name in ("gamma", "beta") if name in arrays]
        epsilon = [EPSILON] * bool(norm)
        arguments = arrays["x"], arrays["w"], arrays["b"], *norm, *epsilon, *self.arguments()
        return lambda: forward(*arguments)


@dataclasses.dataclass(frozen=True)
class AffineSandwich(Fused):
    """Rows (N, D) times weights (D, outputs), a bias, batch or layer norm if any, ReLU."""

    x: tuple[int, int]
    outputs: int
    norm: str = ""

    @property
    def function(self) -> str:
        return "_".join(filter(None, ("affine", self.norm, "relu")))

    @property
    def size(self) -> str:
        return f"{super().size}x{self.outputs}"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        N, D = self.x
        norm = dict.fromkeys(("gamma", "beta"), (self.outputs,)) if self.norm else {}
        return {"x": self.x, "w": (D, self.outputs), "b": (self.outputs,), "dout": (N, self.outputs), **norm}

    def given(self) -> tuple[str, ...]:
        return ("out", "between", "mean", "var") if self.norm else ("out",)

    def torch_calls(self, arrays: Arrays) -> Calls:
        import torch

        functional = torch.nn.functional

        def layers(x, w, b, gamma=None, beta=None):
            out = torch.addmm(b, x, w)
            if self.norm == "batchnorm":
                out = functional.batch_norm(out, None, None, gamma, beta, training=True, eps=EPSILON)
            elif self.norm:
                out = functional.layer_norm(out, out.shape[1:], gamma, beta, EPSILON)
            return functional.relu(out)

        return differentiated(layers, arrays, ("x", "w", "b", *(("gamma", "beta") if self.norm else ())))

    def cost(self, direction: str, itemsize: int) -> tuple[float, str]:
        """Of the products alone."""
        return affine.Affine(self.x, self.outputs).cost(direction, itemsize)

    def terms(self) -> int:
        return max(*self.x, self.outputs)

    def tiny(self) -> "AffineSandwich":
        return dataclasses.replace(self, x=(4, 7), outputs=5)


@dataclasses.dataclass(frozen=True)
class ConvolutionSandwich(Fused):
    """A convolution as in `Convolution`, batch norm if asked, ReLU, 2x2 max pooling if asked."""

    x: tuple[int, int, int, int]
    filters: int
    kernel: int
    pad: int = 0
    norm: bool = False
    pool: bool = False

    @property
    def function(self) -> str:
        return "conv2d" + "_batchnorm" * self.norm + "_relu" + "_pool" * self.pool

    @property
    def size(self) -> str:
        return f"{super().size} {self.filters}f{self.kernel}x{self.kernel} p{self.pad}"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        out = pooled(self.between(), 2, 2) if self.pool else self.between()
        norm = dict.fromkeys(("gamma", "beta"), (self.filters,)) if self.norm else {}
        weights = (self.filters, self.x[1], self.kernel, self.kernel)
        return {"x": self.x, "w": weights, "b": (self.filters,), "dout": out, **norm}

    def given(self) -> tuple[str, ...]:
        return "out", *["index"] * self.pool, *["between", "mean", "var"] * self.norm

    def arguments(self) -> tuple[Any, ...]:
        return (1, self.pad, 2, 2) if self.pool else (1, self.pad)

    def torch_calls(self, arrays: Arrays) -> Calls:
        from torch.nn import functional

        def layers(x, w, b, gamma=None, beta=None):
            out = functional.conv2d(x, w, b, padding=self.pad)
            if self.norm:
                out = functional.batch_norm(out, None, None, gamma, beta, training=True, eps=EPSILON)
            out = functional.relu(out)
            return functional.max_pool2d(out, 2) if self.pool else out

        return differentiated(layers, arrays, ("x", "w", "b", *(("gamma", "beta") if self.norm else ())))

    def cost(self, direction: str, itemsize: int) -> tuple[float, str]:
        """Of the convolution alone."""
        flops = convolution_flops(self.x, self.filters, self.kernel, self.between())
        return (flops if direction == "forward" else 2 * flops), "FLOP/s"

    def terms(self) -> int:
        return convolution_terms(self.x, self.filters, self.kernel, self.between())

    def between(self) -> tuple[int, int, int, int]:
        """The shape of the convolution's output."""
        return convolved(self.x, self.filters, self.kernel, 1, self.pad)

    def tiny(self) -> "ConvolutionSandwich":
        return dataclasses.replace(self, x=tiny_images(self.x), filters=3)


POOLED = (
    ((50, 3, 32, 32), 32, 7, 3),
    ((500, 3, 32, 32), 64, 3, 1),
    ((64, 3, 32, 32), 16, 5, 2),
    ((64, 16, 16, 16), 32, 3, 1),
    ((64, 32, 8, 8), 64, 3, 1),
    ((64, 6, 14, 14), 16, 5, 0),
)

CASES: tuple[Case, ...] = (
    *(AffineSandwich(*sizes) for sizes in affine.SIZES),
    AffineSandwich((256, 200), 200, "batchnorm"),
    AffineSandwich((256, 200), 200, "layernorm"),
    ConvolutionSandwich(*POOLED[3]),
    *(ConvolutionSandwich(*sizes, pool=True, headline=sizes == POOLED[0]) for sizes in POOLED),
    ConvolutionSandwich(*POOLED[3], norm=True),
    ConvolutionSandwich(*POOLED[2], norm=True, pool=True),
    ConvolutionSandwich(*POOLED[3], norm=True, pool=True),
)

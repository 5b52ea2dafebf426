"""Batch, layer and group norm, behind a hidden layer and behind a convolution."""

import dataclasses
from typing import Any, ClassVar

from .base import REFERENCE, Arrays, Calls, Case, differentiated, size

EPSILON = 1e-5


@dataclasses.dataclass(frozen=True)
class BatchNorm(Case):
    """Each channel of x (N, C, ...) by statistics of the batch, or by given ones; gives dx, dgamma, dbeta."""

    operation: ClassVar[str] = "normalization"

    inference: bool = False

    @property
    def function(self) -> str:
        return "batchnorm_inference" if self.inference else "batchnorm"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        channels = self.x[1:2]
        return {"x": self.x, "dout": self.x, "gamma": channels, "beta": channels}

    def inputs(self, dtype: Any) -> Arrays:
        from fastnn.kernels import use_backend
        from fastnn.kernels.normalization import batchnorm_forward

        arrays = super().inputs(dtype)
        with use_backend(REFERENCE):
            _, mean, var = batchnorm_forward(arrays["x"], arrays["gamma"], arrays["beta"], EPSILON)
        return {**arrays, "mean": mean, "var": var}

    def calls(self, arrays: Arrays) -> Calls:
        from fastnn.kernels import normalization

        x, dout, gamma, beta, mean, var = (arrays[name] for name in ("x", "dout", "gamma", "beta", "mean", "var"))
        if self.inference:
            return {
                "forward": lambda: normalization.batchnorm_inference(x, gamma, beta, mean, var, EPSILON),
                "backward": lambda: normalization.batchnorm_inference_backward(dout, x, gamma, mean, var, EPSILON),
            }
        return {
            "forward": lambda: normalization.batchnorm_forward(x, gamma, beta, EPSILON),
            "backward": lambda: normalization.batchnorm_backward_alt(dout, x, gamma, mean, var, EPSILON),
        }

    def torch_calls(self, arrays: Arrays) -> Calls:
        import torch

        given = {name: torch.from_numpy(arrays[name]) for name in ("mean", "var")} if self.inference else {}
        mean, var, training = given.get("mean"), given.get("var"), not self.inference

        def normalise(x, gamma, beta):
            return torch.nn.functional.batch_norm(x, mean, var, gamma, beta, training, eps=EPSILON)

        return differentiated(normalise, arrays, ("x", "gamma", "beta"))

    def cost(self, direction: str, itemsize: int) -> tuple[float, str]:
        return float(itemsize * size(self.x) * (2 if direction == "forward" else 3)), "B/s"

    def terms(self) -> int:
        return size(self.x) // self.x[1]

    def tiny(self) -> "BatchNorm":
        return dataclasses.replace(self, x=(4, 3, 5, 4)[: len(self.x)])


@dataclasses.dataclass(frozen=True)
class GroupNorm(Case):
    """Each of `groups` groups of channels of each image of x (N, C, ...); one group is layer norm."""

    operation: ClassVar[str] = "normalization"

    groups: int

    @property
    def function(self) -> str:
        return "groupnorm"

    @property
    def size(self) -> str:
        return f"{super().size} in {self.groups}"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        channels = self.x[1:2]
        return {"x": self.x, "dout": self.x, "gamma": channels, "beta": channels}

    def inputs(self, dtype: Any) -> Arrays:
        from fastnn.kernels import use_backend
        from fastnn.kernels.normalization import groupnorm_forward

        arrays = super().inputs(dtype)
        with use_backend(REFERENCE):
            _, mean, var = groupnorm_forward(arrays["x"], arrays["gamma"], arrays["beta"], self.groups, EPSILON)
        return {**arrays, "mean": mean, "var": var}

    def calls(self, arrays: Arrays) -> Calls:
        from fastnn.kernels.normalization import groupnorm_backward, groupnorm_forward

        x, dout, gamma, beta, mean, var = (arrays[name] for name in ("x", "dout", "gamma", "beta", "mean", "var"))
        return {
            "forward": lambda: groupnorm_forward(x, gamma, beta, self.groups, EPSILON),
            "backward": lambda: groupnorm_backward(dout, x, gamma, self.groups, mean, var, EPSILON),
        }

    def torch_calls(self, arrays: Arrays) -> Calls:
        from torch.nn.functional import group_norm, layer_norm

        def normalise(x, gamma, beta):
            if x.ndim == 2 and self.groups == 1:
                return layer_norm(x, x.shape[1:], gamma, beta, EPSILON)
            return group_norm(x, self.groups, gamma, beta, EPSILON)

        return differentiated(normalise, arrays, ("x", "gamma", "beta"))

    def cost(self, direction: str, itemsize: int) -> tuple[float, str]:
        return float(itemsize * size(self.x) * (2 if direction == "forward" else 3)), "B/s"

    def terms(self) -> int:
        return size(self.x) // min(self.x[0], self.x[1])

    def tiny(self) -> "GroupNorm":
        return dataclasses.replace(self, x=(3, 2 * self.groups, 5, 4)[: len(self.x)])


CASES: tuple[Case, ...] = (
    BatchNorm((256, 200)),
    BatchNorm((64, 32, 32, 32), headline=True),
    BatchNorm((64, 32, 32, 32), inference=True),
    GroupNorm((256, 200), 1),
    GroupNorm((64, 32, 32, 32), 1),
    GroupNorm((64, 32, 32, 32), 8),
)

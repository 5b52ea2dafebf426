"""Losses of scores, and of a linear classifier from its weights at once: the value and the gradient in one call."""

import dataclasses
from typing import Any, ClassVar

import numpy as np

from .base import Arrays, Calls, Case, loss_and_gradient, size

REG = 1e-3


@dataclasses.dataclass(frozen=True)
class Loss(Case):
    """`rule` of scores x (N, K) and labels, or of x and a target of its shape."""

    operation: ClassVar[str] = "losses"
    passes: ClassVar[tuple[str, ...]] = ("loss",)

    rule: str

    @property
    def function(self) -> str:
        return self.rule

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"x": self.x, "target": self.x}

    def inputs(self, dtype: Any) -> Arrays:
        arrays = super().inputs(dtype)
        if self.rule != "mse_loss":
            arrays["target"] = labels(*self.x)
        return arrays

    def calls(self, arrays: Arrays) -> Calls:
        from fastnn.kernels import losses

        function = getattr(losses, self.rule)
        x, target = arrays["x"], arrays["target"]
        return {"loss": lambda: function(x, target)}

    def torch_calls(self, arrays: Arrays) -> Calls:
        import torch

        target, (N, K) = torch.from_numpy(arrays["target"]), self.x
        functional = torch.nn.functional
        rules = {
            "softmax_loss": lambda x: functional.cross_entropy(x, target),
            "svm_loss": lambda x: K * functional.multi_margin_loss(x, target),
            "mse_loss": lambda x: functional.mse_loss(x, target, reduction="sum") / (2 * N),
        }
        return {"loss": loss_and_gradient(rules[self.rule], arrays["x"])}

    def cost(self, direction: str, itemsize: int) -> tuple[float, str]:
        """Without the labels, which are few."""
        return float(itemsize * size(self.x) * (3 if self.rule == "mse_loss" else 2)), "B/s"

    def terms(self) -> int:
        return size(self.x)

    def tiny(self) -> "Loss":
        return dataclasses.replace(self, x=(5, 4))


@dataclasses.dataclass(frozen=True)
class LinearLoss(Case):
    """`rule` of the scores of images (N, D) under weights (D, classes), with a penalty; gives the loss and dW."""

    operation: ClassVar[str] = "linear_losses"
    passes: ClassVar[tuple[str, ...]] = ("loss",)

    rule: str
    classes: int

    @property
    def function(self) -> str:
        return self.rule

    @property
    def size(self) -> str:
        return f"{super().size}x{self.classes}"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"X": self.x, "W": (self.x[1], self.classes)}

    def inputs(self, dtype: Any) -> Arrays:
        arrays = super().inputs(dtype)
        arrays["W"] /= 64  # so that no class is certain
        return {**arrays, "y": labels(self.x[0], self.classes)}

    def calls(self, arrays: Arrays) -> Calls:
        from fastnn.kernels import linear_losses

        function = getattr(linear_losses, self.rule)
        X, W, y = (arrays[name] for name in ("X", "W", "y"))
        return {"loss": lambda: function(W, X, y, REG)}

    def torch_calls(self, arrays: Arrays) -> Calls:
        import torch

        X, y = (torch.from_numpy(arrays[name]) for name in ("X", "y"))
        functional = torch.nn.functional

        def softmax(W):
            return functional.cross_entropy(X @ W, y) + REG * (W * W).sum()

        def svm(W):
            return self.classes * functional.multi_margin_loss(X @ W, y) + REG * (W * W).sum()

        return {"loss": loss_and_gradient(softmax if self.rule == "linear_softmax_loss" else svm, arrays["W"])}

    def cost(self, direction: str, itemsize: int) -> tuple[float, str]:
        """Of the scores and of dW."""
        return 4.0 * self.x[0] * self.x[1] * self.classes, "FLOP/s"

    def terms(self) -> int:
        return max(size(self.x), self.x[1] * self.classes)

    def tiny(self) -> "LinearLoss":
        return dataclasses.replace(self, x=(5, 7), classes=4)


def labels(count: int, classes: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, classes, count)


CASES: tuple[Case, ...] = (
    Loss((500, 10), "softmax_loss", headline=True),
    Loss((500, 10), "svm_loss"),
    Loss((500, 256), "mse_loss"),
    LinearLoss((128, 3073), "linear_softmax_loss", 10),
    LinearLoss((128, 3073), "linear_svm_loss", 10, headline=True),
)

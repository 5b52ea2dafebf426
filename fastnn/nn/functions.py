"""Losses and other functions of `nn.functional` as Modules, with torch's arguments."""

from typing import Any

from fastnn.kernels.dispatch import validation

from .module import Module


class CrossEntropyLoss(Module):
    """`functional.cross_entropy` as a Module: loss = criterion(scores, y).

    label_smoothing: share of the target that is spread evenly over all classes, at least 0, less than 1
    reduction: "mean", "sum" or "none"
    """

    def __init__(self, *, label_smoothing: float = 0.0, reduction: str = "mean") -> None:
        super().__init__()
        self.label_smoothing = validation.number("CrossEntropyLoss", "label_smoothing", label_smoothing, 0, below=1)
        self.reduction = validation.choice("CrossEntropyLoss", "reduction", reduction, ("mean", "sum", "none"))

    def forward(self, input: Any, target: Any) -> Any:  # type: ignore[override]
        from .functional import cross_entropy

        return cross_entropy(input, target, reduction=self.reduction, label_smoothing=self.label_smoothing)


class MSELoss(Module):
    """`functional.mse_loss` as a Module.

    reduction: "mean", "sum" or "none"
    """

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = validation.choice("MSELoss", "reduction", reduction, ("mean", "sum", "none"))

    def forward(self, input: Any, target: Any) -> Any:  # type: ignore[override]
        from .functional import mse_loss

        return mse_loss(input, target, reduction=self.reduction)


class AdaptiveAvgPool2d(Module):
    """`functional.adaptive_avg_pool2d` as a Module. See GlobalAvgPool2d.

    output_size: 1 or (1, 1), no other
    """

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = validation.pair("AdaptiveAvgPool2d", "output_size", output_size, minimum=1)

    def forward(self, x: Any) -> Any:
        from .functional import adaptive_avg_pool2d

        return adaptive_avg_pool2d(x, self.output_size)

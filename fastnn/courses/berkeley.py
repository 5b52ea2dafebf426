"""What CS182 adds to the classes of CS231n: schemes of initial weights, and histories of the Solver."""

from typing import Any

import numpy as np

from fastnn import solver
from fastnn.classifiers import fc_net
from fastnn.kernels.dispatch import signatures, validation

from . import keywords

__all__ = ["FullyConnectedNet", "Solver"]

_INITIALIZATIONS = ("random", "xavier", "he", "zero")


class FullyConnectedNet(fc_net.FullyConnectedNet):
    """fastnn's FullyConnectedNet with CS182's keywords.

    dropout: probability of dropping an element; 0: no dropout
    use_batchnorm: whether to normalize
    initialization: standard deviation of the weights (D, H): "random": weight_scale, "xavier": sqrt(1 / D), "he":
        sqrt(2 / D), "zero": 0
    """

    def __init__(
        self,
        hidden_dims: Any,
        input_dim: int = 3072,
        num_classes: int = 10,
        dropout: float = 0,
        use_batchnorm: bool = False,
        reg: float = 0.0,
        weight_scale: float = 1e-2,
        dtype: Any = np.float32,
        seed: int | None = None,
        initialization: str = "random",
    ) -> None:
        validation.choice("FullyConnectedNet", "initialization", initialization, _INITIALIZATIONS)
        given: dict[str, Any] = {**keywords.drop_ratio(dropout), **keywords.use_batchnorm(use_batchnorm)}
        super().__init__(
            hidden_dims, input_dim, num_classes, reg=reg, weight_scale=1.0, dtype=dtype, seed=seed, **given
        )
        for name in self.regularized:
            weights = self.params[name]
            rows = len(weights)
            scale = {"random": weight_scale, "xavier": (1 / rows) ** 0.5, "he": (2 / rows) ** 0.5, "zero": 0.0}
            weights *= weights.dtype.type(scale[initialization])


class Solver(solver.Solver):
    """fastnn's Solver with CS182's histories.

    log_acc_iteration: whether to keep the iterations of the accuracies in `log_acc_iteration_history`
    """

    @signatures.checked
    def __init__(self, model: Any, data: dict[str, Any], *, log_acc_iteration: bool = False, **options: Any) -> None:
        super().__init__(model, data, **options)
        self.log_acc_iteration = validation.flag("Solver", "log_acc_iteration", log_acc_iteration)

    @property
    def log_acc_iteration_history(self) -> list[int]:
        """The iterations after which the accuracies were measured, from 0: the first, and the last of each epoch."""
        if not self.log_acc_iteration:
            return []
        ends = [epoch * self.iterations_per_epoch - 1 for epoch in range(1, len(self.val_acc_history))]
        return [0, *ends][: len(self.val_acc_history)]

    @property
    def best_train_acc(self) -> float:
        """The highest training accuracy so far."""
        return max(self.train_acc_history, default=0.0)

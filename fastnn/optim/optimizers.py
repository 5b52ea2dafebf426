"""Optimizers: update rules with their parameters, hyperparameters and state, in the form of `torch.optim`.

    optimizer = SGD([w, b], lr=1e-2, momentum=0.9, nesterov=True)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

Arguments, their order and their defaults are those of PyTorch, and so are the steps, except for rounding. `step`
updates the data of the parameters in place, with one launch of a kernel for all of them.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from fastnn.autograd import Tensor
from fastnn.kernels.dispatch import arrays, signatures

from .base import Numbers, Optimizer


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if momentum > 0.

        g = grad + weight_decay * w
        buffer = momentum * buffer + g                      (without momentum, buffer = g)
        w = w - lr * buffer, or with nesterov w - lr * (g + momentum * buffer)

    params: see `Optimizer`
    lr: learning rate, at least 0
    momentum: from 0 to below 1
    dampening: 0; other values raise ValueError
    weight_decay: factor of the L2 penalty, at least 0
    nesterov: use Nesterov's form, which needs a momentum
    state: velocity = -learning_rate * buffer, with the learning_rate of the latest update
    """

    _rules = ("sgd", "sgd_momentum", "nesterov")
    _more = ("learning_rate",)

    @signatures.checked
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
            },
        )

    def _rule_and_numbers(self, group: dict[str, Any]) -> tuple[str, Numbers]:
        self._check_off("dampening", group["dampening"])
        _, numbers = super()._rule_and_numbers({name: value for name, value in group.items() if name != "dampening"})
        if numbers["nesterov"] and not numbers["momentum"]:
            raise ValueError(
                f"{self._name}: nesterov=True does not fit momentum=0; expected a momentum above 0; pass momentum=0.9"
            )
        return self._rules[0 if not numbers["momentum"] else 2 if numbers["nesterov"] else 1], numbers

    def _config(self, rule: str, p: Tensor, numbers: Numbers) -> dict[str, Any]:
        """With another learning rate than before, the velocity is scaled, so that the buffer of PyTorch stays."""
        if rule != "sgd":
            state = self.state.setdefault(p, {})
            rate: float = numbers["learning_rate"] or 1.0  # with 0, the buffer could not be recovered
            before: float = state.get("learning_rate", rate)
            if "velocity" in state and before != rate:
                with np.errstate(all="ignore"):
                    state["velocity"] *= rate / before
            state["learning_rate"] = rate
            numbers = numbers if rate == numbers["learning_rate"] else {**numbers, "learning_rate": rate}
        return super()._config(rule, p, numbers)

    def _holds_still(self, rule: str, numbers: Numbers) -> bool:
        return rule != "sgd" and not numbers["learning_rate"]


class RMSprop(Optimizer):
    """RMSProp: each step divided by a moving root mean square of the gradient.

        g = grad + weight_decay * w
        cache = alpha * cache + (1 - alpha) * g^2
        w = w - lr * g / (sqrt(cache) + eps)

    params: see `Optimizer`
    lr: learning rate, at least 0
    alpha: from 0 to below 1
    eps: above 0
    weight_decay: factor of the L2 penalty, at least 0
    momentum, centered: 0 and False; other values raise ValueError
    """

    _rules = ("rmsprop",)

    @signatures.checked
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        self._check_off("momentum", momentum)
        self._check_off("centered", centered)
        super().__init__(params, {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay})


class Adagrad(Optimizer):
    """AdaGrad: each step divided by the root of the sum of all squared gradients.

        g = grad + weight_decay * w
        cache = cache + g^2, from initial_accumulator_value on
        w = w - lr / (1 + t * lr_decay) * g / (sqrt(cache) + eps), where t counts the updates from 0

    params: see `Optimizer`
    lr, lr_decay: learning rate and its decay, at least 0
    weight_decay: factor of the L2 penalty, at least 0
    initial_accumulator_value: of all elements of cache, at least 0
    eps: above 0
    """

    _rules = ("adagrad",)

    @signatures.checked
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "eps": eps,
            },
        )

    def _config(self, rule: str, p: Tensor, numbers: Numbers) -> dict[str, Any]:
        config = super()._config(rule, p, numbers)
        if numbers["lr_decay"]:
            config["learning_rate"] /= 1 + self.state.get(p, {}).get("t", 0) * numbers["lr_decay"]
        if "cache" not in config and numbers["cache"]:
            config["cache"] = arrays.zeros(p.shape, p.data)
            config["cache"] += numbers["cache"]
        return config


class Adam(Optimizer):
    """Adam: momentum and RMSProp, both with bias correction.

        g = grad + weight_decay * w
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g^2
        w = w - lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

    params: see `Optimizer`
    lr: learning rate, at least 0
    betas: beta1 and beta2, from 0 to below 1
    eps: above 0
    weight_decay: factor of the L2 penalty, at least 0
    amsgrad: False; True raises ValueError
    """

    _rules: tuple[str, ...] = ("adam",)

    @signatures.checked
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
    ) -> None:
        self._check_off("amsgrad", amsgrad)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})


class AdamW(Adam):
    """Adam with decoupled weight decay: g = grad, and a step also subtracts lr * weight_decay * w.

    params, lr, betas, eps, weight_decay, amsgrad: as in `Adam`
    """

    _rules = ("adamw",)

    @signatures.checked
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad)


class Lion(Optimizer):
    """Lion: steps of equal length in the direction of signs, with decoupled weight decay.

        w = w - lr * (sign(beta1 * m + (1 - beta1) * grad) + weight_decay * w)
        m = beta2 * m + (1 - beta2) * grad

    params: see `Optimizer`
    lr: learning rate, at least 0
    betas: beta1 and beta2, from 0 to below 1
    weight_decay: factor of the decay, at least 0

    PyTorch has no such optimizer; arguments as in the authors' code.
    """

    _rules = ("lion",)

    @signatures.checked
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

"""Records of the update rules, used by kernels, training, checkpoints, tests and benchmarks.

The keys of `RULES` are the names that users pass. To add a rule, add a record here and its formula in the contract and
the four variants; `fastnn.optim` then offers it under its name.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

# limits for `validation.number`; t, the number of an update, is an integer
_FRACTION: dict[str, float] = {"minimum": 0, "below": 1}
LIMITS: dict[str, dict[str, float]] = {
    "learning_rate": {"minimum": 0},
    "momentum": _FRACTION,
    "decay_rate": _FRACTION,
    "beta1": _FRACTION,
    "beta2": _FRACTION,
    "epsilon": {"above": 0},
    "t": {"minimum": 1},
    "weight_decay": {"minimum": 0},
}


class Torch(NamedTuple):
    """PyTorch's optimizer for a rule.

    name: the class in `torch.optim`
    state: PyTorch's names of the rule's state arrays; its momentum_buffer is velocity / -learning_rate
    options: arguments with which the class is this rule
    """

    name: str
    state: Mapping[str, str]
    options: Mapping[str, Any] = {}

    def arguments(self, numbers: Mapping[str, float]) -> dict[str, Any]:
        """Return the keyword arguments of the class for hyperparameters of the rule."""
        names = {"learning_rate": "lr", "decay_rate": "alpha", "epsilon": "eps"}
        given: dict[str, Any] = {
            names.get(name, name): value for name, value in numbers.items() if name not in ("t", "beta1", "beta2")
        }
        if "beta1" in numbers:
            given["betas"] = numbers["beta1"], numbers["beta2"]
        return {**self.options, **given}


class Rule(NamedTuple):
    """An update rule.

    kernel: the name of the function in `fastnn.kernels.updates`, which ends with _update
    state: the arrays that the rule keeps for each parameter, in the kernel's order
    defaults: the hyperparameters, in the order of a config; t counts updates from 0
    constants: compute from the hyperparameters, in the kernel's order, the tuple of numbers that the compiled kernels
        take; called once for each parameter
    torch: PyTorch's optimizer, or None if it has none
    not_negative: the state arrays that contain no negative numbers
    decoupled: whether weight decay is applied to the weights instead of the gradient
    jumps: whether the step is discontinuous, like a sign: rounding may then change a whole step, so results are
        compared only on numbers that are computed without rounding
    """

    kernel: str
    state: tuple[str, ...]
    defaults: Mapping[str, float]
    constants: Callable[..., tuple[float, ...]]
    torch: Torch | None
    not_negative: tuple[str, ...] = ()
    decoupled: bool = False
    jumps: bool = False

    @property
    def hyperparameters(self) -> tuple[str, ...]:
        """The names of the hyperparameters in the kernel's order, which begins with t."""
        return *(["t"] if "t" in self.defaults else []), *(name for name in self.defaults if name != "t")


def _unchanged(*hyperparameters):
    return hyperparameters


def _nesterov(learning_rate, momentum, weight_decay):
    return learning_rate, momentum, 1 + momentum, weight_decay


def _rmsprop(learning_rate, decay_rate, epsilon, weight_decay):
    return learning_rate, decay_rate, 1 - decay_rate, epsilon, weight_decay


def _adagrad(learning_rate, epsilon, weight_decay):
    return learning_rate, 1.0, 1.0, epsilon, weight_decay


def _adam(t, learning_rate, beta1, beta2, epsilon, weight_decay):
    return learning_rate, epsilon, weight_decay, 0.0, *_moments(t, beta1, beta2)


def _adamw(t, learning_rate, beta1, beta2, epsilon, weight_decay):
    return learning_rate, epsilon, 0.0, weight_decay, *_moments(t, beta1, beta2)


def _lion(learning_rate, beta1, beta2, weight_decay):
    return learning_rate, beta1, 1 - beta1, beta2, 1 - beta2, weight_decay


def _moments(t, beta1, beta2):
    """Return for each moment the factors of the old moment and of the gradient, and the bias correction."""
    return beta1, 1 - beta1, 1 / (1 - beta1**t), beta2, 1 - beta2, 1 / (1 - beta2**t)


_MOMENTUM = {"learning_rate": 1e-2, "momentum": 0.9, "weight_decay": 0.0}
_BUFFER = {"velocity": "momentum_buffer"}
_ADAM = {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "t": 0, "weight_decay": 0.0}
_AVERAGES = {"m": "exp_avg", "v": "exp_avg_sq"}

RULES: dict[str, Rule] = {
    "sgd": Rule("sgd_update", (), {"learning_rate": 1e-2, "weight_decay": 0.0}, _unchanged, Torch("SGD", {})),
    "sgd_momentum": Rule("momentum_update", ("velocity",), _MOMENTUM, _unchanged, Torch("SGD", _BUFFER)),
    "nesterov": Rule("nesterov_update", ("velocity",), _MOMENTUM, _nesterov, Torch("SGD", _BUFFER, {"nesterov": True})),
    "rmsprop": Rule(
        "rmsprop_update",
        ("cache",),
        {"learning_rate": 1e-2, "decay_rate": 0.99, "epsilon": 1e-8, "weight_decay": 0.0},
        _rmsprop,
        Torch("RMSprop", {"cache": "square_avg"}),
        not_negative=("cache",),
    ),
    "adagrad": Rule(
        "adagrad_update",
        ("cache",),
        {"learning_rate": 1e-2, "epsilon": 1e-8, "weight_decay": 0.0},
        _adagrad,
        Torch("Adagrad", {"cache": "sum"}),
        not_negative=("cache",),
    ),
    "adam": Rule("adam_update", ("m", "v"), _ADAM, _adam, Torch("Adam", _AVERAGES), not_negative=("v",)),
    "adamw": Rule(
        "adamw_update",
        ("m", "v"),
        {**_ADAM, "weight_decay": 1e-2},
        _adamw,
        Torch("AdamW", _AVERAGES),
        not_negative=("v",),
        decoupled=True,
    ),
    "lion": Rule(
        "lion_update",
        ("m",),
        {"learning_rate": 1e-4, "beta1": 0.9, "beta2": 0.99, "weight_decay": 0.0},
        _lion,
        None,
        decoupled=True,
        jumps=True,
    ),
}

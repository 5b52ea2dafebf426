"""Update rules: `rule(w, dw, config=None, out=None) -> (next_w, config)`.

w is a parameter and dw the gradient of the loss with respect to it, of one shape. `config` is a dict of the rule's
hyperparameters and state; keys that it lacks get the values in `DEFAULTS`, state arrays begin as zeros in the shape of
w, and all of them are updated in the dict itself, which is also returned. None stands for an empty dict.

weight_decay is the factor of an L2 penalty, weight_decay/2 * sum(w^2) in the loss: every rule but `adamw` first adds
weight_decay * w to dw. A penalty in the model, its `reg`, comes on top of that.

next_w is a new array, or written to `out` where that is given; with `out=w` the update happens in place, in one pass.
dw is never modified. Raises ValueError for keys that the rule does not know and for values out of range.
"""

from collections.abc import Callable

import numpy as np

from fastnn.kernels import checks, updates

_ADAM = {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "t": 0}
DEFAULTS: dict[str, dict[str, float]] = {
    "sgd": {"learning_rate": 1e-2, "weight_decay": 0.0},
    "sgd_momentum": {"learning_rate": 1e-2, "momentum": 0.9, "weight_decay": 0.0},
    "nesterov": {"learning_rate": 1e-2, "momentum": 0.9, "weight_decay": 0.0},
    "rmsprop": {"learning_rate": 1e-2, "decay_rate": 0.99, "epsilon": 1e-8, "weight_decay": 0.0},
    "adagrad": {"learning_rate": 1e-2, "epsilon": 1e-8, "weight_decay": 0.0},
    "adam": {**_ADAM, "weight_decay": 0.0},
    "adamw": {**_ADAM, "weight_decay": 1e-2},
}
STATE: dict[str, tuple[str, ...]] = {
    "sgd": (),
    "sgd_momentum": ("velocity",),
    "nesterov": ("velocity",),
    "rmsprop": ("cache",),
    "adagrad": ("cache",),
    "adam": ("m", "v"),
    "adamw": ("m", "v"),
}


def sgd(w, dw, config=None, out=None):
    """Stochastic gradient descent: next_w = w - learning_rate * dw."""
    return _apply("sgd", updates.sgd_update, w, dw, config, out)


def sgd_momentum(w, dw, config=None, out=None):
    """Gradient descent with momentum.

    velocity = momentum * velocity - learning_rate * dw
    next_w = w + velocity
    """
    return _apply("sgd_momentum", updates.momentum_update, w, dw, config, out)


def nesterov(w, dw, config=None, out=None):
    """Nesterov's accelerated gradient, in the variables of the look-ahead point.

    velocity = momentum * velocity - learning_rate * dw
    next_w = w + momentum * velocity - learning_rate * dw
    """
    return _apply("nesterov", updates.nesterov_update, w, dw, config, out)


def rmsprop(w, dw, config=None, out=None):
    """RMSProp: each step divided by a moving root mean square of the gradient.

    cache = decay_rate * cache + (1 - decay_rate) * dw^2
    next_w = w - learning_rate * dw / (sqrt(cache) + epsilon)
    """
    return _apply("rmsprop", updates.rmsprop_update, w, dw, config, out)


def adagrad(w, dw, config=None, out=None):
    """AdaGrad: each step divided by the root of the sum of all squared gradients.

    cache = cache + dw^2
    next_w = w - learning_rate * dw / (sqrt(cache) + epsilon)
    """
    return _apply("adagrad", updates.adagrad_update, w, dw, config, out)


def adam(w, dw, config=None, out=None):
    """Adam with bias correction; t counts the updates and is incremented first.

    m = beta1 * m + (1 - beta1) * dw
    v = beta2 * v + (1 - beta2) * dw^2
    next_w = w - learning_rate * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)
    """
    return _apply("adam", updates.adam_update, w, dw, config, out)


def adamw(w, dw, config=None, out=None):
    """Adam with decoupled weight decay: next_w as in `adam`, less learning_rate * weight_decay * w."""
    return _apply("adamw", updates.adamw_update, w, dw, config, out)


RULES = {rule.__name__: rule for rule in (sgd, sgd_momentum, nesterov, rmsprop, adagrad, adam, adamw)}


def find(function: str, rule: str | Callable) -> Callable:
    """The rule of that name; a function is its own rule."""
    return rule if callable(rule) else RULES[checks.choice(function, "update_rule", rule, RULES)]


def checked_config(function: str, rule: Callable, config: dict | None) -> dict:
    """A copy of the hyperparameters; for the rules of this module, ValueError for one that the rule does not have."""
    allowed = DEFAULTS[rule.__name__] if rule in RULES.values() else config or ()
    return checks.keys(function, "optim_config", config or {}, optional=allowed)


def base_rate(function: str, rule: Callable, config: dict) -> float:
    """The learning rate that a schedule multiplies: that of the hyperparameters, else the rule's default."""
    default = DEFAULTS[rule.__name__]["learning_rate"] if rule in RULES.values() else None
    rate = config.get("learning_rate", default)
    if rate is None:
        raise ValueError(
            f"{function}: optim_config={config!r} has no learning_rate that a schedule could multiply; expected one, "
            f"as the update rule reads it; add it"
        )
    return checks.number(function, "optim_config['learning_rate']", rate, minimum=0)


def clip_by_norm(gradients: dict, limit: float) -> tuple[dict, float]:
    """Scale all gradients by one factor, so that the norm of all their elements together is at most `limit`.

    Returns the gradients (new arrays where they had to be scaled, else the given dict) and their norm before; where
    that is not finite, no factor helps, and they stay as they are.
    Source: Pascanu, Mikolov & Bengio, On the difficulty of training recurrent neural networks (2013), section 3.2.
    """
    norm = float(np.sqrt(sum(np.square(dw, dtype=np.float64).sum() for dw in gradients.values())))
    if not limit < norm < np.inf:
        return gradients, norm
    return {name: dw * dw.dtype.type(limit / norm) for name, dw in gradients.items()}, norm


def _apply(name: str, kernel: Callable, w: np.ndarray, dw: np.ndarray, config: dict | None, out: np.ndarray | None):
    (w,) = checks.floats(name, w=(w, "..."))
    config = {} if config is None else config
    checks.keys(name, "config", config, optional=[*DEFAULTS[name], *STATE[name]])
    for key, value in DEFAULTS[name].items():
        config.setdefault(key, value)
    for key in STATE[name]:
        config.setdefault(key, np.zeros(w.shape, w.dtype))
    out = np.empty(w.shape, w.dtype) if out is None else out
    hyperparameters = {key: config[key] for key in DEFAULTS[name]}
    if "t" in hyperparameters:
        hyperparameters["t"] += 1
    kernel(w, dw, *(config[key] for key in STATE[name]), out, **hyperparameters)
    if "t" in hyperparameters:  # counted once the update is done: one that raises leaves t as it was
        config["t"] = hyperparameters["t"]
    return out, config

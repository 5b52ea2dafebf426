"""Update rules: `rule(w, dw, config=None, out=None) -> (next_w, config)`.

w is a parameter and dw the gradient of the loss with respect to it, of one shape. `config` is a dict of the rule's
hyperparameters and state; missing keys get the values in `DEFAULTS`, state arrays start as zeros of the shape of w, and
all of them are updated in the dict itself, which is also returned. None means an empty dict.

weight_decay is the factor of an L2 penalty, weight_decay/2 * sum(w^2) in the loss: every rule except `adamw` and `lion`
first adds weight_decay * w to dw. The model's own penalty `reg` is added to this.

next_w is a new array, or `out` if that is given; with `out=w` the update happens in place, in one pass.
dw is never modified. Raises ValueError for unknown keys and for values out of range.
"""

from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from fastnn import arguments
from fastnn.kernels import l2, updates
from fastnn.kernels.dispatch import arrays, signatures, validation
from fastnn.kernels.updates import rules

_Config = dict[str, Any] | None
_Updated = tuple[np.ndarray, dict[str, Any]]
_F = TypeVar("_F", bound=Callable)

DEFAULTS: dict[str, dict[str, float]] = {name: dict(record.defaults) for name, record in rules.RULES.items()}
STATE: dict[str, tuple[str, ...]] = {name: record.state for name, record in rules.RULES.items()}
RULES: dict[str, Callable[..., _Updated]] = {}
_KEYS = {name: (*DEFAULTS[name], *STATE[name]) for name in DEFAULTS}  # of a config
_KERNELS: dict[str, Callable] = {name: getattr(updates, record.kernel) for name, record in rules.RULES.items()}


def _rule(function: _F) -> _F:
    """Decorator that adds an update rule to `RULES`."""
    RULES[function.__name__] = checked = signatures.checked(function)
    return checked


@_rule
def sgd(w: ArrayLike, dw: ArrayLike, config: _Config = None, out: np.ndarray | None = None) -> _Updated:
    """Stochastic gradient descent: next_w = w - learning_rate * dw.

    w (...): the parameter
    dw (...): gradient of the loss with respect to it
    config: hyperparameters and state, updated in place; see the module
    out: array for next_w, such as w itself; None: a new one
    Returns next_w (...), config.
    """
    return _one("sgd", w, dw, config, out)


@_rule
def sgd_momentum(w: ArrayLike, dw: ArrayLike, config: _Config = None, out: np.ndarray | None = None) -> _Updated:
    """Gradient descent with momentum; arguments and results as of `sgd`.

    velocity = momentum * velocity - learning_rate * dw
    next_w = w + velocity
    """
    return _one("sgd_momentum", w, dw, config, out)


@_rule
def nesterov(w: ArrayLike, dw: ArrayLike, config: _Config = None, out: np.ndarray | None = None) -> _Updated:
    """Nesterov's accelerated gradient, in the variables of the look-ahead point; arguments and results as of `sgd`.

    velocity = momentum * velocity - learning_rate * dw
    next_w = w + momentum * velocity - learning_rate * dw
    """
    return _one("nesterov", w, dw, config, out)


@_rule
def rmsprop(w: ArrayLike, dw: ArrayLike, config: _Config = None, out: np.ndarray | None = None) -> _Updated:
    """RMSProp: each step divided by a moving root mean square of the gradient; arguments and results as of `sgd`.

    cache = decay_rate * cache + (1 - decay_rate) * dw^2
    next_w = w - learning_rate * dw / (sqrt(cache) + epsilon)
    """
    return _one("rmsprop", w, dw, config, out)


@_rule
def adagrad(w: ArrayLike, dw: ArrayLike, config: _Config = None, out: np.ndarray | None = None) -> _Updated:
    """AdaGrad: each step divided by the root of the sum of all squared gradients; arguments and results as of `sgd`.

    cache = cache + dw^2
    next_w = w - learning_rate * dw / (sqrt(cache) + epsilon)
    """
    return _one("adagrad", w, dw, config, out)


@_rule
def adam(w: ArrayLike, dw: ArrayLike, config: _Config = None, out: np.ndarray | None = None) -> _Updated:
    """Adam with bias correction; t counts the updates and is incremented first. Arguments and results as of `sgd`.

    m = beta1 * m + (1 - beta1) * dw
    v = beta2 * v + (1 - beta2) * dw^2
    next_w = w - learning_rate * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)
    """
    return _one("adam", w, dw, config, out)


@_rule
def adamw(w: ArrayLike, dw: ArrayLike, config: _Config = None, out: np.ndarray | None = None) -> _Updated:
    """Adam with decoupled weight decay: next_w as in `adam`, less learning_rate * weight_decay * w.

    Arguments and results as of `adam`.
    """
    return _one("adamw", w, dw, config, out)


@_rule
def lion(w: ArrayLike, dw: ArrayLike, config: _Config = None, out: np.ndarray | None = None) -> _Updated:
    """Lion: steps of equal length in the direction of signs, with decoupled weight decay as in `adamw`.

    next_w = w - learning_rate * (sign(beta1 * m + (1 - beta1) * dw) + weight_decay * w)
    m = beta2 * m + (1 - beta2) * dw

    Arguments and results as of `sgd`.
    """
    return _one("lion", w, dw, config, out)


def find(function: str, rule: str | Callable) -> Callable:
    """Return the rule of a name; a function is returned unchanged.

    function: the caller's name, for messages
    rule: a key of RULES, or a function
    """
    return rule if callable(rule) else RULES[validation.choice(function, "update_rule", rule, RULES)]


def checked_config(function: str, rule: Callable, config: dict | None, name: str = "optim_config") -> dict:
    """Return a copy of the hyperparameters; for rules of this module, checked numbers.

    function: the caller's name, for messages
    rule: an update rule
    config: its hyperparameters; None: {}
    name: what messages call config
    Raises ValueError for hyperparameters that a rule of this module does not have.
    """
    given = {} if config is None else config
    if rule not in RULES.values():
        return arguments.unshared(validation.keys(function, name, given, optional=given))
    checked = validation.keys(function, name, given, optional=DEFAULTS[rule.__name__])
    return {key: _number(function, key, value, f"{name}[{key!r}]") for key, value in checked.items()}


def usual_rate(rule: Callable) -> float | None:
    """Return the default learning rate of a rule of this module; None for other functions.

    rule: an update rule
    """
    return DEFAULTS[rule.__name__]["learning_rate"] if rule in RULES.values() else None


def base_rate(function: str, rule: Callable, config: dict) -> float:
    """Return the learning rate that a schedule multiplies: from the hyperparameters, else the rule's default.

    function: the caller's name, for messages
    rule, config: an update rule and its hyperparameters
    """
    rate = config.get("learning_rate", usual_rate(rule))
    if rate is None:
        raise ValueError(
            f"{function}: optim_config={config!r} has no learning_rate that a schedule could multiply; expected one, "
            f"as the update rule reads it; add it"
        )
    return validation.number(function, "optim_config['learning_rate']", rate, minimum=0)


@signatures.checked
def clip_by_norm(gradients: dict, limit: float) -> tuple[dict, float]:
    """Scale all gradients by one factor, so that the norm of all their elements together is at most `limit`.

    gradients: arrays by name, float32 or float64, not modified
    limit: a number above 0
    Returns the gradients (new arrays if they were scaled, else the given dict) and their norm before scaling. If the
    norm is not finite, they are returned unchanged.
    Source: Pascanu, Mikolov & Bengio, On the difficulty of training recurrent neural networks (2013), section 3.2.
    """
    limit = validation.number("clip_by_norm", "limit", limit, above=0)
    named = arguments.mapping("clip_by_norm", "gradients", gradients, "arrays").items()
    given = {name: validation.floats("clip_by_norm", **{f"gradients[{name!r}]": (dw, "...")})[0] for name, dw in named}
    norm = l2.global_norm(list(given.values()))
    if not limit < norm < np.inf:
        return gradients, norm
    with np.errstate(all="ignore"):
        return {name: dw * dw.dtype.type(limit / norm) for name, dw in given.items()}, norm


@signatures.checked
def update(rule: Callable, params: MutableMapping, grads: Mapping, configs: MutableMapping) -> None:
    """Update the parameters named in `configs` in place.

    rule: an update rule
    params, grads: parameters and their gradients by name
    configs: a config of the rule for each parameter to update

    Equivalent to `params[name], configs[name] = rule(params[name], grads[name], configs[name])` for each name. A rule
    of this module updates all C-contiguous arrays in one pass over memory; if one of them cannot be updated, all of
    them and their configs stay unchanged.
    """
    _check_named(rule, params, grads, configs)
    together = [name for name in configs if arrays.is_plain(params[name])] if rule in RULES.values() else []
    if together:
        w, dw, given = ([values[name] for name in together] for values in (params, grads, configs))
        _all(rule.__name__, w, dw, given)
    for name in configs:
        if name not in together:
            params[name], configs[name] = rule(params[name], grads[name], configs[name])
    if hasattr(params, "mark_changed"):
        params.mark_changed()


def next_numbers(rule: Callable, config: dict) -> tuple:
    """Return the numbers that compiled kernels take for the next update with a config; increments t.

    rule: an update rule of this module
    config: its hyperparameters
    """
    name = rule.__name__
    complete = {key: config.get(key, value) for key, value in DEFAULTS[name].items()}
    if "t" in complete:
        config["t"] = complete["t"] = complete["t"] + 1
    record = rules.RULES[name]
    return record.constants(*(complete[key] for key in record.hyperparameters))


def _check_named(rule: Any, params: Any, grads: Any, configs: Any) -> None:
    """Check that every config has a parameter, which is an array, and a gradient."""
    arguments.function("update", "rule", rule)
    arguments.mapping("update", "configs", configs, "configs of the rule")
    for which, values in (("params", params), ("grads", grads)):
        arguments.mapping("update", which, values, "arrays")
        for name in configs:
            if name not in values:
                raise ValueError(
                    f"update: {which} lacks {name!r} (it has {list(values)}); expected {list(configs)} as in configs; "
                    f"add it, or remove its config"
                )
    for name in configs:
        if not isinstance(params[name], (np.ndarray, *arrays.DEVICE_ARRAYS)):
            raise TypeError(
                f"update: params[{name!r}]={validation.brief(params[name])} is not an array; expected a NumPy array of "
                f"floats; convert it"
            )


def _one(name: str, w: Any, dw: Any, config: dict | None, out: np.ndarray | None) -> tuple[np.ndarray, dict]:
    (w,) = validation.floats(name, w=(w, "..."))
    config = {} if config is None else config
    out = arrays.empty_like(w) if out is None else out
    complete = _completed(name, config, w)
    _KERNELS[name](w, dw, out=out, **complete)
    config.update(complete)
    return out, config


def _all(name: str, w: list[np.ndarray], dw: list, configs: list[dict]) -> None:
    complete = [_completed(name, config, one) for config, one in zip(configs, w, strict=True)]
    columns: dict[str, Any] = {key: [config[key] for config in complete] for key in complete[0]}
    for key in DEFAULTS[name]:
        values = columns[key]
        if all(value is values[0] for value in values):  # equal values are checked once
            columns[key] = values[0]
    _KERNELS[name](w, dw, out=w, **columns)
    for config, one in zip(configs, complete, strict=True):
        config.update(one)


def _completed(name: str, config: dict, w: np.ndarray) -> dict:
    """The config after an update: t incremented, missing keys filled with defaults and zeros of the shape of w.

    It replaces the config only after the update, so an update that raises leaves the config unchanged.
    """
    validation.keys(name, "config", config, optional=_KEYS[name])
    complete = {key: config.get(key, value) for key, value in DEFAULTS[name].items()}
    for key, value in complete.items():
        if isinstance(value, np.ndarray):
            complete[key] = arguments.unshared(value)  # a 0-d array, checked by the kernel
    for key in STATE[name]:
        complete[key] = config[key] if key in config else arrays.zeros(w.shape, w)
    if "t" in complete:
        complete["t"] = validation.integer(name, "config['t']", complete["t"], minimum=0) + 1
    return complete


def _number(function: str, key: str, value: Any, name: str) -> float:
    """Validate a hyperparameter or the count of updates t."""
    return (
        validation.integer(function, name, value, 0)
        if key == "t"
        else validation.number(function, name, value, **rules.LIMITS[key])
    )

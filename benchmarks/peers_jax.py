"""The networks in JAX: functions of parameters, compiled by XLA, and their training steps."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from networks import Network

from fastnn import nn

Arrays = dict[str, Any]
MOMENTUM, BETA1, BETA2, EPSILON = 0.9, 0.9, 0.999, 1e-8


def apply(module: nn.Module, params: Arrays, buffers: Arrays, x: Any, name: str = "") -> tuple[Any, Arrays]:
    """The output of a module in training mode, and the new values of its buffers; names as in `arrays`."""
    match module:
        case nn.Sequential() | nn.Residual():
            out, changed = x, {}
            for key, child in module.named_children().items():
                out, more = apply(child, params, buffers, out, f"{name}{key}.")
                changed |= more
            return (out + x if isinstance(module, nn.Residual) else out), changed
        case nn.Linear():
            out = x.reshape(len(x), -1) @ params[name + "weight"]
            return out + params[name + "bias"], {}
        case nn.Conv2d():
            padding = [(p, p) for p in module.padding]
            out = jax.lax.conv_general_dilated(x, params[name + "weight"], module.stride, padding)
            bias = params.get(name + "bias")
            return (out if bias is None else out + bias[:, None, None]), {}
        case nn.BatchNorm2d():
            return _batch_norm(module, params, buffers, x, name)
        case nn.MaxPool2d():
            window, stride = (1, 1, *module.kernel_size), (1, 1, *module.stride)
            return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, stride, "VALID"), {}
        case nn.GlobalAvgPool2d():
            return x.mean((2, 3)), {}
        case nn.ReLU():
            return jax.nn.relu(x), {}
        case nn.Flatten():
            return x.reshape(len(x), -1), {}
    raise TypeError(
        f"apply: {module!r} has no equivalent in JAX here; expected a layer of the networks with a target; add it"
    )


def _batch_norm(module: nn.BatchNorm2d, params: Arrays, buffers: Arrays, x: Any, name: str) -> tuple[Any, Arrays]:
    mean, var, count = x.mean((0, 2, 3)), x.var((0, 2, 3)), x.size // x.shape[1]
    scale = params[name + "weight"] * jax.lax.rsqrt(var + module.eps)
    out = (x - mean[:, None, None]) * scale[:, None, None] + params[name + "bias"][:, None, None]
    new = {"running_mean": mean, "running_var": var * count / (count - 1)}
    kept = {key: (1 - module.momentum) * buffers[name + key] + module.momentum * value for key, value in new.items()}
    return out, {name + key: value for key, value in kept.items()}


def arrays(module: nn.Module, kind: str, dtype: Any, name: str = "") -> Arrays:
    """The parameters or buffers of a module, such as "0.weight"; those of Linear are (in, out)."""
    children = module.named_children()
    if not children:
        return {name + key: jnp.asarray(value, dtype) for key, value in getattr(module, kind).items()}
    found = [arrays(child, kind, dtype, f"{name}{key}.") for key, child in children.items()]
    return {key: value for one in found for key, value in one.items()}


def loss_function(model: nn.Sequential) -> Callable:
    """The loss of a network with its penalty, and the new buffers: a function of params, buffers, images, labels."""
    smoothing = getattr(model.loss_function, "keywords", {}).get("label_smoothing", 0.0)

    def loss(params: Arrays, buffers: Arrays, X: Any, y: Any) -> tuple[Any, Arrays]:
        scores, changed = apply(model, params, buffers, X)
        logarithms = jax.nn.log_softmax(scores)
        right = jnp.take_along_axis(logarithms, y[:, None], 1)[:, 0]
        value = -((1 - smoothing) * right + smoothing * logarithms.mean(1)).mean()
        if model.reg:
            value += 0.5 * model.reg * sum((w * w).sum() for w in params.values() if w.ndim > 1)
        return value, {**buffers, **changed}

    return loss


def _update(rule: str, rate: float, params: Arrays, grads: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    if rule == "sgd":
        return {name: w - rate * grads[name] for name, w in params.items()}, state
    if rule == "nesterov":
        velocity = {name: MOMENTUM * state["v"][name] + grads[name] for name in params}
        return {name: w - rate * (grads[name] + MOMENTUM * velocity[name]) for name, w in params.items()}, {
            "v": velocity
        }
    if rule == "adam":
        t = state["t"] + 1
        m = {name: BETA1 * state["m"][name] + (1 - BETA1) * grads[name] for name in params}
        v = {name: BETA2 * state["v"][name] + (1 - BETA2) * grads[name] ** 2 for name in params}
        first, second = 1 - BETA1**t, 1 - BETA2**t
        new = {
            name: w - rate * (m[name] / first) / (jnp.sqrt(v[name] / second) + EPSILON) for name, w in params.items()
        }
        return new, {"m": m, "v": v, "t": t}
    raise ValueError(f"_update: {rule!r} has no equivalent in JAX here; expected a rule of the table; add it")


def check(network: Network, images: int) -> None:
    """Raise ValueError unless the loss of one batch in float64 is fastnn's, to 1e-9."""
    from peers import widen

    with jax.enable_x64():
        model = network.build(np.random.default_rng(0))
        widen(model)
        generator = np.random.default_rng(1)
        X, y = generator.standard_normal((images, 3, 32, 32)), generator.integers(0, 10, images)
        stored = (arrays(model, kind, jnp.float64) for kind in ("params", "buffers"))
        value, _ = jax.jit(loss_function(model))(*stored, jnp.asarray(X), jnp.asarray(y))
        expected = float(model.loss(X, y)[0])
        if not abs(float(value) - expected) <= 1e-9 * abs(expected):
            raise ValueError(f"check: the loss of {network.name} in JAX is {value}; expected {expected}, fastnn's")


def jax_step(network: Network, rate: float, data: dict[str, np.ndarray]) -> Callable[[], Any]:
    """A training step, compiled as a whole: draw a batch, compute gradients, update."""
    model, rule = network.build(np.random.default_rng(0)), network.training["update_rule"]
    size, loss = network.solver_arguments()["batch_size"], loss_function(model)
    X, y = jnp.asarray(data["X_train"]), jnp.asarray(data["y_train"])
    params, buffers = (arrays(model, kind, jnp.float32) for kind in ("params", "buffers"))
    zeros = {name: jnp.zeros_like(w) for name, w in params.items()}
    state = {"m": zeros, "v": jax.tree.map(jnp.copy, zeros), "t": 0} if rule == "adam" else {"v": zeros}

    def taken(params: Arrays, buffers: Arrays, state: Arrays, places: Any) -> Any:
        (value, buffers), grads = jax.value_and_grad(loss, has_aux=True)(params, buffers, X[places], y[places])
        params, state = _update(rule, rate, params, grads, state)
        return params, buffers, state, value

    compiled = jax.jit(taken, donate_argnums=(0, 1, 2))
    kept: list[Any] = [params, buffers, state]

    def step() -> None:
        places = np.random.randint(0, len(X), size)
        *kept[:], value = compiled(*kept, places)
        value.block_until_ready()

    return step

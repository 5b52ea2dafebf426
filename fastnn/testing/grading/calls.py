"""How the courses call their functions.

Each function here takes the graded function, its forward pass (None if it has none) and the arguments of an exercise,
and returns the results by position. Called with fastnn's own functions, it is the reference. ValueError then means that
the arguments are not asked of students: empty arrays, ties in max pooling, kinks, windows that do not tile the image.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.testing.conformance.cases import WrongCount

_SEED = 1231


def affine_forward(own: Callable, _: Any, x: Any, w: Any, b: Any) -> Any:
    _require(x.size)
    return _output(own(x, w, b))


def affine_backward(own: Callable, forward: Callable, dout: Any, x: Any, w: Any, b: Any) -> Any:
    _require(x.size)
    return own(dout, _cache(forward(x, w, b)))


def activation_forward(own: Callable, _: Any, x: Any) -> Any:
    _require(x.size and x.all())
    return _output(own(x))


def activation_backward(own: Callable, forward: Callable, dout: Any, x: Any) -> Any:
    _require(x.size and x.all())
    return own(dout, _cache(forward(x)))


def conv_forward(own: Callable, _: Any, x: Any, w: Any, b: Any, stride: Any, pad: Any) -> Any:
    return _output(own(x, w, b, _conv_param(x, w, stride, pad)))


def conv_backward(own: Callable, forward: Callable, dout: Any, x: Any, w: Any, b: Any, stride: Any, pad: Any) -> Any:
    return own(dout, _cache(forward(x, w, b, _conv_param(x, w, stride, pad))))


def pool_forward(own: Callable, _: Any, x: Any, size: Any, stride: Any) -> Any:
    return _output(own(x, _pool_param(x, size, stride)))


def pool_backward(own: Callable, forward: Callable, dout: Any, x: Any, size: Any, stride: Any) -> Any:
    return own(dout, _cache(forward(x, _pool_param(x, size, stride))))


def batchnorm_forward(
    own: Callable,
    _: Any,
    x: Any,
    gamma: Any,
    beta: Any,
    running_mean: Any,
    running_var: Any,
    training: bool,
    eps: float,
) -> Any:
    _require(x.size)
    running = {"running_mean": running_mean, "running_var": running_var}
    bn_param = {"mode": "train" if training else "test", "eps": eps, "momentum": 0.9, **running}
    out = _output(own(x, gamma, beta, bn_param))
    return out, bn_param["running_mean"], bn_param["running_var"]


def batchnorm_backward(own: Callable, forward: Callable, dout: Any, x: Any, gamma: Any, beta: Any, eps: float) -> Any:
    _require(x.size)
    running = {"running_mean": np.zeros(gamma.shape), "running_var": np.zeros(gamma.shape)}
    return own(dout, _cache(forward(x, gamma, beta, {"mode": "train", "eps": eps, "momentum": 0.9, **running})))


def layernorm_forward(own: Callable, _: Any, x: Any, gamma: Any, beta: Any, eps: float) -> Any:
    _require(x.size)
    return _output(own(x, gamma, beta, {"eps": eps}))


def layernorm_backward(own: Callable, forward: Callable, dout: Any, x: Any, gamma: Any, beta: Any, eps: float) -> Any:
    _require(x.size)
    return own(dout, _cache(forward(x, gamma, beta, {"eps": eps})))


def groupnorm_forward(own: Callable, _: Any, x: Any, gamma: Any, beta: Any, groups: int, eps: float) -> Any:
    _require(x.size)
    return _output(own(x, gamma, beta, groups, {"eps": eps}))


def groupnorm_backward(
    own: Callable, forward: Callable, dout: Any, x: Any, gamma: Any, beta: Any, groups: int, eps: float
) -> Any:
    _require(x.size)
    return own(dout, _cache(forward(x, gamma, beta, groups, {"eps": eps})))


def dropout_forward(own: Callable, _: Any, x: Any, p: float, training: bool) -> Any:
    """Return out as if no element had been dropped, and the share of elements that are kept."""
    _require(x.size and x.all())
    out = np.asarray(_output(own(x, _dropout_param(p, training))))
    if out.shape != x.shape:
        return out, p
    kept = out != 0
    return np.where(kept, out, _scale(out, x) * x), _share(kept, p, training)


def dropout_backward(own: Callable, forward: Callable, dout: Any, x: Any, p: float, training: bool) -> Any:
    """Return dx as if no element had been dropped; a gradient of a dropped element makes it wrong."""
    _require(x.size and x.all() and dout.all())
    result = forward(x, _dropout_param(p, training))
    dx = own(dout, _cache(result))
    out, gradient = np.asarray(result[0]), np.asarray(dx)
    if gradient.shape != x.shape or out.shape != x.shape or gradient.dtype.kind != "f":
        return dx
    return np.where(out != 0, gradient, _scale(out, x) * dout + gradient)


def loss(own: Callable, _: Any, x: Any, y: Any) -> Any:
    _require(x.size)
    _require_smooth(x, y)
    return own(x, y)


def linear_loss(own: Callable, _: Any, W: Any, X: Any, y: Any, reg: float) -> Any:
    _require(X.size)
    _require_smooth(X @ W, y)
    return own(W, X, y, reg)


def sgd(own: Callable, _: Any, w: Any, dw: Any, learning_rate: float) -> Any:
    return _updated(own, w, dw, {"learning_rate": learning_rate}, ())


def sgd_momentum(own: Callable, _: Any, w: Any, dw: Any, velocity: Any, learning_rate: float, momentum: float) -> Any:
    config = {"learning_rate": learning_rate, "momentum": momentum, "velocity": velocity}
    return _updated(own, w, dw, config, ("velocity",))


def rmsprop(
    own: Callable, _: Any, w: Any, dw: Any, cache: Any, learning_rate: float, decay_rate: float, epsilon: float
) -> Any:
    config = {"learning_rate": learning_rate, "decay_rate": decay_rate, "epsilon": epsilon, "cache": cache}
    return _updated(own, w, dw, config, ("cache",))


def adam(
    own: Callable, _: Any, w: Any, dw: Any, m: Any, v: Any, t: int, learning_rate: float, beta1: float, beta2: float,
    epsilon: float,
) -> Any:  # fmt: skip
    numbers = {"learning_rate": learning_rate, "beta1": beta1, "beta2": beta2, "epsilon": epsilon}
    return _updated(own, w, dw, {**numbers, "m": m, "v": v, "t": t}, ("m", "v", "t"))


def _require(condition: Any) -> None:
    if not condition:
        raise ValueError("these arguments are not asked of students")


def _require_smooth(scores: np.ndarray, y: np.ndarray) -> None:
    """Exclude hinge losses at their kink, where several slopes are right."""
    margins = scores - scores[np.arange(len(y)), y][:, None] + 1
    _require((abs(margins) > 1e-6).all())


def _output(result: Any) -> Any:
    return _both(result)[0]


def _cache(result: Any) -> Any:
    return _both(result)[1]


def _both(result: Any) -> Any:
    if not (isinstance(result, (tuple, list)) and len(result) == 2):
        raise WrongCount(f"returns {type(result).__name__}; expected the two results out, cache")
    return result


def _conv_param(x: Any, w: Any, stride: Any, pad: Any) -> dict[str, int]:
    _require(x.size and w.size and isinstance(stride, int) and isinstance(pad, int))
    _require(not any((x.shape[axis] + 2 * pad - w.shape[axis]) % stride for axis in (2, 3)))
    return {"stride": stride, "pad": pad}


def _pool_param(x: Any, size: Any, stride: Any) -> dict[str, int]:
    height, width = size if isinstance(size, tuple) else (size, size)
    _require(x.size and isinstance(stride, int) and np.unique(x).size == x.size)
    _require(not ((x.shape[2] - height) % stride or (x.shape[3] - width) % stride))
    return {"pool_height": height, "pool_width": width, "stride": stride}


def _dropout_param(p: float, training: bool) -> dict[str, Any]:
    return {"p": p, "mode": "train" if training else "test", "seed": _SEED}


def _scale(out: np.ndarray, x: np.ndarray) -> float:
    """The factor of the elements that are kept."""
    kept = out != 0
    return float(np.median(out[kept] / x[kept])) if kept.any() else 1.0


def _share(kept: np.ndarray, p: float, training: bool) -> float:
    """The share of elements that are kept: p or 1 - p if it differs from that by chance only."""
    share = float(kept.mean())
    chance = 6 * np.sqrt(p * (1 - p) / kept.size) if training else 0.0
    return next(
        (expected for expected in ((p, 1 - p) if training else (1.0,)) if abs(share - expected) <= chance), share
    )


def _updated(own: Callable, w: Any, dw: Any, config: dict[str, Any], state: tuple[str, ...]) -> Any:
    result = own(w, dw, config)
    if not (isinstance(result, (tuple, list)) and len(result) == 2 and isinstance(result[1], dict)):
        raise WrongCount(f"returns {type(result).__name__}; expected the two results next_w, config")
    next_w, config = result
    return (next_w, *(config.get(key) for key in state)) if state else next_w

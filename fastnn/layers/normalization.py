"""Batch, layer, group and instance normalisation.

bn_param is a dict with `mode` ('train' or 'test') and optionally `eps` (1e-5), `momentum` (0.9), `running_mean` and
`running_var` (C,), by default zeros. A forward pass stores the last two in it, in training mode updated to
`momentum * running + (1 - momentum) * batch`, with the biased variance. ln_param, gn_param and in_param may have
`eps`, and a `mode`, which is ignored (the notebooks pass one).
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastnn import arguments
from fastnn.kernels import normalization
from fastnn.kernels.dispatch import arrays, signatures, validation

MODES = ("train", "test")
RUNNING = ("running_mean", "running_var")


@signatures.checked
def batchnorm_forward(
    x: ArrayLike, gamma: ArrayLike, beta: ArrayLike, bn_param: dict[str, Any]
) -> tuple[np.ndarray, Any]:
    """Normalise each feature over the batch, or in test mode by the running averages.

    x (N, D): the input
    gamma, beta (D,): scale and shift
    bn_param: mode ('train' or 'test') and optionally eps, momentum, running_mean, running_var; see the module
    Returns out (N, D), and a cache for `batchnorm_backward` or `batchnorm_backward_alt`.
    """
    return _forward("batchnorm_forward", x, "N D", gamma, beta, bn_param)


@signatures.checked
def batchnorm_backward(dout: ArrayLike, cache: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the gradients of `batchnorm_forward` step by step through its graph.

    dout (N, D): gradient of the loss with respect to out
    cache: from `batchnorm_forward`
    Returns dx (N, D), dgamma (D,), dbeta (D,).
    """
    return _backward("batchnorm_backward", normalization.batchnorm_backward, dout, cache)


@signatures.checked
def batchnorm_backward_alt(dout: ArrayLike, cache: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the gradients of `batchnorm_forward` in closed form.

    dout (N, D): gradient of the loss with respect to out
    cache: from `batchnorm_forward`
    Returns dx (N, D), dgamma (D,), dbeta (D,).
    """
    return _backward("batchnorm_backward_alt", normalization.batchnorm_backward_alt, dout, cache)


@signatures.checked
def spatial_batchnorm_forward(
    x: ArrayLike, gamma: ArrayLike, beta: ArrayLike, bn_param: dict[str, Any]
) -> tuple[np.ndarray, Any]:
    """Normalise each channel as `batchnorm_forward` does, with statistics over N, H and W.

    x (N, C, H, W): the images
    gamma, beta (C,): scale and shift
    bn_param: as of `batchnorm_forward`
    Returns out (N, C, H, W), and a cache for `spatial_batchnorm_backward`.
    """
    return _forward("spatial_batchnorm_forward", x, "N C H W", gamma, beta, bn_param)


@signatures.checked
def spatial_batchnorm_backward(dout: ArrayLike, cache: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the gradients of `spatial_batchnorm_forward`.

    dout (N, C, H, W): gradient of the loss with respect to out
    cache: from `spatial_batchnorm_forward`
    Returns dx (N, C, H, W), dgamma (C,), dbeta (C,).
    """
    return _backward("spatial_batchnorm_backward", normalization.batchnorm_backward_alt, dout, cache)


@signatures.checked
def layernorm_forward(
    x: ArrayLike, gamma: ArrayLike, beta: ArrayLike, ln_param: Mapping[str, Any]
) -> tuple[np.ndarray, Any]:
    """Normalise each row by its own mean and variance.

    x (N, D): the input
    gamma, beta (D,): scale and shift
    ln_param: a dict, which may have eps (1e-5)
    Returns out (N, D), and a cache for `layernorm_backward`.
    """
    function = "layernorm_forward"
    validation.floats(function, x=(x, "N D"), gamma=(gamma, "D"), beta=(beta, "D"))
    eps = epsilon(function, "ln_param", ln_param)
    out, mean, var = normalization.groupnorm_forward(x, gamma, beta, 1, eps)
    return out, (x, gamma, 1, mean, var, eps)


@signatures.checked
def layernorm_backward(dout: ArrayLike, cache: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the gradients of `layernorm_forward`.

    dout (N, D): gradient of the loss with respect to out
    cache: from `layernorm_forward`
    Returns dx (N, D), dgamma (D,), dbeta (D,).
    """
    return normalization.groupnorm_backward(dout, *arguments.cache("layernorm_backward", cache, 6))


@signatures.checked
def spatial_groupnorm_forward(
    x: ArrayLike, gamma: ArrayLike, beta: ArrayLike, G: int, gn_param: Mapping[str, Any]
) -> tuple[np.ndarray, Any]:
    """Normalise each of G groups of channels of each image.

    x (N, C, H, W): the images
    gamma, beta (1, C, 1, 1): scale and shift
    G: the number of groups, which divides C
    gn_param: a dict, which may have eps (1e-5)
    Returns out (N, C, H, W), and a cache for `spatial_groupnorm_backward`.
    """
    function = "spatial_groupnorm_forward"
    images, *scales = validation.floats(function, x=(x, "N C H W"), gamma=(gamma, "1 C 1 1"), beta=(beta, "1 C 1 1"))
    eps, G = epsilon(function, "gn_param", gn_param), validation.integer(function, "G", G, minimum=1)
    gamma, beta = (scale.reshape(-1) for scale in scales)
    out, mean, var = normalization.groupnorm_forward(images, gamma, beta, G, eps)
    return out, (images, gamma, G, mean, var, eps)


@signatures.checked
def spatial_groupnorm_backward(dout: ArrayLike, cache: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the gradients of `spatial_groupnorm_forward`.

    dout (N, C, H, W): gradient of the loss with respect to out
    cache: from `spatial_groupnorm_forward`
    Returns dx (N, C, H, W), dgamma (1, C, 1, 1), dbeta (1, C, 1, 1).
    """
    dx, dgamma, dbeta = normalization.groupnorm_backward(dout, *arguments.cache("spatial_groupnorm_backward", cache, 6))
    return dx, dgamma.reshape(1, -1, 1, 1), dbeta.reshape(1, -1, 1, 1)


@signatures.checked
def spatial_instancenorm_forward(
    x: ArrayLike, gamma: ArrayLike, beta: ArrayLike, in_param: Mapping[str, Any]
) -> tuple[np.ndarray, Any]:
    """Normalise each channel of each image by its own mean and variance.

    x (N, C, H, W): the images
    gamma, beta (C,): scale and shift
    in_param: a dict, which may have eps (1e-5)
    Returns out (N, C, H, W), and a cache for `spatial_instancenorm_backward`.
    """
    function = "spatial_instancenorm_forward"
    images, gamma, beta = validation.floats(function, x=(x, "N C H W"), gamma=(gamma, "C"), beta=(beta, "C"))
    eps = epsilon(function, "in_param", in_param)
    out, mean, var = normalization.instancenorm_forward(images, gamma, beta, eps)
    return out, (images, gamma, mean, var, eps)


@signatures.checked
def spatial_instancenorm_backward(dout: ArrayLike, cache: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the gradients of `spatial_instancenorm_forward`.

    dout (N, C, H, W): gradient of the loss with respect to out
    cache: from `spatial_instancenorm_forward`
    Returns dx (N, C, H, W), dgamma (C,), dbeta (C,).
    """
    return normalization.instancenorm_backward(dout, *arguments.cache("spatial_instancenorm_backward", cache, 5))


def _forward(
    function: str, x: Any, pattern: str, gamma: Any, beta: Any, bn_param: dict[str, Any]
) -> tuple[np.ndarray, Any]:
    channels = pattern.split()[1]
    validation.floats(function, x=(x, pattern), gamma=(gamma, channels), beta=(beta, channels))
    training, eps, running = batchnorm_settings(function, bn_param, gamma)
    if training:
        out, mean, var = normalization.batchnorm_forward(x, gamma, beta, eps)
        update_running(bn_param, running, mean, var)
    else:
        mean, var = running
        out = normalization.batchnorm_inference(x, gamma, beta, mean, var, eps)
        update_running(bn_param, running)
    return out, (training, x, gamma, mean, var, eps)


def _backward(function: str, backward: Callable, dout: Any, cache: Any) -> Any:
    training, *others = arguments.cache(function, cache, 6)
    return (backward if training else normalization.batchnorm_inference_backward)(dout, *others)


def batchnorm_settings(function: str, bn_param: dict[str, Any], gamma: Any) -> tuple[bool, float, list[np.ndarray]]:
    """Check a bn_param; return whether it is in training mode, its eps, and its running mean and variance."""
    validation.keys(function, "bn_param", bn_param, ("mode",), ("eps", "momentum", *RUNNING))
    training = validation.choice(function, "bn_param['mode']", bn_param["mode"], MODES) == "train"
    eps = validation.number(function, "bn_param['eps']", bn_param.get("eps", 1e-5), above=0)
    validation.number(function, "bn_param['momentum']", bn_param.get("momentum", 0.9), minimum=0, maximum=1)
    (gamma,) = validation.floats(function, gamma=(gamma, "C"))
    return training, eps, [_running(function, f"bn_param[{name!r}]", bn_param.get(name), gamma) for name in RUNNING]


@signatures.quiet
def update_running(bn_param: dict[str, Any], running: Any, *batch: np.ndarray) -> None:
    """Store the running averages in bn_param, updated by mean and variance of a batch if given."""
    momentum = float(bn_param.get("momentum", 0.9))
    for name, old, new in zip(RUNNING, running, batch or running, strict=True):
        bn_param[name] = momentum * arrays.on_same_device(old, new) + (1 - momentum) * new if batch else old


def _running(function: str, name: str, value: Any, gamma: Any) -> np.ndarray:
    if value is None:
        return arrays.zeros(gamma.shape, gamma)
    (value,) = validation.floats(function, **{name: (value, "C")})
    validation.shape(function, name, value, gamma.shape)
    return value


def epsilon(function: str, name: str, param: Mapping[str, Any]) -> float:
    """Return eps of a dict that has no other keys except mode."""
    validation.keys(function, name, param, (), ("eps", "mode"))
    if "mode" in param:
        validation.choice(function, f"{name}['mode']", param["mode"], MODES)
    return validation.number(function, f"{name}['eps']", param.get("eps", 1e-5), above=0)

"""Batch, layer and group normalization."""

import math
from typing import Any

import numpy as np

from fastnn import arguments
from fastnn.autograd import Tensor, record
from fastnn.kernels import normalization
from fastnn.kernels.dispatch import arrays, signatures, validation

from .inputs import floats, public

OPTIONAL = ("weight", "bias", "running_mean", "running_var")


@public
def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize each channel of input (N, C, ...) over the batch, or by the running statistics if not training.

    running_mean, running_var: (C,), Tensors or arrays; None in training keeps no statistics. In training they are
        updated in place to (1 - momentum) * running + momentum * batch. As in `nn.BatchNorm2d` and unlike torch, also
        running_var averages the biased variance.
    weight, bias: (C,), by default ones and zeros
    training: normalize over the batch
    momentum: weight of the batch in the running statistics
    eps: added to the variance
    Returns a Tensor in the shape of input.
    """
    function = "batch_norm"
    training = validation.flag(function, "training", training)
    momentum = validation.number(function, "momentum", momentum, minimum=0, maximum=1)
    eps = validation.number(function, "eps", eps, above=0)
    scales = {"weight": (weight, "C"), "bias": (bias, "C")}
    running = {"running_mean": (running_mean, "C"), "running_var": (running_var, "C")}
    inputs, (x, w, b, *statistics) = floats(function, OPTIONAL, input=(input, "N C ..."), **scales, **running)
    w, b = _weight_and_bias(w, b, x, x.shape[1:2])
    if not training:
        for name, (value, _) in running.items():
            if value is None:
                raise ValueError(
                    f"{function}: {name}=None does not fit training=False; expected the running statistics; pass "
                    f"{name}, or training=True"
                )
        out = normalization.batchnorm_inference(x, w, b, *statistics, eps)
        backward = normalization.batchnorm_inference_backward
    else:
        for name, (value, _) in running.items():
            _check_writable(name, value)
        out, *statistics = normalization.batchnorm_forward(x, w, b, eps)
        for (value, _), batch in zip(running.values(), statistics, strict=True):
            _update(value, momentum, batch)
        inputs, backward = inputs[:3], normalization.batchnorm_backward_alt
    return record(function, inputs, out, lambda dout, _: backward(dout, x, w, *statistics, eps), keeps="inputs")


def _check_writable(name: str, running: Any) -> None:
    """Raise TypeError for running statistics that cannot be updated in place."""
    data = running.data if isinstance(running, Tensor) else running
    if data is None or arrays.is_on_device(data):
        return
    if not isinstance(data, np.ndarray) or not data.flags.writeable or data.dtype.kind != "f":
        raise TypeError(
            f"batch_norm: {name}={validation.brief(running)} cannot be updated in place; expected a Tensor or a "
            f"writable array of floats; pass np.zeros(C) or np.ones(C), or None"
        )


@signatures.quiet
def _update(running: Any, momentum: float, batch: Any) -> None:
    if running is not None:
        data = running.data if isinstance(running, Tensor) else running
        data[...] = (1 - momentum) * data + momentum * arrays.on_same_device(batch, data)
        if isinstance(running, Tensor):
            running.mark_changed()


@public
def layer_norm(input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    """Normalize over the last axes of input (..., *normalized_shape), independently for each leading index.

    normalized_shape: the lengths of the last axes, or one length
    weight, bias: of this shape, by default ones and zeros
    eps: added to the variance
    Returns a Tensor in the shape of input.
    """
    function = "layer_norm"
    several = isinstance(normalized_shape, (tuple, list))
    shape = arguments.lengths(function, "normalized_shape", normalized_shape if several else (normalized_shape,))
    eps = validation.number(function, "eps", eps, above=0)
    inputs, (x, w, b) = floats(function, OPTIONAL, input=(input, "..."), weight=(weight, "..."), bias=(bias, "..."))
    for name, scale in (("weight", w), ("bias", b)):
        if scale is not None:
            validation.shape(function, name, scale, shape)
    leading = x.shape[: x.ndim - len(shape)]
    if not shape or leading + shape != x.shape:
        raise ValueError(
            f"{function}: normalized_shape={validation.brief(normalized_shape)} does not fit input.shape = {x.shape}; "
            f"expected the lengths of its last axes; pass input.shape[1:], or the length of the last axis"
        )
    rows = x.reshape(math.prod(leading), math.prod(shape))
    w, b = (one.reshape(-1) for one in _weight_and_bias(w, b, x, shape))
    out, mean, var = normalization.groupnorm_forward(rows, w, b, 1, eps)

    def gradients(dout: Any, needed: list[bool]) -> list[Any]:
        dx, dw, db = normalization.groupnorm_backward(dout.reshape(rows.shape), rows, w, 1, mean, var, eps)
        return [dx.reshape(x.shape), dw.reshape(shape), db.reshape(shape)]

    return record(function, inputs, out.reshape(x.shape), gradients, keeps="inputs")


@public
def group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    """Normalize each of num_groups groups of neighbouring channels of input (N, C, ...), independently per image.

    num_groups: divides C
    weight, bias: (C,), by default ones and zeros
    eps: added to the variance
    Returns a Tensor in the shape of input.
    """
    function = "group_norm"
    groups = validation.integer(function, "num_groups", num_groups, minimum=1)
    eps = validation.number(function, "eps", eps, above=0)
    inputs, (x, w, b) = floats(function, OPTIONAL, input=(input, "N C ..."), weight=(weight, "C"), bias=(bias, "C"))
    w, b = _weight_and_bias(w, b, x, x.shape[1:2])
    out, mean, var = normalization.groupnorm_forward(x, w, b, groups, eps)
    backward = normalization.groupnorm_backward
    return record(function, inputs, out, lambda dout, _: backward(dout, x, w, groups, mean, var, eps), keeps="inputs")


def _weight_and_bias(weight: Any, bias: Any, x: Any, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Weight and bias; ones and zeros if they are None."""
    weight = arrays.module(x).ones(shape, x.dtype) if weight is None else weight
    return weight, arrays.zeros(shape, x) if bias is None else bias

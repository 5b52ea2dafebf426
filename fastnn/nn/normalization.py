"""Normalization layers. Constructor arguments are those of the torch.nn namesakes.

Parameters: weight, initially ones, and bias, initially zeros; none if the layer is not affine.
"""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from fastnn import arguments
from fastnn.kernels import normalization
from fastnn.kernels.dispatch import arrays, validation
from fastnn.layers.normalization import RUNNING, update_running

from .module import Module, check_input, shape_of


class Normalization(Module):
    """Base class of the normalization layers: eps, weight and bias of one shape, and their gradients."""

    usual: ClassVar[Mapping[str, Any]] = {"eps": 1e-5}  # default arguments, which repr omits

    def __init__(self, shape: tuple[int, ...], eps: float, weight: bool, bias: bool, dtype: Any) -> None:
        name = type(self).__name__
        self.eps = validation.number(name, "eps", eps, above=0)
        self.shape = shape
        self.dtype = arguments.dtype(name, dtype)
        starts = {"weight": (weight, np.ones), "bias": (bias, np.zeros)}
        super().__init__(**{key: make(shape, self.dtype) for key, (wanted, make) in starts.items() if wanted})

    def weight_and_bias(self) -> tuple[np.ndarray, np.ndarray]:
        """Weight and bias; ones and zeros if the layer does not have them."""
        weight, bias = self.params.get("weight"), self.params.get("bias")
        return (
            np.ones(self.shape, self.dtype) if weight is None else weight,
            np.zeros(self.shape, self.dtype) if bias is None else bias,
        )

    def gradients(self, dweight: np.ndarray, dbias: np.ndarray) -> dict[str, np.ndarray]:
        """The gradients of the parameters that the layer has."""
        both = {"weight": dweight, "bias": dbias}
        return {key: both[key].reshape(self.shape) for key in self.params}

    def _text(self, *sizes: Any) -> str:
        given = [f"{key}={getattr(self, key)}" for key, value in self.usual.items() if getattr(self, key) != value]
        return f"{type(self).__name__}({', '.join([*map(str, sizes), *given])})"


class BatchNorm(Normalization):
    """Base class of BatchNorm1d and BatchNorm2d.

    In training mode each channel is normalized by its mean and biased variance in the batch, and the buffers
    running_mean and running_var (num_features,) are updated:

        running = (1 - momentum) * running + momentum * batch

    With momentum=None, the weight is 1 / num_batches_tracked, which gives the mean over all batches. In eval mode the
    running statistics are used. As in the course and unlike torch, running_var averages the biased variance.
    Source: Ioffe & Szegedy, Batch normalization (2015), algorithms 1 and 2.
    """

    usual: ClassVar = {**Normalization.usual, "momentum": 0.1, "affine": True}
    trailing: tuple[tuple[str, ...], ...]  # axes that may follow N and C of x

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        *,
        dtype: Any = np.float32,
    ) -> None:
        name = type(self).__name__
        self.num_features = arguments.length(name, "num_features", num_features)
        self.momentum = (
            None if momentum is None else validation.number(name, "momentum", momentum, minimum=0, maximum=1)
        )
        self.affine = validation.flag(name, "affine", affine)
        super().__init__((self.num_features,), eps, self.affine, self.affine, dtype)
        self.buffers["running_mean"] = np.zeros(self.num_features, self.dtype)
        self.buffers["running_var"] = np.ones(self.num_features, self.dtype)
        self.buffers["num_batches_tracked"] = np.zeros((), np.int64)

    def check(self, x: np.ndarray) -> None:
        """Raise ValueError if x does not have the shape of an input."""
        rest = next((axes for axes in self.trailing if len(axes) + 2 == len(shape_of(self, x))), self.trailing[0])
        check_input(self, x, "N", self.num_features, *rest)

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        self.check(x)
        weight, bias = self.weight_and_bias()
        if not self.training:
            mean, var = self.buffers["running_mean"], self.buffers["running_var"]
            out = normalization.batchnorm_inference(x, weight, bias, mean, var, self.eps)
            return out, (normalization.batchnorm_inference_backward, x, weight, mean, var)
        out, mean, var = normalization.batchnorm_forward(x, weight, bias, self.eps)
        (bn_param,) = self.arguments
        update_running(bn_param, [self.buffers[name] for name in RUNNING], mean, var)
        self.keep(bn_param)
        return out, (normalization.batchnorm_backward_alt, x, weight, mean, var)

    def backward(self, dout: np.ndarray, cache: Any, need_dx: bool = True) -> tuple[np.ndarray | None, dict]:
        name = type(self).__name__
        backward, *arrays = arguments.cache(f"{name}.backward", cache, 5)
        need_dx = validation.flag(name, "need_dx", need_dx)
        dx, dweight, dbias = backward(dout, *arrays, self.eps)
        return dx if need_dx else None, self.gradients(dweight, dbias)

    @property
    def arguments(self) -> tuple[dict[str, Any]]:
        """A new bn_param for `fastnn.layers`; pass it to `keep` after a forward pass."""
        momentum = self.momentum
        if momentum is None:
            momentum = 1 / (int(arrays.to_numpy(self.buffers["num_batches_tracked"])) + 1)
        bn_param = {
            "mode": "train" if self.training else "test",
            "eps": self.eps,
            "momentum": 1 - momentum,
            "running_mean": self.buffers["running_mean"],
            "running_var": self.buffers["running_var"],
        }
        return (bn_param,)

    def keep(self, bn_param: Mapping[str, Any]) -> None:
        """Store the running statistics that a forward pass in training mode left in a bn_param."""
        if bn_param["mode"] == "train":
            for key in ("running_mean", "running_var"):
                self.buffers[key] = arrays.overwrite(self.buffers[key], bn_param[key])
            tracked = self.buffers["num_batches_tracked"]
            self.buffers["num_batches_tracked"] = arrays.overwrite(tracked, tracked + 1)

    def __repr__(self) -> str:
        return self._text(self.num_features)


class BatchNorm1d(BatchNorm):
    """Normalize each column of (N, num_features), or each channel of (N, num_features, L), over the batch.

    num_features, eps, momentum, affine: as in torch; `BatchNorm` gives the formula
    dtype: of the parameters
    """

    trailing = ((), ("L",))


class BatchNorm2d(BatchNorm):
    """Normalize each channel of images (N, num_features, H, W) over batch and image.

    num_features, eps, momentum, affine: as in torch; `BatchNorm` gives the formula
    dtype: of the parameters
    """

    trailing = (("H", "W"),)


class LayerNorm(Normalization):
    """Normalize over the last axes of x (..., *normalized_shape), independently for each leading index.

    Mean and biased variance are taken over the normalized axes, in training and eval mode.
    normalized_shape: lengths of the last axes, or one length; weight and bias have this shape
    eps, elementwise_affine, bias: as in torch
    dtype: of the parameters
    Source: Ba, Kiros & Hinton, Layer normalization (2016), section 3.
    """

    usual: ClassVar = {**Normalization.usual, "elementwise_affine": True, "bias": True}

    def __init__(
        self,
        normalized_shape: Any,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: Any = np.float32,
    ) -> None:
        lengths = normalized_shape if isinstance(normalized_shape, (tuple, list)) else (normalized_shape,)
        if not lengths:
            raise ValueError(
                f"LayerNorm: normalized_shape={normalized_shape} has no axes; expected the lengths of the last axes; "
                f"pass x.shape[1:]"
            )
        self.normalized_shape = arguments.lengths("LayerNorm", "normalized_shape", lengths)
        self.elementwise_affine = validation.flag("LayerNorm", "elementwise_affine", elementwise_affine)
        self.bias = validation.flag("LayerNorm", "bias", bias)
        super().__init__(
            self.normalized_shape, eps, self.elementwise_affine, self.elementwise_affine and self.bias, dtype
        )
        self.arguments = ({"eps": self.eps},)

    def check(self, x: np.ndarray) -> None:
        """Raise ValueError if x does not have the shape of an input."""
        shape = shape_of(self, x)
        if shape[-len(self.shape) :] != self.shape or len(shape) == len(self.shape):
            check_input(self, x, "N", "...", *self.shape)

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        self.check(x)
        x = validation.array(repr(self), "x", x)
        weight, bias = (array.reshape(-1) for array in self.weight_and_bias())
        rows = x.reshape(math.prod(x.shape[: x.ndim - len(self.shape)]), len(weight))
        out, mean, var = normalization.groupnorm_forward(rows, weight, bias, 1, self.eps)
        return out.reshape(x.shape), (rows, weight, mean, var, x.shape)

    def backward(self, dout: np.ndarray, cache: Any, need_dx: bool = True) -> tuple[np.ndarray | None, dict]:
        rows, weight, mean, var, shape = arguments.cache("LayerNorm.backward", cache, 5)
        (dout,) = validation.floats("LayerNorm.backward", dout=(dout, "..."))
        validation.shape("LayerNorm.backward", "dout", dout, shape)
        drows, dweight, dbias = normalization.groupnorm_backward(
            dout.reshape(rows.shape), rows, weight, 1, mean, var, self.eps
        )
        need_dx = validation.flag("LayerNorm", "need_dx", need_dx)
        return drows.reshape(shape) if need_dx else None, self.gradients(dweight, dbias)

    def __repr__(self) -> str:
        return self._text(self.shape[0] if len(self.shape) == 1 else self.shape)


class GroupNorm(Normalization):
    """Normalize each of num_groups groups of neighbouring channels of (N, num_channels, ...), independently per image.

    Mean and biased variance are taken over the group, in training and eval mode.
    num_groups, num_channels, eps, affine: as in torch; weight and bias are (num_channels,)
    dtype: of the parameters
    Source: Wu & He, Group normalization (2018), section 3.
    """

    usual: ClassVar = {**Normalization.usual, "affine": True}

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, *, dtype: Any = np.float32
    ) -> None:
        self.num_groups = validation.integer("GroupNorm", "num_groups", num_groups, minimum=1)
        self.num_channels = arguments.length("GroupNorm", "num_channels", num_channels)
        if self.num_channels % self.num_groups:
            raise ValueError(
                f"GroupNorm: num_channels={num_channels} is not a multiple of num_groups={num_groups}; expected groups "
                f"of equally many channels; choose a divisor of num_channels"
            )
        self.affine = validation.flag("GroupNorm", "affine", affine)
        super().__init__((self.num_channels,), eps, self.affine, self.affine, dtype)

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        if shape_of(self, x)[1:2] != self.shape:
            check_input(self, x, "N", self.num_channels, "...")
        weight, bias = self.weight_and_bias()
        out, mean, var = normalization.groupnorm_forward(x, weight, bias, self.num_groups, self.eps)
        return out, (x, weight, mean, var)

    def backward(self, dout: np.ndarray, cache: Any, need_dx: bool = True) -> tuple[np.ndarray | None, dict]:
        x, weight, mean, var = arguments.cache("GroupNorm.backward", cache, 4)
        need_dx = validation.flag("GroupNorm", "need_dx", need_dx)
        dx, dweight, dbias = normalization.groupnorm_backward(dout, x, weight, self.num_groups, mean, var, self.eps)
        return dx if need_dx else None, self.gradients(dweight, dbias)

    def __repr__(self) -> str:
        return self._text(self.num_groups, self.num_channels)


class InstanceNorm2d(Normalization):
    """Normalize each channel of each image of (N, num_features, H, W) by itself, in training and eval mode alike.

    num_features, eps, affine: as in torch, without running statistics; weight and bias are (num_features,)
    dtype: of the parameters
    Source: Ulyanov, Vedaldi & Lempitsky, Instance normalization (2016), equation 4.
    """

    usual: ClassVar = {**Normalization.usual, "affine": False}

    def __init__(self, num_features: int, eps: float = 1e-5, *, affine: bool = False, dtype: Any = np.float32) -> None:
        self.num_features = arguments.length("InstanceNorm2d", "num_features", num_features)
        self.affine = validation.flag("InstanceNorm2d", "affine", affine)
        super().__init__((self.num_features,), eps, self.affine, self.affine, dtype)

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        check_input(self, x, "N", self.num_features, "H", "W")
        weight, bias = self.weight_and_bias()
        out, mean, var = normalization.instancenorm_forward(x, weight, bias, self.eps)
        return out, (x, weight, mean, var)

    def backward(self, dout: np.ndarray, cache: Any, need_dx: bool = True) -> tuple[np.ndarray | None, dict]:
        x, weight, mean, var = arguments.cache("InstanceNorm2d.backward", cache, 4)
        need_dx = validation.flag("InstanceNorm2d", "need_dx", need_dx)
        dx, dweight, dbias = normalization.instancenorm_backward(dout, x, weight, mean, var, self.eps)
        return dx if need_dx else None, self.gradients(dweight, dbias)

    def __repr__(self) -> str:
        return self._text(self.num_features)

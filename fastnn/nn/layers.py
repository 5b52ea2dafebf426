"""Linear, Conv2d, pooling and Flatten layers, with the constructor arguments of torch.nn.

Layers with parameters also take the keywords `dtype` (float32 or float64), `seed` (see `fastnn.rng`) and `init`: a name
in `nn.init`, or such an initialiser, for the weights; biases are then zeros. By default, None, weights and biases start
as in torch: drawn evenly from -1/sqrt(n) to 1/sqrt(n), where n is the number of inputs of an output. Unlike torch,
Linear's weight is (in, out); `state_dict` transposes it to torch's (out, in).
"""

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from fastnn import arguments, layers, rng
from fastnn.kernels.dispatch import arrays, validation
from fastnn.layers.affine import rows

from . import init as initialisers
from .module import Module, check_input, shape_of


class Parametric(Module):
    """A layer with the parameter `weight` and, unless bias=False, `bias`.

    arguments: further arguments of the function of `fastnn.layers`, after x, w and b
    axes: the required axes of x
    """

    regularized = ("weight",)
    arguments: tuple = ()
    axes: tuple[int | str, ...]

    def __init__(
        self, shape: tuple, outputs: int, bias: bool, dtype: Any, init: Callable | str | None, seed: Any
    ) -> None:
        name = type(self).__name__
        dtype, source = arguments.dtype(name, dtype), rng.generator(seed)
        if init is None:
            bound = 1 / math.sqrt(initialisers.fans(name, shape)[0])
            params = {"weight": source.uniform(-bound, bound, shape).astype(dtype)}
        else:
            bound = 0.0
            params = {"weight": initialisers.find(name, init)(shape, seed=source, dtype=dtype)}
        if validation.flag(name, "bias", bias):
            params["bias"] = source.uniform(-bound, bound, outputs).astype(dtype) if bound else np.zeros(outputs, dtype)
        super().__init__(**params)
        self.outputs = outputs

    def check(self, x: np.ndarray) -> None:
        """Raise ValueError if x is not a valid input of this layer."""
        check_input(self, x, *self.axes)

    def weight_and_bias(self) -> tuple[np.ndarray, np.ndarray]:
        """Weight and bias; the bias is zeros if the layer has none."""
        params = self._params
        weight = params["weight"]
        return weight, params["bias"] if "bias" in params else arrays.zeros((self.outputs,), weight)

    def gradients(self, dw: np.ndarray, db: np.ndarray) -> dict[str, np.ndarray]:
        """The gradients of the layer's parameters."""
        return {"weight": dw, "bias": db} if "bias" in self.params else {"weight": dw}


class Linear(Parametric):
    """An affine layer: x @ weight + bias for x (N, d1, ..., dk) with d1*...*dk = in_features.

    in_features, out_features: lengths of the rows of input and output (N, out_features)
    bias: False for a layer without bias
    dtype: of the parameters
    init: initialiser of weight, or its name (see `fastnn.nn.init`); None: weight and bias start as in torch
    seed: source of random numbers (see `fastnn.rng`)

    Parameters: weight (in_features, out_features), bias (out_features,).
    """

    transposed = ("weight",)

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: Any = np.float32,
        init: Callable | str | None = None,
        seed: Any = None,
    ) -> None:
        self.in_features = validation.integer("Linear", "in_features", in_features, minimum=1)
        self.out_features = validation.integer("Linear", "out_features", out_features, minimum=1)
        self.axes = ("N", self.in_features)
        super().__init__((self.in_features, self.out_features), self.out_features, bias, dtype, init, seed)

    def check(self, x: np.ndarray) -> None:
        shape = shape_of(self, x)
        if len(shape) < 2 or math.prod(shape[1:]) != self.in_features:  # else it is flattened
            super().check(x)

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        self.check(x)
        return layers.affine_forward(x, *self.weight_and_bias())

    def backward(self, dout: np.ndarray, cache: Any, need_dx: bool = True) -> tuple[np.ndarray | None, dict]:
        dx, dw, db = layers.affine_backward(dout, cache, need_dx)
        return dx, self.gradients(dw, db)

    def __repr__(self) -> str:
        return f"Linear({self.in_features}, {self.out_features}{'' if 'bias' in self.params else ', bias=False'})"


class Conv2d(Parametric):
    """Convolution of images (N, in_channels, H, W) with out_channels filters.

    in_channels, out_channels: channels of the images, number of filters
    kernel_size, stride, padding, dilation: integers or (height, width) pairs
    bias: False for a layer without bias
    dtype, init, seed: as of `Linear`

    Parameters: weight (out_channels, in_channels, KH, KW), bias (out_channels,).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        *,
        bias: bool = True,
        dtype: Any = np.float32,
        init: Callable | str | None = None,
        seed: Any = None,
    ) -> None:
        self.in_channels = validation.integer("Conv2d", "in_channels", in_channels, minimum=1)
        self.out_channels = validation.integer("Conv2d", "out_channels", out_channels, minimum=1)
        self.kernel_size = validation.pair("Conv2d", "kernel_size", kernel_size, minimum=1)
        self.stride = validation.pair("Conv2d", "stride", stride, minimum=1)
        self.padding = validation.pair("Conv2d", "padding", padding, minimum=0)
        self.dilation = validation.pair("Conv2d", "dilation", dilation, minimum=1)
        self.arguments = ({"stride": self.stride, "pad": self.padding, "dilation": self.dilation},)
        self.axes = ("N", self.in_channels, "H", "W")
        shape = (self.out_channels, self.in_channels, *self.kernel_size)
        super().__init__(shape, self.out_channels, bias, dtype, init, seed)

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        self.check(x)
        return layers.conv_forward(x, *self.weight_and_bias(), *self.arguments)

    def backward(self, dout: np.ndarray, cache: Any, need_dx: bool = True) -> tuple[np.ndarray | None, dict]:
        dx, dw, db = layers.conv_backward(dout, cache, need_dx)
        return dx, self.gradients(dw, db)

    def __repr__(self) -> str:
        geometry = window_text(self.kernel_size, self.stride, (1, 1), self.padding, self.dilation)
        bias = "" if "bias" in self.params else ", bias=False"
        return f"Conv2d({self.in_channels}, {self.out_channels}, {geometry}{bias})"


class Stateless(Module):
    """A layer without parameters, given by two functions of `fastnn.layers`.

    arguments: further arguments of the forward function, after x
    axes: the required axes of x, or None for any
    """

    functions: ClassVar[tuple[Callable, Callable]]
    arguments: tuple = ()
    axes: tuple[str, ...] | None = None

    def __init__(self) -> None:
        super().__init__()

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        if self.axes is not None:
            check_input(self, x, *self.axes)
        return self.functions[0](x, *self.arguments)

    def backward(self, dout: np.ndarray, cache: Any, need_dx: bool = True) -> tuple[np.ndarray | None, dict]:
        need_dx = validation.flag(type(self).__name__, "need_dx", need_dx)
        return self.functions[1](dout, cache) if need_dx else None, {}


class Pool2d(Stateless):
    """Base class of MaxPool2d and AvgPool2d.

    kernel_size, stride, padding: integers or (height, width) pairs; stride defaults to kernel_size
    """

    axes = ("N", "C", "H", "W")

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()
        name = type(self).__name__
        self.kernel_size = validation.pair(name, "kernel_size", kernel_size, minimum=1)
        self.stride = self.kernel_size if stride is None else validation.pair(name, "stride", stride, minimum=1)
        self.padding = validation.pair(name, "padding", padding, minimum=0)
        height, width = self.kernel_size
        pool_param = {"pool_height": height, "pool_width": width, "stride": self.stride}
        self.arguments = ({**pool_param, "pad": self.padding} if any(self.padding) else pool_param,)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({window_text(self.kernel_size, self.stride, self.kernel_size, self.padding)})"


class MaxPool2d(Pool2d):
    """The largest element of each window of (N, C, H, W), the first of equal ones; padding counts as -infinity."""

    functions = (layers.max_pool_forward, layers.max_pool_backward)


class AvgPool2d(Pool2d):
    """The mean of each window of (N, C, H, W); padding counts as zeros."""

    functions = (layers.avg_pool_forward, layers.avg_pool_backward)


class GlobalAvgPool2d(Stateless):
    """The mean of each channel: (N, C, H, W) gives (N, C)."""

    axes = ("N", "C", "H", "W")
    functions = (layers.global_avg_pool_forward, layers.global_avg_pool_backward)


class Flatten(Module):
    """Flatten (N, d1, ..., dk) to (N, d1*...*dk)."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        (x,) = validation.floats("Flatten", x=(x, "..."))
        return rows("Flatten", x), x.shape

    def backward(self, dout: np.ndarray, cache: Any, need_dx: bool = True) -> tuple[np.ndarray | None, dict]:
        (dout,) = validation.floats("Flatten.backward", dout=(dout, "..."))
        if not isinstance(cache, tuple) or dout.size != math.prod(cache):
            raise ValueError(
                f"Flatten.backward: dout.shape = {dout.shape} does not fit cache={validation.brief(cache)}; expected "
                f"the gradient and the cache of one forward pass; pass the second value that forward returned"
            )
        return dout.reshape(cache) if validation.flag("Flatten", "need_dx", need_dx) else None, {}


def window_text(size: tuple, stride: tuple, usual_stride: tuple, padding: tuple, dilation: tuple = (1, 1)) -> str:
    """Size, stride, padding and dilation as constructor arguments; equal pairs as one number, defaults left out."""
    parts = [f"{_short(size)}"]
    if stride != usual_stride:
        parts.append(f"stride={_short(stride)}")
    if any(padding):
        parts.append(f"padding={_short(padding)}")
    if dilation != (1, 1):
        parts.append(f"dilation={_short(dilation)}")
    return ", ".join(parts)


def _short(pair: tuple) -> Any:
    return pair[0] if pair[0] == pair[1] else pair

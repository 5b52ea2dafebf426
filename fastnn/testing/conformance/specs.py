"""What is checked: every public kernel, by name, with the shapes of its arguments and the names of its results.

Axes are those of `fastnn.kernels`; besides, S and a closing `...` are further axes, OH OW the rows and columns of a
convolution or a pooling, UH UW those of a pooling after a convolution.
"""

import importlib
import inspect
from collections.abc import Callable
from typing import NamedTuple

IMAGES = "N C H W"
ANY = "N C ..."


class Function(NamedTuple):
    """A public kernel.

    shapes: of the arrays of numbers among its arguments, by name
    results: the names of what it returns
    """

    name: str
    operation: str
    shapes: dict[str, str]
    results: tuple[str, ...]

    @property
    def public(self) -> Callable:
        """The function itself, which runs on the active backend."""
        return getattr(importlib.import_module(f"fastnn.kernels.{self.operation}"), self.name)

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        return dict(inspect.signature(self.public).parameters)

    @property
    def written(self) -> tuple[str, ...]:
        """The arguments that are updated in place; they count as results too."""
        if self.name == "weight_penalty":
            return ("dw",)
        return tuple(name for name in self.shapes if name in WRITTEN) if self.operation == "updates" else ()

    @property
    def spreads_nan(self) -> bool:
        """Whether more than the formula says may become NaN, since a backend may meet it with zeros of its own."""
        return self.name.endswith("backward") and self.operation in ("conv2d", "fused")

    @property
    def mixes_infinity(self) -> bool:
        """Whether infinity may become NaN or not, since formulas that are equal for numbers treat it in other ways."""
        return self.name.endswith(("backward", "_alt")) and self.operation in ("conv2d", "fused", "normalization")

    @property
    def folds(self) -> bool:
        """Whether a norm may be folded into the layer before a maximum, so that ties are none after rounding."""
        return "batchnorm" in self.name and "pool" in self.name


WRITTEN = ("velocity", "cache", "m", "v", "out")
_GRADIENTS = ("dx", "dw", "db")
_OF_NORM = ("dgamma", "dbeta")
_CHANNELS = ("b", "gamma", "beta", "mean", "var")


def _layer(name: str, operation: str, arrays: dict[str, str], channel: str, dout: str) -> list[Function]:
    """Forward and backward of an affine layer or a convolution, and of what follows in a sandwich."""
    shapes = {**arrays, **dict.fromkeys(_CHANNELS, channel), "dout": dout}
    index = ("index",) if "pool" in name else ()
    with_norm = "norm" in name
    statistics = ("between", "mean", "var") if with_norm else ()
    gradients = _GRADIENTS + (_OF_NORM if with_norm else ())
    functions = [
        Function(f"{name}_forward", operation, shapes, ("out", *index, *statistics)),
        Function(f"{name}_backward", operation, shapes, gradients),
    ]
    if "batchnorm" in name:
        functions += [
            Function(f"{name}_inference", operation, shapes, ("out", *index)),
            Function(f"{name}_inference_backward", operation, shapes, gradients),
        ]
    return functions


def _convolution(name: str, operation: str, dout: str = "N F OH OW") -> list[Function]:
    return _layer(name, operation, {"x": IMAGES, "w": "F C KH KW"}, "F", dout)


def _affine(name: str, operation: str) -> list[Function]:
    return _layer(name, operation, {"x": "N D", "w": "D M"}, "M", "N M")


def _pooling() -> list[Function]:
    windows, means = {"x": IMAGES, "dout": "N C OH OW"}, {"x": IMAGES, "dout": "N C"}
    return [
        Function("max_pool2d_forward", "pool2d", windows, ("out", "index")),
        Function("max_pool2d_backward", "pool2d", windows, ("dx",)),
        Function("avg_pool2d_forward", "pool2d", windows, ("out",)),
        Function("avg_pool2d_backward", "pool2d", windows, ("dx",)),
        Function("global_avg_pool2d_forward", "pool2d", means, ("out",)),
        Function("global_avg_pool2d_backward", "pool2d", means, ("dx",)),
    ]


def _activations() -> list[Function]:
    functions = []
    for kind in ("relu", "leaky_relu", "prelu", "elu", "sigmoid", "tanh", "gelu"):
        shapes = {"x": ANY, "dout": ANY, **({"slope": "C"} if kind == "prelu" else {})}
        gradients = ("dx", "dslope") if kind == "prelu" else ("dx",)
        functions += [
            Function(f"{kind}_forward", "activations", shapes, ("out",)),
            Function(f"{kind}_backward", "activations", shapes, gradients),
        ]
    groups = {"x": "N channels ...", "dout": ANY}
    return [
        *functions,
        Function("maxout_forward", "activations", groups, ("out", "index")),
        Function("maxout_backward", "activations", groups, ("dx",)),
    ]


def _norms() -> list[Function]:
    shapes = {"x": ANY, "dout": ANY, **dict.fromkeys(_CHANNELS[1:], "C")}
    gradients = ("dx", *_OF_NORM)
    return [
        *(
            Function(f"{kind}norm_forward", "normalization", shapes, ("out", "mean", "var"))
            for kind in ("batch", "group")
        ),
        Function("batchnorm_inference", "normalization", shapes, ("out",)),
        *(
            Function(name, "normalization", shapes, gradients)
            for name in (
                "batchnorm_backward", "batchnorm_backward_alt", "batchnorm_inference_backward", "groupnorm_backward",
            )
        ),
    ]  # fmt: skip


def _updates() -> list[Function]:
    states = {"sgd": "", "momentum": "velocity", "nesterov": "velocity", "rmsprop": "cache", "adagrad": "cache"}
    return [
        Function(
            f"{rule}_update", "updates", dict.fromkeys(("w", "dw", *states.get(rule, "m v").split(), "out"), ANY), ()
        )
        for rule in (*states, "adam", "adamw")
    ]


FUNCTIONS: dict[str, Function] = {
    function.name: function
    for function in (
        *_convolution("conv2d", "conv2d"),
        *_pooling(),
        *_affine("affine", "affine"),
        *_activations(),
        *_norms(),
        Function("dropout_forward", "dropout", {"x": ANY}, ("out", "mask")),
        Function("dropout_backward", "dropout", {"x": ANY, "dout": ANY}, ("dx",)),
        Function("softmax_loss", "losses", {"x": "N K"}, ("loss", "dx")),
        Function("svm_loss", "losses", {"x": "N K"}, ("loss", "dx")),
        Function("mse_loss", "losses", {"x": ANY, "target": ANY}, ("loss", "dx")),
        Function("linear_svm_loss", "linear_losses", {"W": "D K", "X": "N D"}, ("loss", "dW")),
        Function("linear_softmax_loss", "linear_losses", {"W": "D K", "X": "N D"}, ("loss", "dW")),
        *_updates(),
        Function("weight_penalty", "l2", {"w": ANY, "dw": ANY}, ("penalty",)),
        Function("global_norm", "l2", {"dw": ANY}, ("norm",)),
        Function("augment_images", "augment", {"x": IMAGES}, ("out",)),
        *_affine("affine_relu", "fused"),
        *_affine("affine_batchnorm_relu", "fused"),
        *_affine("affine_layernorm_relu", "fused"),
        *_convolution("conv2d_relu", "fused"),
        *_convolution("conv2d_batchnorm_relu", "fused"),
        *_convolution("conv2d_relu_pool", "fused", "N F UH UW"),
        *_convolution("conv2d_batchnorm_relu_pool", "fused", "N F UH UW"),
    )
}


def forward_of(function: Function) -> Function | None:
    """The function whose results a backward pass asks for, or None."""
    name = function.name.removesuffix("_alt").removesuffix("_backward")
    if "backward" not in function.name:
        return None
    return FUNCTIONS[name if name.endswith("_inference") else f"{name}_forward"]
